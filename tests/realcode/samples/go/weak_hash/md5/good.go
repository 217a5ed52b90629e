package keys

import "golang.org/x/crypto/bcrypt"

func Digest(password string) (string, error) {
	sum, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	return string(sum), err
}
