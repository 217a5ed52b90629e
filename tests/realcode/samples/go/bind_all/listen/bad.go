package main

import (
	"log"
	"net"
)

func main() {
	listener, err := net.Listen("tcp", "0.0.0.0:7000")
	if err != nil {
		log.Fatal(err)
	}
	serve(listener)
}
