package sqlkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// conn is a pool, a connection or a transaction.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// dialect is what differs between databases.
type dialect struct {
	settings string // of each connection, before it is used
	prepare  string // of the database; answers with one text, which must be prepared
	prepared string

	one   bool   // one writer at a time
	mark  bool   // placeholders are ?1 and not $1
	lock  string // in a transaction: keeps out others that want to change the tables
	table string // how many tables of the name $1 there are

	text, bytes, storage, postgres string // for the steps of the layout
}

// postgres is PostgreSQL and what calls itself so. The lock's number is arbitrary.
func postgres() dialect {
	return dialect{
		lock:  `SELECT pg_advisory_xact_lock(5563198263102217)`,
		table: `SELECT count(*) FROM (SELECT to_regclass($1) AS t) AS found WHERE t IS NOT NULL`,
		text:  `TEXT COLLATE "C"`, bytes: "BYTEA", storage: " WITH (fillfactor = 70)",
	}
}

// sqlite is SQLite in a file. Its own default is not to wait for other
// processes, and its driver may have been told to be less durable than what is
// stored must be.
func sqlite() dialect {
	return dialect{
		settings: "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL",
		prepare:  "PRAGMA journal_mode = WAL", prepared: "wal",
		one: true, mark: true,
		table: `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`,
		text:  "TEXT COLLATE BINARY", bytes: "BLOB", postgres: "-- ",
	}
}

// detect asks a database what it is.
func detect(ctx context.Context, db *sql.DB) (dialect, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return dialect{}, err
	}
	defer c.Close()
	var name string
	asServer := c.QueryRowContext(ctx, `SELECT version()`).Scan(&name)
	if asServer == nil {
		if !strings.HasPrefix(name, "PostgreSQL ") {
			return dialect{}, fmt.Errorf("%w; this is %.60q", ErrUnsupported, name)
		}
		return postgres(), nil
	}
	file := sqlite()
	_, asFile := c.ExecContext(ctx, file.settings) // first, since even a version waits for others
	if asFile == nil {
		asFile = c.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&name)
	}
	if asFile == nil {
		return file, nil
	}
	if err := errors.Join(ctx.Err(), c.PingContext(ctx)); err != nil {
		return dialect{}, err // it says nothing about the kind
	}
	return dialect{}, fmt.Errorf("%w: %w", ErrUnsupported, errors.Join(asServer, asFile))
}

var placeholder = regexp.MustCompile(`\$[0-9]+`)

// sql returns a query with the placeholders of the dialect.
func (d *dialect) sql(query string) string {
	if !d.mark {
		return query
	}
	return placeholder.ReplaceAllStringFunc(query, func(s string) string { return "?" + s[1:] })
}
