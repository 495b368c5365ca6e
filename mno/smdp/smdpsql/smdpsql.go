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
	"embed"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/mno/internal/sqlkit"
	"github.com/iotregistry/sdk/mno/smdp"
)

// Store is a [smdp.Store] in a database. Make it with [Open]. It holds no
// connection between calls and need not be closed.
type Store struct{ db *sqlkit.DB }

var _ smdp.Store = (*Store)(nil)

//go:embed migrations/*.sql
var files embed.FS

// Open finds out what db is and makes the tables there, or brings those of an
// older program up to date, in one transaction. Those of a newer one are left
// alone: [ErrNewer]. Anything but SQLite in a file, in which it switches the
// write-ahead log on, and PostgreSQL is refused with [ErrUnsupported]. The
// database remains its caller's to close.
func Open(ctx context.Context, db *sql.DB) (*Store, error) {
	b, err := sqlkit.Open(ctx, db, sqlkit.Layout{Name: "smdp", Steps: files})
	if err != nil {
		return nil, fmt.Errorf("smdpsql: open: %w", err)
	}
	return &Store{b}, nil
}

// Find implements [smdp.Store]. It is [ErrDamaged] where the record cannot be
// read.
func (s *Store) Find(ctx context.Context, q smdp.Query) (smdp.Profile, error) {
	if err := ctx.Err(); err != nil {
		return smdp.Profile{}, err
	}
	where, args := selection(q)
	for _, a := range args {
		if !sqlkit.Storable(a.(string)) {
			return smdp.Profile{}, smdp.ErrNotFound // a database would not even take the question
		}
	}
	var r row
	err := s.db.QueryRow(ctx, `SELECT `+columns+` FROM smdp_profiles WHERE `+where, args,
		&r.iccid, &r.matchingID, &r.device, &r.profileID, &r.version, &r.body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return smdp.Profile{}, smdp.ErrNotFound
	case err != nil:
		return smdp.Profile{}, fmt.Errorf("smdpsql: find: %w", sqlkit.Reason(ctx, err))
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
