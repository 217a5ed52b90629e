package login

import "github.com/golang-jwt/jwt/v5"

func subject(text string) (string, error) {
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(text, claims)
	if err != nil {
		return "", err
	}
	return claims.GetSubject()
}
