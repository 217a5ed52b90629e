package keys

import (
	"crypto/rand"
	"crypto/rsa"
)

const bits = 1024

func Create() (*rsa.PrivateKey, error) {
	return rsa.GenerateKey(rand.Reader, bits)
}
