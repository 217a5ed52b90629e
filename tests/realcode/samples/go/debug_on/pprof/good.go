package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", home)
	log.Fatal(http.ListenAndServe(os.Getenv("ADDRESS"), nil))
}
