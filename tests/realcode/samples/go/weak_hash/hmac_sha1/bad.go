package keys

import (
	"crypto/hmac"
	"crypto/sha1"
)

func Fingerprint(data []byte) []byte {
	hash := sha1.New()
	hash.Write(data)
	return hash.Sum(nil)
}

func Same(a, b []byte) bool { return hmac.Equal(Fingerprint(a), Fingerprint(b)) }
