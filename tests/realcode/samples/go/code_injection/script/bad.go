package rules

import (
	"net/http"

	"github.com/dop251/goja"
)

func evaluate(w http.ResponseWriter, r *http.Request) {
	vm := goja.New()
	value, err := vm.RunString(r.URL.Query().Get("formula"))
	if err != nil {
		http.Error(w, "wrong formula", http.StatusBadRequest)
		return
	}
	store(value.Export())
}
