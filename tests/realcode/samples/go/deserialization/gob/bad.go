package net

import (
	"encoding/gob"
	"net/http"
)

func receive(w http.ResponseWriter, r *http.Request) {
	var job any
	if err := gob.NewDecoder(r.Body).Decode(&job); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	enqueue(job)
}
