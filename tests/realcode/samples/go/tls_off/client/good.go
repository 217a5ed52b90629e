package client

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"
)

func New(authorities *x509.CertPool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authorities},
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}
