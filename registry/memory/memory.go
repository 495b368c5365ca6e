// Package memory keeps a registry's records in memory: for tests, demos and
// trying things out. Everything is gone when the process ends.
package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/iotregistry/sdk/registry"
)

// Store is a [registry.Store] in memory. Make it with [New].
type Store struct {
	mu     sync.RWMutex
	tables map[registry.Table]*table
}

type table struct {
	rows     map[string]registry.Record
	children map[string]map[string]struct{} // keys by parent

	sorting sync.Mutex // readers share Store.mu, so the cache has its own lock
	keys    []string   // all keys sorted; nil when a write made it stale
}

// New returns an empty store.
func New() *Store {
	s := &Store{tables: map[registry.Table]*table{}}
	for _, t := range registry.Tables() {
		s.tables[t] = &table{rows: map[string]registry.Record{}, children: map[string]map[string]struct{}{}}
	}
	return s
}

// View implements [registry.Store].
func (s *Store) View(ctx context.Context, fn func(registry.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return fn(&tx{s: s})
}

// Update implements [registry.Store]. Updates run one at a time.
func (s *Store) Update(ctx context.Context, fn func(registry.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tx{s: s, write: true, changed: map[registry.Table]map[string]*registry.Record{}}
	if err := fn(t); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for name, recs := range t.changed {
		s.tables[name].apply(recs)
	}
	return nil
}

func (t *table) apply(recs map[string]*registry.Record) {
	for key, rec := range recs {
		old, had := t.rows[key]
		if had && (rec == nil || rec.Parent != old.Parent) {
			delete(t.children[old.Parent], key)
		}
		if had != (rec != nil) {
			t.keys = nil
		}
		if rec == nil {
			delete(t.rows, key)
			continue
		}
		if t.children[rec.Parent] == nil {
			t.children[rec.Parent] = map[string]struct{}{}
		}
		t.children[rec.Parent][key] = struct{}{}
		t.rows[key] = *rec
	}
}

// sorted returns every key, or those of one parent, in byte order.
func (t *table) sorted(parent string) []string {
	if parent != "" {
		return slices.Sorted(maps.Keys(t.children[parent]))
	}
	t.sorting.Lock()
	defer t.sorting.Unlock()
	if t.keys == nil {
		t.keys = slices.Sorted(maps.Keys(t.rows))
	}
	return t.keys
}

// tx is a transaction: the store's rows under what it changed itself. A nil
// change is a deletion.
type tx struct {
	s       *Store
	write   bool
	changed map[registry.Table]map[string]*registry.Record
}

func (t *tx) table(ctx context.Context, name registry.Table) (*table, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	tab := t.s.tables[name]
	if tab == nil {
		return nil, fmt.Errorf("memory: %w: %q", registry.ErrTable, name)
	}
	return tab, nil
}

func (t *tx) row(name registry.Table, tab *table, key string) (registry.Record, bool) {
	if rec, ok := t.changed[name][key]; ok {
		if rec == nil {
			return registry.Record{}, false
		}
		return *rec, true
	}
	rec, ok := tab.rows[key]
	return rec, ok
}

func copyOf(rec registry.Record) registry.Record {
	rec.Body = slices.Clone(rec.Body)
	return rec
}

// Get implements [registry.Tx].
func (t *tx) Get(ctx context.Context, name registry.Table, keys ...string) ([]registry.Record, error) {
	tab, err := t.table(ctx, name)
	if err != nil {
		return nil, err
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	var out []registry.Record
	for _, key := range keys {
		if rec, ok := t.row(name, tab, key); ok {
			out = append(out, copyOf(rec))
		}
	}
	return out, nil
}

// List implements [registry.Tx].
func (t *tx) List(ctx context.Context, name registry.Table, q registry.Query) ([]registry.Record, error) {
	tab, err := t.table(ctx, name)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit <= 0 || limit > registry.MaxLimit {
		limit = registry.MaxLimit
	}
	keys := t.keys(name, tab, q.Parent)
	start, found := slices.BinarySearch(keys, q.After)
	if found {
		start++
	}
	var out []registry.Record
	for _, key := range keys[start:] {
		rec, ok := t.row(name, tab, key)
		if !ok || q.Parent != "" && rec.Parent != q.Parent {
			continue
		}
		out = append(out, copyOf(rec))
		if len(out) == limit {
			break
		}
	}
	return out, nil
}

// keys returns the candidates of a List: the table's own and what t added.
func (t *tx) keys(name registry.Table, tab *table, parent string) []string {
	keys := tab.sorted(parent)
	if len(t.changed[name]) == 0 {
		return keys
	}
	all := slices.AppendSeq(slices.Clone(keys), maps.Keys(t.changed[name]))
	slices.Sort(all)
	return slices.Compact(all)
}

// Put implements [registry.Tx].
func (t *tx) Put(ctx context.Context, name registry.Table, recs ...registry.Record) error {
	tab, err := t.table(ctx, name)
	if err != nil {
		return err
	}
	if !t.write {
		return fmt.Errorf("memory: %w", registry.ErrReadOnly)
	}
	for _, rec := range recs {
		if rec.Key == "" {
			return fmt.Errorf("memory: %w: record without a key", registry.ErrInvalid)
		}
		if old, _ := t.row(name, tab, rec.Key); old.Version != rec.Version {
			return fmt.Errorf("memory: %s %q: %w", name, rec.Key, registry.ErrConflict)
		}
		rec = copyOf(rec)
		rec.Version++
		t.change(name, rec.Key, &rec)
	}
	return nil
}

// Delete implements [registry.Tx].
func (t *tx) Delete(ctx context.Context, name registry.Table, keys ...string) error {
	tab, err := t.table(ctx, name)
	if err != nil {
		return err
	}
	if !t.write {
		return fmt.Errorf("memory: %w", registry.ErrReadOnly)
	}
	for _, key := range keys {
		if _, ok := t.row(name, tab, key); ok {
			t.change(name, key, nil)
		}
	}
	return nil
}

func (t *tx) change(name registry.Table, key string, rec *registry.Record) {
	if t.changed[name] == nil {
		t.changed[name] = map[string]*registry.Record{}
	}
	t.changed[name][key] = rec
}
