package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/iotregistry/sdk/registry"
)

// statements are the SQL of one table.
type statements struct {
	name, index            string // quoted
	probe                  string
	get, list, children    string
	insert, update, remove string
}

func newStatements(schema string, t registry.Table) *statements {
	id := pgx.Identifier{string(t)}
	if schema != "" {
		id = pgx.Identifier{schema, string(t)}
	}
	name := id.Sanitize()
	const columns = `SELECT key, parent, version, body FROM `
	return &statements{
		name:     name,
		index:    pgx.Identifier{string(t) + "_parent"}.Sanitize(),
		probe:    columns + name + ` LIMIT 0`,
		get:      columns + name + ` WHERE key = ANY($1) ORDER BY key`,
		list:     columns + name + ` WHERE key > $1 ORDER BY key LIMIT $2`,
		children: columns + name + ` WHERE parent = $3 AND key > $1 ORDER BY key LIMIT $2`,
		insert: `INSERT INTO ` + name + ` (key, parent, version, body)
SELECT n.key, n.parent, 1, n.body FROM unnest($1::TEXT[], $2::TEXT[], $3::BYTEA[]) AS n (key, parent, body)
ON CONFLICT (key) DO NOTHING RETURNING key`,
		update: `UPDATE ` + name + ` AS o SET parent = n.parent, version = n.version + 1, body = n.body
FROM unnest($1::TEXT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[]) AS n (key, parent, body, version)
WHERE o.key = n.key AND o.version = n.version RETURNING o.key`,
		remove: `DELETE FROM ` + name + ` WHERE key = ANY($1)`,
	}
}

// create returns the statements that make the table and its index. Collation
// is what makes a text column compare as bytes.
func (q *statements) create(collation string) string {
	text := "TEXT" + collation + " NOT NULL"
	return `CREATE TABLE IF NOT EXISTS ` + q.name + ` (key ` + text + ` PRIMARY KEY, parent ` + text + `, version BIGINT NOT NULL, body BYTEA NOT NULL);
CREATE INDEX IF NOT EXISTS ` + q.index + ` ON ` + q.name + ` (parent, key)`
}

// create makes what is missing. It looks first: CREATE .. IF NOT EXISTS needs
// the right to create even where there is nothing to do.
func (s *Store) create(ctx context.Context, schema string) error {
	return s.repeat(ctx, func() error { return s.createOnce(ctx, schema) })
}

func (s *Store) createOnce(ctx context.Context, schema string) error {
	if schema != "" {
		if err := s.createSchema(ctx, schema); err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
	}
	for _, t := range registry.Tables() {
		if err := s.createTable(ctx, s.sql[t]); err != nil {
			return fmt.Errorf("create table %s: %w", t, err)
		}
	}
	return nil
}

func (s *Store) createSchema(ctx context.Context, schema string) error {
	var there bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)`, schema).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = s.pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	return unlessMeanwhile(err)
}

func (s *Store) createTable(ctx context.Context, q *statements) error {
	const undefinedTable = "42P01"
	_, err := s.pool.Exec(ctx, q.probe)
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != undefinedTable {
		return err
	}
	collation, err := s.collation(ctx)
	if err != nil {
		return err
	}
	// Sent together, the two are one transaction: no table without its index.
	_, err = s.pool.Exec(ctx, q.create(collation))
	return unlessMeanwhile(err)
}

// unlessMeanwhile forgives that another process was first to create the same:
// IF NOT EXISTS does not see what is not committed yet, and then collides with
// it in the catalogue.
func unlessMeanwhile(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "23505", "42P06", "42P07", "42710": // unique violation, duplicate schema, table, object
			return nil
		}
	}
	return err
}

// collation returns what makes a text column compare as bytes. CockroachDB's
// always do, and it refuses columns with this collation.
func (s *Store) collation(ctx context.Context) (string, error) {
	var version string
	if err := s.pool.QueryRow(ctx, `SELECT version()`).Scan(&version); err != nil {
		return "", err
	}
	if strings.HasPrefix(version, "CockroachDB") {
		return "", nil
	}
	return ` COLLATE "C"`, nil
}
