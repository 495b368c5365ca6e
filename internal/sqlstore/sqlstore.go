// Package sqlstore is the SQL of the registry's SQLite store: one plain table per
// kind of record, keyed by the record's own key, with no sequences or triggers.
// Transactions, connections and durability are its caller's, package sqlite.
// Numbered steps bring the tables of older programs up to date; package postgres
// has files of its own for its dialect, and shares how they are read.
package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/iotregistry/sdk/registry"
)

// anyKey is a condition that key is one of the JSON array of strings bound to it:
// one statement for any number of keys.
const anyKey = "key IN (SELECT value FROM json_each(?))"

// Conn is a database connection or transaction. One that is used for many
// records should prepare its statements once.
type Conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Tx is a [registry.Tx] over one SQL transaction or savepoint.
type Tx struct {
	Conn     Conn
	ReadOnly bool
}

func check(t registry.Table) error {
	if !slices.Contains(registry.Tables(), t) {
		return fmt.Errorf("sqlstore: %w: %q", registry.ErrTable, t)
	}
	return nil
}

func (tx Tx) writable(t registry.Table) error {
	if tx.ReadOnly {
		return fmt.Errorf("sqlstore: %w", registry.ErrReadOnly)
	}
	return check(t)
}

// storable reports whether a key comes back as it was put: as JSON, in which
// keys are handed over, other bytes would turn into those of another key.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// possible returns the keys that a table can hold.
func possible(keys []string) []string {
	if !slices.ContainsFunc(keys, func(k string) bool { return !storable(k) }) {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !storable(k) })
}

// Get implements [registry.Tx].
func (tx Tx) Get(ctx context.Context, t registry.Table, keys ...string) ([]registry.Record, error) {
	if err := check(t); err != nil {
		return nil, err
	}
	if keys = possible(keys); len(keys) == 0 {
		return nil, ctx.Err()
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: encode keys: %w", err)
	}
	return tx.query(ctx, fmt.Sprintf(`SELECT key, parent, version, body FROM %s WHERE %s ORDER BY key`, t, anyKey), string(list))
}

// List implements [registry.Tx].
func (tx Tx) List(ctx context.Context, t registry.Table, q registry.Query) ([]registry.Record, error) {
	if err := check(t); err != nil {
		return nil, err
	}
	if q.Limit <= 0 || q.Limit > registry.MaxLimit {
		q.Limit = registry.MaxLimit
	}
	where, args := "key > ?", []any{q.After}
	if q.Parent != "" {
		where, args = "parent = ? AND parent <> '' AND key > ?", []any{q.Parent, q.After}
	}
	args = append(args, q.Limit)
	return tx.query(ctx, fmt.Sprintf(`SELECT key, parent, version, body FROM %s WHERE %s ORDER BY key LIMIT ?`, t, where), args...)
}

func (tx Tx) query(ctx context.Context, q string, args ...any) ([]registry.Record, error) {
	rows, err := tx.Conn.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	defer rows.Close()
	var out []registry.Record
	for rows.Next() {
		var r registry.Record
		if err := rows.Scan(&r.Key, &r.Parent, &r.Version, &r.Body); err != nil {
			return nil, fmt.Errorf("sqlstore: %w", err)
		}
		out = append(out, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	return out, nil
}

func (tx Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := tx.Conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Delete implements [registry.Tx].
func (tx Tx) Delete(ctx context.Context, t registry.Table, keys ...string) error {
	if err := tx.writable(t); err != nil {
		return err
	}
	if keys = possible(keys); len(keys) == 0 {
		return ctx.Err()
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return fmt.Errorf("sqlstore: encode keys: %w", err)
	}
	if _, err := tx.exec(ctx, fmt.Sprintf(`DELETE FROM %s WHERE %s`, t, anyKey), string(list)); err != nil {
		return fmt.Errorf("sqlstore: delete from %s: %w", t, err)
	}
	return nil
}
