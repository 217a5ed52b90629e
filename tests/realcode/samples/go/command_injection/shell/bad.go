package tools

import (
	"net/http"
	"os/exec"
)

func ping(w http.ResponseWriter, r *http.Request) {
	host := r.FormValue("host")
	command := exec.Command("/bin/sh", "-c", "ping -c 1 "+host)
	if err := command.Run(); err != nil {
		w.WriteHeader(http.StatusBadGateway)
	}
}
