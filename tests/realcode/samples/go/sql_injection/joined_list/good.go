package store

import (
	"database/sql"
)

func Delete(db *sql.DB, ids []string) error {
	for _, id := range ids {
		if _, err := db.Exec("DELETE FROM items WHERE id = ?", id); err != nil {
			return err
		}
	}
	return nil
}
