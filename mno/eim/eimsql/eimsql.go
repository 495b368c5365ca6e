// Package eimsql keeps what an eIM knows of its eUICCs in SQLite or PostgreSQL. It
// takes an open *sql.DB, so the program chooses the driver:
//
//	db, err := sql.Open("sqlite", "eim.db") // modernc.org/sqlite
//	db, err := sql.Open("pgx", dsn)         // github.com/jackc/pgx/v5/stdlib
//	store, err := eimsql.Open(ctx, db)
//	manager, err := eim.New(eim.Config{Store: store, ...})
//
// The tables are named eim_..., so that the database may hold other things too,
// such as an SM-DP+'s orders. Several processes may use the same ones. An SQLite
// file must lie on a disk that honours fsync and locks, not on a network share.
//
// Counters of packages are here: a database that is put back to an older state
// makes eUICCs refuse packages as replays. Activation codes of downloads are here
// too: guard the database like a key. No error of this package shows them.
package eimsql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/internal/sqlkit"
	"github.com/iotregistry/sdk/registry/eid"
)

// What [Open] and the calls of a [Store] can meet, besides the errors of package
// eim, of contexts and of the driver.
var (
	// ErrNewer says that a newer program has changed the layout of the tables.
	// Nothing was changed by Open.
	ErrNewer = sqlkit.ErrNewer

	// ErrUnsupported says that the database is not one that Open takes.
	ErrUnsupported = sqlkit.ErrUnsupported

	// ErrDamaged says that what is stored cannot be read: something else has
	// written to the tables, or a newer program.
	ErrDamaged = sqlkit.ErrDamaged
)

var errText = errors.New("a text cannot be stored: it must be UTF-8, and have no NUL in the ID of a job")

// Store is an [eim.Store] in a database. Make it with [Open]. It holds no
// connection between calls and need not be closed.
type Store struct{ db *sqlkit.DB }

var _ eim.Store = (*Store)(nil)

//go:embed migrations/*.sql
var files embed.FS

// Open finds out what db is and makes the tables there, or brings those of an
// older program up to date, in one transaction. Those of a newer one are left
// alone: [ErrNewer]. Anything but SQLite in a file, in which it switches the
// write-ahead log on, and PostgreSQL is refused with [ErrUnsupported]. The
// database remains its caller's to close.
func Open(ctx context.Context, db *sql.DB) (*Store, error) {
	b, err := sqlkit.Open(ctx, db, sqlkit.Layout{Name: "eim", Steps: files})
	if err != nil {
		return nil, fmt.Errorf("eimsql: open: %w", err)
	}
	return &Store{b}, nil
}

// Find implements [eim.Store]. It is [ErrDamaged] where the record cannot be read.
func (s *Store) Find(ctx context.Context, device eid.ID) (eim.Record, error) {
	return s.find(ctx, `eid = $1`, device.String())
}

// FindJob implements [eim.Store]. It is [ErrDamaged] where the record cannot be
// read.
func (s *Store) FindJob(ctx context.Context, jobID string) (eim.Record, error) {
	return s.find(ctx, `eid = (SELECT eid FROM eim_jobs WHERE id = $1 ORDER BY eid LIMIT 1)`, jobID)
}

func (s *Store) find(ctx context.Context, where, value string) (eim.Record, error) {
	if err := ctx.Err(); err != nil {
		return eim.Record{}, err
	}
	if !sqlkit.Storable(value) {
		return eim.Record{}, eim.ErrNotFound // a database would not even take the question
	}
	var id string
	var version int64
	var body []byte
	err := s.db.QueryRow(ctx, `SELECT eid, version, body FROM eim_euiccs WHERE `+where, []any{value}, &id, &version, &body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return eim.Record{}, eim.ErrNotFound
	case err != nil:
		return eim.Record{}, fmt.Errorf("eimsql: find: %w", sqlkit.Reason(ctx, err))
	}
	r, err := decode(body)
	if err == nil && r.EID.UnmarshalText([]byte(id)) != nil {
		err = ErrDamaged
	}
	if err != nil {
		return eim.Record{}, fmt.Errorf("eimsql: record %.40q: %w", id, err)
	}
	r.Version = uint64(version)
	return r, nil
}

// Put implements [eim.Store]. Texts that are not UTF-8, or have a NUL in the ID of
// a job, are refused. When the connection to PostgreSQL breaks while Put awaits
// the end, the error is neither nil nor ErrChanged, and only Find says what is
// stored.
func (s *Store) Put(ctx context.Context, r eim.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Version >= math.MaxInt64 {
		return eim.ErrChanged
	}
	body, err := encode(r)
	if err != nil {
		return fmt.Errorf("eimsql: put: record %v: %w", r.EID, err)
	}
	err = s.db.Write(ctx, func(tx *sqlkit.Tx) error { return write(ctx, tx, r, body) })
	switch {
	case err == nil:
		return nil
	case sqlkit.Conflicting(err):
		return fmt.Errorf("%w (%w)", eim.ErrChanged, err)
	}
	return fmt.Errorf("eimsql: put: %w", sqlkit.Reason(ctx, err))
}

// write stores a record that follows the one with its version.
func write(ctx context.Context, tx *sqlkit.Tx, r eim.Record, body []byte) error {
	id, version := r.EID.String(), int64(r.Version) // Put has seen that one more is no overflow
	var n int64
	var err error
	if version == 0 {
		n, err = tx.Insert(ctx, `eim_euiccs (eid, version, body)`, [][]any{{id, version + 1, body}})
	} else {
		n, err = tx.Exec(ctx, `UPDATE eim_euiccs SET version = $2, body = $3 WHERE eid = $1 AND version = $4`, id, version+1, body, version)
	}
	if err == nil && n != 1 {
		err = eim.ErrChanged
	}
	if err != nil {
		return err
	}
	return index(ctx, tx, id, r)
}

// index brings the table of jobs up to date. Most changes of a record leave its
// jobs where they are: nothing is written for those.
func index(ctx context.Context, tx *sqlkit.Tx, id string, r eim.Record) error {
	var rows [][]any
	args := []any{id}
	var marks strings.Builder
	for _, list := range [][]eim.Job{r.Queue, r.History} {
		for i := range list {
			rows = append(rows, []any{list[i].ID, id})
			args = append(args, list[i].ID)
			fmt.Fprintf(&marks, "%c$%d", "(,"[min(len(rows)-1, 1)], len(args))
		}
	}
	gone := `DELETE FROM eim_jobs WHERE eid = $1`
	if len(rows) > 0 {
		gone += ` AND id NOT IN ` + marks.String() + `)`
	}
	if r.Version > 0 {
		if _, err := tx.Exec(ctx, gone, args...); err != nil {
			return err
		}
	}
	_, err := tx.Insert(ctx, `eim_jobs (id, eid)`, rows)
	return err
}
