package login

import (
	"net/http"
	"strings"
)

func finish(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Query().Get("next")
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		next = "/home"
	}
	http.Redirect(w, r, next, http.StatusFound)
}
