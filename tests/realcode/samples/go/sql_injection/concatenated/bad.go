package shop

import (
	"context"

	"github.com/jmoiron/sqlx"
)

func Rename(ctx context.Context, db *sqlx.DB, id int, name string) error {
	statement := "UPDATE product SET name = '" + name
	statement += "' WHERE id = 1"
	_, err := db.ExecContext(ctx, statement)
	return err
}
