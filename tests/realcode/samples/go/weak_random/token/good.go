package keys

import (
	"crypto/rand"
	"encoding/hex"
)

func NewToken() (string, error) {
	out := make([]byte, 32)
	if _, err := rand.Read(out); err != nil {
		return "", err
	}
	return hex.EncodeToString(out), nil
}
