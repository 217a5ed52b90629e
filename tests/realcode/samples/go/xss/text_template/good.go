package pages

import (
	"html/template"
	"net/http"
)

var page = template.Must(template.ParseFiles("profile.html"))

func profile(w http.ResponseWriter, r *http.Request) {
	user := find(r.FormValue("user"))
	page.Execute(w, user)
}
