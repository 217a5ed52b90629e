package net

import (
	"encoding/json"
	"net/http"
)

func receive(w http.ResponseWriter, r *http.Request) {
	var job Job
	body := http.MaxBytesReader(w, r.Body, 1<<20)
	if err := json.NewDecoder(body).Decode(&job); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	enqueue(job)
}
