package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // pure Go, so that it needs no C compiler

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
	"github.com/iotregistry/sdk/registry/sqlite"
)

// store opens the database.
func (s *service) store(ctx context.Context) (registry.Store, error) {
	name := s.cfg.Store
	if strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://") {
		pool, err := pgxpool.New(ctx, name)
		if err != nil {
			return nil, errors.New("store: this postgres:// DSN cannot be used: write postgres://USER@HOST/DATABASE?sslmode=verify-full, and the password into ~/.pgpass") // pgx's text may quote it
		}
		s.closers = append(s.closers, func() error { pool.Close(); return nil })
		store, err := postgres.Open(ctx, pool, nil)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		return store, nil
	}
	if name == "" {
		name = s.path("registry.db")
	}
	if err := ownFile(name); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	s.closers = append(s.closers, db.Close)
	store, err := sqlite.Open(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	s.closers = append(s.closers, store.Close)
	return store, nil
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
