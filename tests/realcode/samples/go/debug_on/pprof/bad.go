package main

import (
	"log"
	"net/http"
	_ "net/http/pprof"
	"os"
)

func main() {
	http.HandleFunc("/", home)
	log.Fatal(http.ListenAndServe(os.Getenv("ADDRESS"), nil))
}
