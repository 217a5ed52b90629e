package tools

import (
	"net/http"
	"os/exec"
)

var programs = map[string]string{"go": "/usr/bin/go", "git": "/usr/bin/git"}

func run(w http.ResponseWriter, r *http.Request) {
	program, known := programs[r.URL.Query().Get("tool")]
	if !known {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	record(out)
}
