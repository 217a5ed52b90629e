package keys

import (
	"crypto/hmac"
	"crypto/sha256"
)

func Fingerprint(data []byte) []byte {
	hash := sha256.New()
	hash.Write(data)
	return hash.Sum(nil)
}

func Same(a, b []byte) bool { return hmac.Equal(Fingerprint(a), Fingerprint(b)) }
