// Package sqlkit is what the SQL stores of mno have in common: which database it
// is, how its connections are set, how one writes, the versions of tables, and
// what errors mean. It knows SQLite and PostgreSQL by what they answer, and no
// driver.
package sqlkit

import (
	"context"
	"database/sql"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// Layout is the tables of one store.
type Layout struct {
	// Name is what the names of the tables begin with, such as "smdp". The table
	// NAME_layout has the version.
	Name string

	// Steps has files migrations/0001_WHAT.sql and so on, numbered without gaps. A
	// step that was released is not edited. What is in braces there is replaced:
	//
	//	{text}      the text type whose order is that of bytes
	//	{bytes}     the type of bytes
	//	{storage}   behind a table: leave room on pages for the next version of a row
	//	{postgres}  before a line: only for PostgreSQL
	Steps fs.FS
}

// DB is a database with the tables of a layout. It holds no connection between
// calls and need not be closed. It is safe for concurrent use.
type DB struct {
	pool *sql.DB
	d    dialect

	// turn is held by who writes to SQLite, which lets in one at a time anyway: in
	// here they wait in a row, in the database they would try again and again.
	turn chan struct{}
}

// Open finds out what pool is and makes the tables there, or brings those of an
// older program up to date, in one transaction. Its errors, besides those of the
// driver, wrap ErrNewer, ErrUnsupported or ErrDamaged.
func Open(ctx context.Context, pool *sql.DB, l Layout) (*DB, error) {
	d, err := detect(ctx, pool)
	if err != nil {
		return nil, err
	}
	b := &DB{pool: pool, d: d, turn: make(chan struct{}, 1)}
	if err := b.migrate(ctx, l); err != nil {
		return nil, Reason(ctx, err)
	}
	return b, nil
}

// QueryRow runs a query of one row and scans it. Placeholders are $1 and so on.
// The error is as the driver gives it; see Reason.
func (b *DB) QueryRow(ctx context.Context, query string, args []any, into ...any) error {
	var from conn = b.pool // which replaces a connection that has gone stale
	if b.d.settings != "" {
		c, err := b.pool.Conn(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		// The pool may have opened the connection just now.
		if _, err := c.ExecContext(ctx, b.d.settings); err != nil {
			return err
		}
		from = c
	}
	return from.QueryRowContext(ctx, b.d.sql(query), args...).Scan(into...)
}

// Storable reports whether a text column can hold s, and a query ask for it.
func Storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
