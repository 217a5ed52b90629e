package vault

import (
	"crypto/aes"
	"crypto/cipher"
)

var iv = []byte("1234567890123456")

func Encrypt(key, text []byte) []byte {
	block, _ := aes.NewCipher(key)
	out := make([]byte, len(text))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, text)
	return out
}
