package tools

import (
	"net/http"
	"os/exec"
)

func run(w http.ResponseWriter, r *http.Request) {
	tool := r.URL.Query().Get("tool")
	out, err := exec.Command(tool, "--version").Output()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	record(out)
}
