package registrytest_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/registrytest"
)

const brokenEnv = "REGISTRYTEST_BROKEN"

// broken stores, each breaking one rule, and the rule that must notice.
var broken = map[string]struct {
	rule  string
	store func() registry.Store
}{
	"forgets versions": {"Put refuses a version that was not read", func() registry.Store { return wrap(forgetful) }},
	"sorts as text":    {"keys are ordered as bytes", func() registry.Store { return wrap(alphabetical) }},
	"starts over":      {"List pages by key and parent", func() registry.Store { return wrap(startsOver) }},
	"cuts bodies":      {"a body of a megabyte survives", func() registry.Store { return wrap(cutsBodies) }},
	"keeps the failed": {"a failed update leaves nothing", func() registry.Store { return keepsFailed{memory.New()} }},
	"writes in views":  {"a view refuses writes", func() registry.Store { return writesInViews{memory.New()} }},
	"keeps parents":    {"a changed parent moves the record", func() registry.Store { return wrap(firstParent) }},
	"has no limit":     {"a list has a limit of its own", func() registry.Store { return wrap(limitless) }},
	"loses updates":    {"concurrent increments all count", func() registry.Store { return lastWins{memory.New()} }},
	"sees two moments": {"a view sees one moment", func() registry.Store { return twoMoments{memory.New()} }},
	"swallows panics":  {"an update that panics leaves nothing", func() registry.Store { return swallows{memory.New()} }},
	"never gives up":   {"a cancelled context changes nothing", func() registry.Store { return neverGivesUp{memory.New()} }},

	"checks the first":  {"one record of many that conflicts is found", func() registry.Store { return wrap(checksFirst) }},
	"sorts as UTF-16":   {"keys are ordered as bytes", func() registry.Store { return wrap(utf16Order) }},
	"pages by offset":   {"paging while others write skips and repeats nothing old", byOffset},
	"lets five win":     {"of five workers one wins", func() registry.Store { return lastWins{memory.New()} }},
	"is blind":          {"a transaction sees its own writes", func() registry.Store { return snapshot{memory.New()} }},
	"has write skew":    {"of two that read what the other writes one wins", func() registry.Store { return snapshot{memory.New()} }},
	"has phantoms":      {"of two that find nothing and add one wins", func() registry.Store { return snapshot{memory.New()} }},
	"repeats dirtily":   {"a repeated update starts clean", func() registry.Store { return dirty{memory.New()} }},
	"counts on":         {"a deleted key begins again at version 1", countsOn},
	"goes on to write":  {"a cancelled context ends what is running", func() registry.Store { return neverGivesUp{memory.New()} }},
	"promises too soon": {"what was committed survives a crash", func() registry.Store { return &replayed{Store: memory.New(), drop: 1} }},
	"revives the dead":  {"what was refused stays away after a crash", func() registry.Store { return &replayed{Store: memory.New(), failed: true} }},
}

// The suite is worth what it notices: each broken store is run in a process of
// its own, whose failure is the expected one.
func TestSuiteNoticesBrokenStores(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self, "-test.v",
				"-test.run=^TestBrokenStore$/^"+regexp.QuoteMeta(strings.ReplaceAll(c.rule, " ", "_"))+"$")
			cmd.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "the suite accepts a store that %s", name)
			require.Contains(t, string(out), "--- FAIL: TestBrokenStore/"+strings.ReplaceAll(c.rule, " ", "_"))
		})
	}
}

// TestBrokenStore is the process that TestSuiteNoticesBrokenStores starts.
func TestBrokenStore(t *testing.T) {
	c, ok := broken[os.Getenv(brokenEnv)]
	if !ok {
		return
	}
	h := registrytest.Harness{New: func(*testing.T) registry.Store { return c.store() }}
	if _, ok := c.store().(*replayed); ok {
		h.Reopen = func(t *testing.T, s registry.Store) registry.Store { return s.(*replayed).reopen(t.Context()) }
	}
	registrytest.TestStore(t, h)
}

// wrapped breaks the transactions of a good store.
type wrapped struct {
	*memory.Store
	tx func(registry.Tx) registry.Tx
}

func wrap(tx func(registry.Tx) registry.Tx) registry.Store { return wrapped{memory.New(), tx} }

func (s wrapped) View(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.View(ctx, func(tx registry.Tx) error { return fn(s.tx(tx)) })
}

func (s wrapped) Update(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Update(ctx, func(tx registry.Tx) error { return fn(s.tx(tx)) })
}

type tx struct {
	registry.Tx
	put  func(ctx context.Context, in registry.Tx, t registry.Table, r registry.Record) registry.Record
	list func(q registry.Query) registry.Query
	sort func([]registry.Record)
	gone func(keys []string)
}

func (t tx) Delete(ctx context.Context, table registry.Table, keys ...string) error {
	if t.gone != nil {
		t.gone(keys)
	}
	return t.Tx.Delete(ctx, table, keys...)
}

func (t tx) Put(ctx context.Context, table registry.Table, recs ...registry.Record) error {
	for _, r := range recs {
		if t.put != nil {
			r = t.put(ctx, t.Tx, table, r)
		}
		if err := t.Tx.Put(ctx, table, r); err != nil {
			return err
		}
	}
	return nil
}

func (t tx) List(ctx context.Context, table registry.Table, q registry.Query) ([]registry.Record, error) {
	if t.list != nil {
		q = t.list(q)
	}
	recs, err := t.Tx.List(ctx, table, q)
	if t.sort != nil {
		t.sort(recs)
	}
	return recs, err
}

func forgetful(in registry.Tx) registry.Tx {
	return tx{Tx: in, put: func(ctx context.Context, in registry.Tx, t registry.Table, r registry.Record) registry.Record {
		if old, err := in.Get(ctx, t, r.Key); err == nil && len(old) == 1 {
			r.Version = old[0].Version
		}
		return r
	}}
}

func alphabetical(in registry.Tx) registry.Tx {
	return tx{Tx: in, sort: func(recs []registry.Record) {
		slices.SortFunc(recs, func(a, b registry.Record) int {
			return strings.Compare(strings.ToLower(a.Key), strings.ToLower(b.Key))
		})
	}}
}

func startsOver(in registry.Tx) registry.Tx {
	return tx{Tx: in, list: func(q registry.Query) registry.Query {
		if q.After != "" {
			q.After = q.After[:1] // as if the cursor had lost a digit
		}
		return q
	}}
}

func cutsBodies(in registry.Tx) registry.Tx {
	return tx{Tx: in, put: func(_ context.Context, _ registry.Tx, _ registry.Table, r registry.Record) registry.Record {
		r.Body = r.Body[:min(len(r.Body), 1<<16-1)]
		return r
	}}
}

func firstParent(in registry.Tx) registry.Tx {
	return tx{Tx: in, put: func(ctx context.Context, in registry.Tx, t registry.Table, r registry.Record) registry.Record {
		if old, err := in.Get(ctx, t, r.Key); err == nil && len(old) == 1 {
			r.Parent = old[0].Parent
		}
		return r
	}}
}

type limitlessTx struct{ registry.Tx }

func limitless(in registry.Tx) registry.Tx { return limitlessTx{in} }

func (t limitlessTx) List(ctx context.Context, table registry.Table, q registry.Query) (all []registry.Record, err error) {
	for q.Limit <= 0 || len(all) < q.Limit {
		page, err := t.Tx.List(ctx, table, q)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all, q.After = append(all, page...), page[len(page)-1].Key
	}
	return all[:q.Limit], nil
}

// lastWins reads in one transaction and writes in another.
type lastWins struct{ *memory.Store }

func (s lastWins) Update(ctx context.Context, fn func(registry.Tx) error) error {
	var late lateTx
	err := s.View(ctx, func(tx registry.Tx) error { late.Tx = tx; return fn(&late) })
	if err != nil {
		return err
	}
	for range 100 {
		runtime.Gosched() // let the others in
	}
	return s.Store.Update(ctx, func(tx registry.Tx) error {
		for _, put := range late.puts {
			if err := put(forgetful(tx)); err != nil {
				return err
			}
		}
		return nil
	})
}

type lateTx struct {
	registry.Tx
	puts []func(registry.Tx) error
}

func (t *lateTx) Put(ctx context.Context, table registry.Table, recs ...registry.Record) error {
	t.puts = append(t.puts, func(tx registry.Tx) error { return tx.Put(ctx, table, recs...) })
	return nil
}

func (t *lateTx) Delete(ctx context.Context, table registry.Table, keys ...string) error {
	t.puts = append(t.puts, func(tx registry.Tx) error { return tx.Delete(ctx, table, keys...) })
	return nil
}

// twoMoments reads each record in a transaction of its own.
type twoMoments struct{ *memory.Store }

func (s twoMoments) View(ctx context.Context, fn func(registry.Tx) error) error {
	return fn(momentTx{s.Store})
}

type momentTx struct{ s *memory.Store }

func (t momentTx) Get(ctx context.Context, table registry.Table, keys ...string) (out []registry.Record, err error) {
	err = t.s.View(ctx, func(tx registry.Tx) error { out, err = tx.Get(ctx, table, keys...); return err })
	for range 10 {
		runtime.Gosched()
	}
	return out, err
}

func (t momentTx) List(ctx context.Context, table registry.Table, q registry.Query) (out []registry.Record, err error) {
	err = t.s.View(ctx, func(tx registry.Tx) error { out, err = tx.List(ctx, table, q); return err })
	return out, err
}

func (t momentTx) Put(context.Context, registry.Table, ...registry.Record) error {
	return registry.ErrReadOnly
}

func (t momentTx) Delete(context.Context, registry.Table, ...string) error {
	return registry.ErrReadOnly
}

// swallows makes an ordinary end of a panic.
type swallows struct{ *memory.Store }

func (s swallows) Update(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Update(ctx, func(tx registry.Tx) (err error) {
		defer func() { _ = recover() }()
		return fn(tx)
	})
}

type keepsFailed struct{ *memory.Store }

func (s keepsFailed) Update(ctx context.Context, fn func(registry.Tx) error) error {
	var failure error
	if err := s.Store.Update(ctx, func(tx registry.Tx) error { failure = fn(tx); return nil }); err != nil {
		return err
	}
	return failure
}

type writesInViews struct{ *memory.Store }

func (s writesInViews) View(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Update(ctx, fn)
}

type neverGivesUp struct{ *memory.Store }

func (s neverGivesUp) Update(_ context.Context, fn func(registry.Tx) error) error {
	return s.Store.Update(context.Background(), func(in registry.Tx) error { return fn(deaf{in}) })
}

// deaf does not hear that a context has ended.
type deaf struct{ registry.Tx }

func (d deaf) Put(ctx context.Context, t registry.Table, recs ...registry.Record) error {
	return d.Tx.Put(context.WithoutCancel(ctx), t, recs...)
}
