package rules

import (
	"net/http"

	"github.com/dop251/goja"
)

const formula = "price * amount"

func evaluate(w http.ResponseWriter, r *http.Request) {
	vm := goja.New()
	vm.Set("price", r.URL.Query().Get("price"))
	value, err := vm.RunString(formula)
	if err != nil {
		http.Error(w, "wrong formula", http.StatusBadRequest)
		return
	}
	store(value.Export())
}
