package files

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
)

func upload(w http.ResponseWriter, r *http.Request) {
	file, header, err := r.FormFile("file")
	if err != nil {
		http.Error(w, "no file", http.StatusBadRequest)
		return
	}
	defer file.Close()
	out, err := os.Create("/srv/uploads/" + filepath.Base(header.Filename))
	if err != nil {
		http.Error(w, "not stored", http.StatusInternalServerError)
		return
	}
	defer out.Close()
	io.Copy(out, file)
}
