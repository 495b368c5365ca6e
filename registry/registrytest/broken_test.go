package registrytest_test

import (
	"context"
	"errors"
	"slices"
	"unicode/utf16"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/memory"
)

func utf16Order(in registry.Tx) registry.Tx {
	return tx{Tx: in, sort: func(recs []registry.Record) {
		slices.SortFunc(recs, func(a, b registry.Record) int {
			return slices.Compare(utf16.Encode([]rune(a.Key)), utf16.Encode([]rune(b.Key)))
		})
	}}
}

type firstTx struct{ registry.Tx }

// checksFirst writes many records together and looks at the first one's version.
func checksFirst(in registry.Tx) registry.Tx { return firstTx{in} }

func (t firstTx) Put(ctx context.Context, table registry.Table, recs ...registry.Record) error {
	for i, r := range recs {
		tx := t.Tx
		if i > 0 {
			tx = forgetful(tx)
		}
		if err := tx.Put(ctx, table, r); err != nil {
			return err
		}
	}
	return nil
}

// byOffset takes a later page for what follows as many records as it has returned.
func byOffset() registry.Store {
	returned := 0
	return wrap(func(in registry.Tx) registry.Tx { return offsetTx{in, &returned} })
}

type offsetTx struct {
	registry.Tx
	returned *int
}

func (t offsetTx) List(ctx context.Context, table registry.Table, q registry.Query) ([]registry.Record, error) {
	if q.After == "" {
		*t.returned = 0
	}
	all, err := t.Tx.List(ctx, table, registry.Query{Parent: q.Parent})
	page := all[min(*t.returned, len(all)):]
	if q.Limit > 0 {
		page = page[:min(q.Limit, len(page))]
	}
	*t.returned += len(page)
	return page, err
}

// snapshot isolation: reads come from one moment, versions are checked when the
// writes are applied, and who lost is repeated. Nobody looks at what was read.
type snapshot struct{ *memory.Store }

func (s snapshot) Update(ctx context.Context, fn func(registry.Tx) error) (err error) {
	for range 100 {
		var late lateTx
		if err = s.View(ctx, func(tx registry.Tx) error { late.Tx = tx; return fn(&late) }); err != nil {
			return err
		}
		err = s.Store.Update(ctx, func(tx registry.Tx) error {
			for _, put := range late.puts {
				if err := put(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
	return err
}

// dirty repeats an update without taking back what it had written.
type dirty struct{ *memory.Store }

func (s dirty) Update(ctx context.Context, fn func(registry.Tx) error) (err error) {
	for range 100 {
		var late lateTx
		if err = s.View(ctx, func(tx registry.Tx) error { late.Tx = tx; return fn(&late) }); err != nil {
			return err
		}
		for _, put := range late.puts {
			if err = s.Store.Update(ctx, put); err != nil {
				break
			}
		}
		if !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
	return err
}

// countsOn shows a key that was deleted once with a version that goes on.
func countsOn() registry.Store {
	deleted := map[string]bool{}
	return wrap(func(in registry.Tx) registry.Tx {
		return tx{Tx: in,
			gone: func(keys []string) {
				for _, key := range keys {
					deleted[key] = true
				}
			},
			sort: func(recs []registry.Record) {
				for i, r := range recs {
					if deleted[r.Key] {
						recs[i].Version++
					}
				}
			},
		}
	})
}

// replayed keeps a log of its updates, and reads it badly after a crash: without
// the last ones, or with those that failed.
type replayed struct {
	*memory.Store
	drop   int
	failed bool
	log    []func(registry.Tx) error
}

func (s *replayed) Update(ctx context.Context, fn func(registry.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	if err == nil || s.failed {
		s.log = append(s.log, fn)
	}
	return err
}

func (s *replayed) reopen(ctx context.Context) registry.Store {
	again := &replayed{Store: memory.New(), drop: s.drop, failed: s.failed}
	for _, fn := range s.log[:len(s.log)-s.drop] {
		_ = keepsFailed{again.Store}.Update(ctx, fn)
	}
	return again
}
