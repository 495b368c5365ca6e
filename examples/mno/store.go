package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // pure Go, so that it needs no C compiler

	"github.com/iotregistry/sdk/mno/eim/eimsql"
	"github.com/iotregistry/sdk/mno/smdp/smdpsql"
)

// openStores opens the database of the orders and of the eIM.
func (s *service) openStores(ctx context.Context) error {
	name, driver := cmp.Or(s.flags.store, filepath.Join(s.flags.data, "orders.db")), "sqlite"
	if strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://") {
		driver = "pgx"
	} else if err := ownFile(name); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	db, err := sql.Open(driver, name)
	if err != nil { // the text may quote a password
		return errors.New("store: this cannot be opened: give a file, or postgres://USER@HOST/DATABASE?sslmode=verify-full with the password in ~/.pgpass")
	}
	s.close = db.Close
	if s.orderStore, err = smdpsql.Open(ctx, db); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if s.flags.esipa == "" {
		return nil
	}
	if s.eimStore, err = eimsql.Open(ctx, db); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// ownFile makes a file that only its user can read, where there is none: SQLite
// gives what it makes beside it the same mode.
func ownFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
