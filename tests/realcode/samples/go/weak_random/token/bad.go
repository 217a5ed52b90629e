package keys

import "math/rand"

const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

func NewToken() string {
	out := make([]byte, 32)
	for i := range out {
		out[i] = alphabet[rand.Intn(len(alphabet))]
	}
	return string(out)
}
