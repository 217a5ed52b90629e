package login

import "github.com/golang-jwt/jwt/v5"

func token(claims jwt.Claims) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("{{password}}"))
}
