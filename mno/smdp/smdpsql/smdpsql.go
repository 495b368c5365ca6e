// Package smdpsql keeps an SM-DP+'s order book in SQLite or PostgreSQL. It takes
// an open *sql.DB, so the program chooses the driver:
//
//	db, err := sql.Open("sqlite", "smdp.db") // modernc.org/sqlite
//	db, err := sql.Open("pgx", dsn)          // github.com/jackc/pgx/v5/stdlib
//	store, err := smdpsql.Open(ctx, db)
//	engine, err := smdp.New(smdp.Config{Store: store, ...})
//
// The tables are named smdp_..., so that the database may hold other things too,
// such as the registry's. Several processes may use the same ones. An SQLite file
// must lie on a disk that honours fsync and locks, not on a network share.
//
// What is stored opens no sealed profile, but bound packages and the hashes of
// short confirmation codes are for nobody else: guard the database like a key.
// No error of this package shows them.
package smdpsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/mno/smdp"
)

// Store is a [smdp.Store] in a database. Make it with [Open]. It holds no
// connection between calls and need not be closed.
type Store struct {
	db *sql.DB
	d  dialect

	// turn is held by who writes to SQLite, which lets in one at a time anyway: in
	// here they wait in a row, in the database they would try again and again.
	turn chan struct{}
}

var _ smdp.Store = (*Store)(nil)

// Open finds out what db is and makes the tables there, or brings those of an
// older program up to date, in one transaction. Those of a newer one are left
// alone: [ErrNewer]. Anything but SQLite in a file, in which it switches the
// write-ahead log on, and PostgreSQL is refused with [ErrUnsupported]. The
// database remains its caller's to close.
func Open(ctx context.Context, db *sql.DB) (*Store, error) {
	d, err := detect(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("smdpsql: open: %w", err)
	}
	s := &Store{db: db, d: d, turn: make(chan struct{}, 1)}
	if err := s.migrate(ctx); err != nil {
		return nil, fmt.Errorf("smdpsql: open: %w", reason(ctx, err))
	}
	return s, nil
}

// Find implements [smdp.Store]. It is [ErrDamaged] where the record cannot be
// read.
func (s *Store) Find(ctx context.Context, q smdp.Query) (smdp.Profile, error) {
	if err := ctx.Err(); err != nil {
		return smdp.Profile{}, err
	}
	where, args := selection(q)
	for _, a := range args {
		if !storable(a.(string)) {
			return smdp.Profile{}, smdp.ErrNotFound // a database would not even take the question
		}
	}
	r, err := s.read(ctx, `SELECT `+columns+` FROM smdp_profiles WHERE `+where, args...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return smdp.Profile{}, smdp.ErrNotFound
	case err != nil:
		return smdp.Profile{}, fmt.Errorf("smdpsql: find: %w", reason(ctx, err))
	}
	return r.profile()
}

// selection is the condition that a query stands for. Conditions like waiting <>
// ” let the database use the indexes that have the same.
func selection(q smdp.Query) (where string, args []any) {
	switch {
	case q.ICCID != "":
		return `iccid = $1`, []any{q.ICCID}
	case q.MatchingID != "":
		return `matching_id = $1 AND matching_id <> ''`, []any{q.MatchingID}
	case !q.Device.IsZero() && q.ProfileID != 0:
		return `device = $1 AND profile_id = $2 AND profile_id <> ''`, []any{q.Device.String(), number(q.ProfileID)}
	case !q.Device.IsZero():
		return `device = $1 AND profile_id <> '' ORDER BY profile_id DESC LIMIT 1`, []any{q.Device.String()}
	case !q.EUICC.IsZero():
		return `waiting = $1 AND waiting <> '' ORDER BY profile_id DESC, iccid LIMIT 1`, []any{q.EUICC.String()}
	}
	return `iccid = (SELECT iccid FROM smdp_transactions WHERE id = $1 ORDER BY iccid LIMIT 1)`, []any{q.Transaction}
}

// read runs a query of one row.
func (s *Store) read(ctx context.Context, query string, args ...any) (row, error) {
	var from conn = s.db // which replaces a connection that has gone stale
	if s.d.settings != "" {
		c, err := s.db.Conn(ctx)
		if err != nil {
			return row{}, err
		}
		defer c.Close()
		// The pool may have opened the connection just now.
		if _, err := c.ExecContext(ctx, s.d.settings); err != nil {
			return row{}, err
		}
		from = c
	}
	var r row
	err := from.QueryRowContext(ctx, s.d.sql(query), args...).Scan(&r.iccid, &r.matchingID, &r.device, &r.profileID, &r.version, &r.body)
	return r, err
}
