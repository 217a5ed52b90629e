package login

import "github.com/golang-jwt/jwt/v5"

var jwtKey = []byte("{{password}}")

func sign(user string) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": user})
	return token.SignedString(jwtKey)
}
