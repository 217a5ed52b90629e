package shop

import (
	"database/sql"
	"fmt"
	"net/http"
)

type Server struct{ db *sql.DB }

func (s *Server) orders(w http.ResponseWriter, r *http.Request) {
	customer := r.URL.Query().Get("customer")
	query := fmt.Sprintf("SELECT id, total FROM orders WHERE customer = '%s'", customer)
	rows, err := s.db.Query(query)
	if err != nil {
		http.Error(w, "no orders", http.StatusInternalServerError)
		return
	}
	defer rows.Close()
	writeOrders(w, rows)
}
