package tools

import (
	"net"
	"net/http"
	"os/exec"
)

func ping(w http.ResponseWriter, r *http.Request) {
	address := net.ParseIP(r.FormValue("host"))
	if address == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	command := exec.Command("ping", "-c", "1", address.String())
	if err := command.Run(); err != nil {
		w.WriteHeader(http.StatusBadGateway)
	}
}
