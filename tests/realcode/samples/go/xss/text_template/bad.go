package pages

import (
	"net/http"
	"text/template"
)

var page = template.Must(template.ParseFiles("profile.html"))

func profile(w http.ResponseWriter, r *http.Request) {
	user := find(r.FormValue("user"))
	page.Execute(w, user)
}
