package shop

import (
	"database/sql"
	"net/http"
)

type Server struct{ db *sql.DB }

func (s *Server) orders(w http.ResponseWriter, r *http.Request) {
	customer := r.URL.Query().Get("customer")
	query := "SELECT id, total FROM orders WHERE customer = $1"
	rows, err := s.db.Query(query, customer)
	if err != nil {
		http.Error(w, "no orders", http.StatusInternalServerError)
		return
	}
	defer rows.Close()
	writeOrders(w, rows)
}
