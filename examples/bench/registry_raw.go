package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// rawInsert is how long it takes to put records into an empty database with the
// registry's tables and settings, by multi-row inserts in one transaction.
func rawInsert(ctx context.Context, tables map[registry.Table][]registry.Record) (took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "bench-raw-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "raw.db")
	_, closeStore, err := openSQLite(ctx, file) // makes the tables and the write-ahead log
	if err != nil {
		return 0, err
	}
	if err := closeStore(); err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", file+"?_pragma=synchronous(FULL)&_pragma=cache_size(-65536)")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.PingContext(ctx); err != nil {
		return 0, err
	}
	return timed(func() error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for _, t := range registry.Tables() {
			if err := insertAll(ctx, tx, t, tables[t]); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		return tx.Commit()
	})
}

const rowsAtOnce = 500

func insertAll(ctx context.Context, tx *sql.Tx, t registry.Table, recs []registry.Record) error {
	for len(recs) > 0 {
		n := min(len(recs), rowsAtOnce)
		args := make([]any, 0, 4*n)
		for _, rec := range recs[:n] {
			args = append(args, rec.Key, rec.Parent, rec.Version, rec.Body)
		}
		query := fmt.Sprintf("INSERT INTO %s (key, parent, version, body) VALUES (?, ?, ?, ?)%s", t, strings.Repeat(", (?, ?, ?, ?)", n-1))
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}
