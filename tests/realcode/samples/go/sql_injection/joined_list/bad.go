package store

import (
	"database/sql"
	"strings"
)

func Delete(db *sql.DB, ids []string) error {
	q := "DELETE FROM items WHERE id IN (" + strings.Join(ids, ",") + ")"
	_, err := db.Exec(q)
	return err
}
