package keys

import (
	"crypto/md5"
	"encoding/hex"
)

func Digest(password string) string {
	sum := md5.Sum([]byte(password))
	return hex.EncodeToString(sum[:])
}
