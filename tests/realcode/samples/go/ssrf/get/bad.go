package preview

import (
	"io"
	"net/http"
)

func preview(w http.ResponseWriter, r *http.Request) {
	response, err := http.Get(r.URL.Query().Get("url"))
	if err != nil {
		http.Error(w, "no answer", http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	io.Copy(w, response.Body)
}
