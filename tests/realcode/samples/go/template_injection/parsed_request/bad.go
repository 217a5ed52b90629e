package mail

import (
	"html/template"
	"net/http"
)

func preview(w http.ResponseWriter, r *http.Request) {
	body := "<p>" + r.FormValue("body") + "</p>"
	page, err := template.New("preview").Parse(body)
	if err != nil {
		http.Error(w, "wrong template", http.StatusBadRequest)
		return
	}
	page.Execute(w, currentUser(r))
}
