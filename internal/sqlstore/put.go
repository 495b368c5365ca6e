package sqlstore

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/iotregistry/sdk/registry"
)

// insertRows is how many new records one statement writes. It is fixed, so that
// there is one such statement for a table, compiled once. Binding the values
// makes a third more records a second than one statement each; handing them over
// as JSON costs as much as it saves.
const insertRows = 32

// writes are the statements that write to one table. One that sets the parent
// writes the index of parents anew even where nothing changes, so that parents
// are set only where the cheaper statement finds another one.
type writes struct {
	table                      registry.Table
	insert, many, update, move string
}

func newWrites(t registry.Table) *writes {
	const row = `(?, ?, 1, ?)`
	insert := func(rows string) string {
		return fmt.Sprintf(`INSERT INTO %s (key, parent, version, body) VALUES %s ON CONFLICT (key) DO NOTHING`, t, rows)
	}
	return &writes{
		table:  t,
		insert: insert(row),
		many:   insert(strings.Repeat(row+`, `, insertRows-1) + row),
		update: fmt.Sprintf(`UPDATE %s SET version = version + 1, body = ? WHERE key = ? AND version = ? AND parent = ?`, t),
		move:   fmt.Sprintf(`UPDATE %s SET version = version + 1, body = ?, parent = ? WHERE key = ? AND version = ?`, t),
	}
}

// Put implements [registry.Tx]. Keys and parents must be UTF-8 without NUL.
func (tx Tx) Put(ctx context.Context, t registry.Table, recs ...registry.Record) error {
	if err := tx.writable(t); err != nil {
		return err
	}
	for _, r := range recs {
		if r.Key == "" {
			return fmt.Errorf("sqlstore: %w: record without a key", registry.ErrInvalid)
		}
		if !storable(r.Key) || !storable(r.Parent) {
			return fmt.Errorf("sqlstore: %w: key %q, parent %q: keys and parents are UTF-8 without NUL", registry.ErrInvalid, r.Key, r.Parent)
		}
	}
	w := newWrites(t)
	for len(recs) > 0 {
		put, n := tx.putOne, 1
		if allNew(recs) {
			put, n = tx.insertMany, insertRows
		}
		if err := put(ctx, w, recs[:n]); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return ctx.Err()
}

// allNew reports whether recs begin with as many new records as insertMany takes.
func allNew(recs []registry.Record) bool {
	if len(recs) < insertRows {
		return false
	}
	for _, r := range recs[:insertRows] {
		if r.Version != 0 {
			return false
		}
	}
	return true
}

func (tx Tx) insertMany(ctx context.Context, w *writes, recs []registry.Record) error {
	args := make([]any, 0, 3*insertRows)
	for _, r := range recs {
		args = append(args, r.Key, r.Parent, bodyOf(r))
	}
	n, err := tx.exec(ctx, w.many, args...)
	if err != nil {
		return fmt.Errorf("sqlstore: put %s: %w", w.table, err)
	}
	if n != insertRows {
		return fmt.Errorf("sqlstore: %s: %d of %d new records from %q to %q: %w",
			w.table, insertRows-n, insertRows, recs[0].Key, recs[insertRows-1].Key, registry.ErrConflict)
	}
	return nil
}

func (tx Tx) putOne(ctx context.Context, w *writes, recs []registry.Record) error {
	r := recs[0]
	n, err := tx.write(ctx, w, r)
	if err != nil {
		return fmt.Errorf("sqlstore: put %s %q: %w", w.table, r.Key, err)
	}
	if n != 1 {
		return fmt.Errorf("sqlstore: %s %q: %w", w.table, r.Key, registry.ErrConflict)
	}
	return nil
}

// write returns how many records were written: 0 or 1.
func (tx Tx) write(ctx context.Context, w *writes, r registry.Record) (int64, error) {
	switch {
	case r.Version == 0:
		return tx.exec(ctx, w.insert, r.Key, r.Parent, bodyOf(r))
	case r.Version > math.MaxInt64:
		return 0, nil // nothing was ever that old
	}
	n, err := tx.exec(ctx, w.update, bodyOf(r), r.Key, r.Version, r.Parent)
	if err != nil || n != 0 {
		return n, err
	}
	return tx.exec(ctx, w.move, bodyOf(r), r.Parent, r.Key, r.Version)
}

// bodyOf returns what is bound for a body: a nil slice would be NULL.
func bodyOf(r registry.Record) []byte {
	if r.Body == nil {
		return []byte{}
	}
	return r.Body
}
