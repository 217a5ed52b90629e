package shop

import (
	"context"

	"github.com/jmoiron/sqlx"
)

func Rename(ctx context.Context, db *sqlx.DB, id int, name string) error {
	statement := "UPDATE product SET name = $1"
	statement += " WHERE id = $2"
	_, err := db.ExecContext(ctx, statement, name, id)
	return err
}
