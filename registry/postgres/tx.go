package postgres

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/iotregistry/sdk/registry"
)

// One statement writes at most so many records and, past the first, bytes.
const (
	batchRecords = 1000
	batchBytes   = 8 << 20
)

// tx is a [registry.Tx] over one SQL transaction.
type tx struct {
	sql      map[registry.Table]*statements
	tx       pgx.Tx
	readOnly bool
	wrote    bool
	failed   error // the first error that makes the transaction worthless
}

func (t *tx) table(name registry.Table) (*statements, error) {
	q := t.sql[name]
	if q == nil {
		return nil, fmt.Errorf("postgres: %w: %q", registry.ErrTable, name)
	}
	return q, nil
}

func (t *tx) writable(name registry.Table) (*statements, error) {
	if t.readOnly {
		return nil, fmt.Errorf("postgres: %w", registry.ErrReadOnly)
	}
	return t.table(name)
}

// fail remembers why the transaction can no longer be committed.
func (t *tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// Get implements [registry.Tx].
func (t *tx) Get(ctx context.Context, name registry.Table, keys ...string) ([]registry.Record, error) {
	q, err := t.table(name)
	if err != nil {
		return nil, err
	}
	if keys = possible(keys); len(keys) == 0 {
		return nil, ctx.Err()
	}
	return t.query(ctx, q.get, keys)
}

// possible returns the keys that a table can hold.
func possible(keys []string) []string {
	if !slices.ContainsFunc(keys, func(k string) bool { return !storable(k) }) {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !storable(k) })
}

// List implements [registry.Tx].
func (t *tx) List(ctx context.Context, name registry.Table, q registry.Query) ([]registry.Record, error) {
	sql, err := t.table(name)
	if err != nil {
		return nil, err
	}
	if !storable(q.After) || !storable(q.Parent) {
		return nil, fmt.Errorf("postgres: list %s: %w: keys and parents are UTF-8 without NUL", name, registry.ErrInvalid)
	}
	if q.Limit <= 0 || q.Limit > registry.MaxLimit {
		q.Limit = registry.MaxLimit
	}
	if q.Parent == "" {
		return t.query(ctx, sql.list, q.After, q.Limit)
	}
	return t.query(ctx, sql.children, q.After, q.Limit, q.Parent)
}

func (t *tx) query(ctx context.Context, sql string, args ...any) ([]registry.Record, error) {
	rows, _ := t.tx.Query(ctx, sql, args...) // its error comes again below
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r registry.Record, err error) {
		err = row.Scan(&r.Key, &r.Parent, &r.Version, &r.Body)
		return r, err
	})
	if err != nil {
		return nil, t.fail(fmt.Errorf("postgres: %w", err))
	}
	return out, nil
}

// Put implements [registry.Tx]. Keys and parents must be UTF-8 without NUL.
func (t *tx) Put(ctx context.Context, name registry.Table, recs ...registry.Record) error {
	q, err := t.writable(name)
	if err != nil {
		return err
	}
	for _, r := range recs {
		if r.Key == "" {
			return fmt.Errorf("postgres: %w: record without a key", registry.ErrInvalid)
		}
		if !storable(r.Key) || !storable(r.Parent) {
			return fmt.Errorf("postgres: %w: key %q, parent %q: keys and parents are UTF-8 without NUL", registry.ErrInvalid, r.Key, r.Parent)
		}
	}
	for len(recs) > 0 {
		n := batchOf(recs)
		if err := t.putBatch(ctx, name, q, recs[:n]); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return ctx.Err()
}

// batchOf returns how many of recs one statement may write. It ends before a
// key that comes again, so that the second finds what the first has written.
func batchOf(recs []registry.Record) int {
	seen := make(map[string]struct{}, min(len(recs), batchRecords))
	size := 0
	for i, r := range recs {
		size += len(r.Key) + len(r.Parent) + len(r.Body)
		if _, again := seen[r.Key]; again || i == batchRecords || i > 0 && size > batchBytes {
			return i
		}
		seen[r.Key] = struct{}{}
	}
	return len(recs)
}

// putBatch writes records of different keys. All transactions write in the
// order of keys, so that few of them deadlock.
func (t *tx) putBatch(ctx context.Context, name registry.Table, q *statements, recs []registry.Record) error {
	recs = slices.Clone(recs)
	slices.SortFunc(recs, func(a, b registry.Record) int { return cmp.Compare(a.Key, b.Key) })
	var created, changed columns
	for _, r := range recs {
		switch {
		case r.Version == 0:
			created.add(r)
		case r.Version >= math.MaxInt64:
			return t.fail(conflict(name, r.Key)) // nothing was ever that old
		default:
			changed.add(r)
		}
	}
	if err := t.write(ctx, name, q.insert, created.keys, created.parents, created.bodies); err != nil {
		return err
	}
	return t.write(ctx, name, q.update, changed.keys, changed.parents, changed.bodies, changed.versions)
}

// columns are records as arrays for unnest.
type columns struct {
	keys, parents []string
	bodies        [][]byte
	versions      []int64
}

func (c *columns) add(r registry.Record) {
	if r.Body == nil {
		r.Body = []byte{} // a nil slice would be NULL
	}
	c.keys = append(c.keys, r.Key)
	c.parents = append(c.parents, r.Parent)
	c.bodies = append(c.bodies, r.Body)
	c.versions = append(c.versions, int64(r.Version))
}

// write runs a statement that returns the keys it wrote and wants all of them.
func (t *tx) write(ctx context.Context, name registry.Table, sql string, keys []string, more ...any) error {
	if len(keys) == 0 {
		return nil
	}
	t.wrote = true
	rows, _ := t.tx.Query(ctx, sql, append([]any{keys}, more...)...) // its error comes again below
	wrote, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return t.fail(fmt.Errorf("postgres: put %s: %w", name, err))
	}
	if len(wrote) == len(keys) {
		return nil
	}
	slices.Sort(wrote)
	for _, key := range keys {
		if _, ok := slices.BinarySearch(wrote, key); !ok {
			return t.fail(conflict(name, key))
		}
	}
	return t.fail(fmt.Errorf("postgres: put %s: the server wrote %d records of %d", name, len(wrote), len(keys)))
}

func conflict(name registry.Table, key string) error {
	return fmt.Errorf("postgres: %s %q: %w", name, key, registry.ErrConflict)
}

// Delete implements [registry.Tx].
func (t *tx) Delete(ctx context.Context, name registry.Table, keys ...string) error {
	q, err := t.writable(name)
	if err != nil {
		return err
	}
	if keys = possible(keys); len(keys) == 0 {
		return ctx.Err()
	}
	t.wrote = true
	if _, err := t.tx.Exec(ctx, q.remove, keys); err != nil {
		return t.fail(fmt.Errorf("postgres: delete from %s: %w", name, err))
	}
	return nil
}
