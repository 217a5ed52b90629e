package pages

import (
	"html/template"
	"net/http"
)

var comment = template.Must(template.ParseFiles("comment.html"))

func show(w http.ResponseWriter, r *http.Request) {
	text := r.PostFormValue("text")
	comment.Execute(w, map[string]any{"Text": template.HTML(text)})
}
