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

// Get implements [registry.Tx].
func (tx Tx) Get(ctx context.Context, t registry.Table, keys ...string) ([]registry.Record, error) {
	if err := check(t); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
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
		where, args = "parent = ? AND key > ?", []any{q.Parent, q.After}
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

// Put implements [registry.Tx].
func (tx Tx) Put(ctx context.Context, t registry.Table, recs ...registry.Record) error {
	if err := tx.writable(t); err != nil {
		return err
	}
	insert := fmt.Sprintf(`INSERT INTO %s (key, parent, version, body) VALUES (?, ?, 1, ?) ON CONFLICT (key) DO NOTHING`, t)
	update := fmt.Sprintf(`UPDATE %s SET parent = ?, version = version + 1, body = ? WHERE key = ? AND version = ?`, t)
	for _, r := range recs {
		if r.Key == "" {
			return fmt.Errorf("sqlstore: %w: record without a key", registry.ErrInvalid)
		}
		if r.Body == nil {
			r.Body = []byte{} // a nil slice would be NULL
		}
		query, args := update, []any{r.Parent, r.Body, r.Key, r.Version}
		if r.Version == 0 {
			query, args = insert, []any{r.Key, r.Parent, r.Body}
		}
		n, err := tx.exec(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("sqlstore: put %s %q: %w", t, r.Key, err)
		}
		if n != 1 {
			return fmt.Errorf("sqlstore: %s %q: %w", t, r.Key, registry.ErrConflict)
		}
	}
	return ctx.Err()
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
	if len(keys) == 0 {
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
