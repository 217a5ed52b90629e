package files

import (
	"net/http"
	"path/filepath"
)

const folder = "/srv/files"

func download(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	http.ServeFile(w, r, filepath.Join(folder, name))
}
