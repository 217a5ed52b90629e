package main

import (
	"net/http"
	"os/exec"
)

func run(w http.ResponseWriter, r *http.Request) {
	out, _ := exec.Command("git", "log", "-1").Output()
	w.Header().Set("Content-Type", "text/plain")
	w.Write(out)
}
