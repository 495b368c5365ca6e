package eim_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	testStore(t, func() eim.Store { return new(eim.Memory) })
}

// Records survive JSON, as a store may keep them.
func TestRecordsAsJSON(t *testing.T) {
	t.Parallel()
	testStore(t, func() eim.Store { return new(asJSON) })
	w := newWorld(t, func(c *eim.Config) { c.Store = new(asJSON); c.Open = true })
	c := w.card(1)
	c.trigger(eim.Download{ActivationCode: code, Enable: true})
	c.manage(eim.List{})
	c.work()
	require.Len(t, w.news(), 3)
	require.True(t, c.enabled[iccid])
}

// asJSON is a Memory that keeps the text of records.
type asJSON struct{ eim.Memory }

func (s *asJSON) Put(ctx context.Context, r eim.Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var kept eim.Record
	if err := json.Unmarshal(b, &kept); err != nil {
		return err
	}
	return s.Memory.Put(ctx, kept)
}

// testStore is what every store has to do.
func testStore(t *testing.T, open func() eim.Store) {
	for rule, check := range map[string]func(*testing.T, eim.Store){
		"what was put is found":             storeFinds,
		"only the stored version changes":   storeCompares,
		"jobs find their record":            storeIndexes,
		"of many that change one, one wins": storeRace,
		"an ended context stops the call":   storeContext,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			check(t, open())
		})
	}
}

func whole(t *testing.T, n int) eim.Record {
	return eim.Record{
		EID: device(t, n), Certificate: []byte{1, 2}, AssociationToken: 3, Counter: 4,
		Queue: []eim.Job{{ID: "A", Download: &eim.Download{ActivationCode: code, ICCID: iccid, Enable: true}, State: eim.Offered, Attempts: 1, Added: start, After: 5}},
		History: []eim.Job{{
			ID: "B", Steps: []eim.Step{{Action: eim.ActionEnable, ICCID: iccid, Rollback: true, Tried: true, Code: 2}}, State: eim.Failed, Proven: true,
			Failure: "f", Parent: "P", Added: start, Ended: start.Add(time.Hour), Counter: 6, Sequence: ptr(int64(7)),
		}},
		Profiles: []eim.Profile{{ICCID: iccid, Enabled: true, Name: "n"}}, Listed: start, Stale: true, Renewed: start, Seen: start, Sequence: 8, ListedAt: 9,
	}
}

func storeFinds(t *testing.T, s eim.Store) {
	ctx := t.Context()
	_, err := s.Find(ctx, device(t, 1))
	require.ErrorIs(t, err, eim.ErrNotFound)
	require.NoError(t, s.Put(ctx, whole(t, 1)))
	got, err := s.Find(ctx, device(t, 1))
	require.NoError(t, err)
	want := whole(t, 1)
	want.Version = 1
	require.Equal(t, want, got)
	_, err = s.Find(ctx, device(t, 2))
	require.ErrorIs(t, err, eim.ErrNotFound)
}

func storeCompares(t *testing.T, s eim.Store) {
	ctx := t.Context()
	r := eim.Record{EID: device(t, 1), Version: 1}
	require.ErrorIs(t, s.Put(ctx, r), eim.ErrChanged, "there is none")
	r.Version = 0
	require.NoError(t, s.Put(ctx, r))
	require.ErrorIs(t, s.Put(ctx, r), eim.ErrChanged, "there is one")
	r.Version, r.Counter = 1, 9
	require.NoError(t, s.Put(ctx, r))
	for _, r.Version = range []uint64{0, 1, 3} {
		require.ErrorIs(t, s.Put(ctx, r), eim.ErrChanged)
	}
	got, err := s.Find(ctx, r.EID)
	require.NoError(t, err)
	require.Equal(t, uint64(2), got.Version)
}

func storeIndexes(t *testing.T, s eim.Store) {
	ctx := t.Context()
	r := whole(t, 1)
	require.NoError(t, s.Put(ctx, r))
	require.NoError(t, s.Put(ctx, eim.Record{EID: device(t, 2), Queue: []eim.Job{{ID: "C"}}}))
	find := func(id string) string {
		got, err := s.FindJob(ctx, id)
		if err != nil {
			require.ErrorIs(t, err, eim.ErrNotFound)
			return ""
		}
		return got.EID.String()
	}
	for _, id := range []string{"A", "B"} {
		require.Equal(t, r.EID.String(), find(id))
	}
	require.Equal(t, device(t, 2).String(), find("C"))
	require.Empty(t, find(""))
	r.Version, r.Queue, r.History = 1, nil, r.Queue
	require.NoError(t, s.Put(ctx, r))
	require.Equal(t, r.EID.String(), find("A"))
	require.Empty(t, find("B"), "a job that leaves its record is forgotten")
}

func storeRace(t *testing.T, s eim.Store) {
	ctx := t.Context()
	require.NoError(t, s.Put(ctx, eim.Record{EID: device(t, 1)}))
	var won atomic.Int32
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if s.Put(ctx, eim.Record{EID: device(t, 1), Version: 1}) == nil {
				won.Add(1)
			}
		})
	}
	wait.Wait()
	require.Equal(t, int32(1), won.Load())
}

func storeContext(t *testing.T, s eim.Store) {
	require.NoError(t, s.Put(t.Context(), whole(t, 1)))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := s.Find(ctx, device(t, 1))
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.FindJob(ctx, "A")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Put(ctx, eim.Record{EID: device(t, 2)}), context.Canceled)
}

// faulty is a Memory whose Put counts, and fails as it is told.
type faulty struct {
	eim.Memory
	puts atomic.Int64
	fail atomic.Pointer[error]
	find atomic.Pointer[error]
}

func (s *faulty) Put(ctx context.Context, r eim.Record) error {
	s.puts.Add(1)
	if err := s.fail.Load(); err != nil {
		return *err
	}
	return s.Memory.Put(ctx, r)
}

func (s *faulty) FindJob(ctx context.Context, id string) (eim.Record, error) {
	if err := s.find.Load(); err != nil {
		return eim.Record{}, *err
	}
	return s.Memory.FindJob(ctx, id)
}

// A store that fails leaves everything as it was, and calls come to an end.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	for rule, fault := range map[string]error{"always changed": eim.ErrChanged, "lost": lost} {
		store := &faulty{}
		w := newWorld(t, func(c *eim.Config) { c.Store = store })
		c := w.registered(1)
		id := c.manage(eim.List{})
		store.fail.Store(&fault)
		ctx := t.Context()
		_, err := w.eim.GetEIMPackage(ctx, esipa.Poll{EID: c.eid.String()})
		require.ErrorIs(t, err, fault, rule)
		_, err = w.eim.Manage(ctx, c.eid, eim.List{})
		require.ErrorIs(t, err, fault, rule)
		require.ErrorIs(t, w.eim.Register(ctx, eim.EUICC{EID: c.eid}), fault, rule)
		require.LessOrEqual(t, store.puts.Load(), int64(400), "bounded")
		require.Equal(t, int64(0), c.status().Counter, rule)
		store.fail.Store(nil)
		object := c.do(c.poll())
		store.fail.Store(&fault)
		_, err = c.provide(object)
		require.ErrorIs(t, err, fault, rule)
		_, err = c.provide(failure(ids(t, id), rsp.ResultUndefined))
		require.ErrorIs(t, err, fault, rule)
		store.find.Store(&lost)
		_, err = w.eim.ProvideEIMPackageResult(ctx, esipa.Result{Object: object})
		require.ErrorIs(t, err, lost, rule)
		store.fail.Store(nil)
		done, err := c.provide(object)
		require.NoError(t, err, rule)
		require.Len(t, done, 1, rule)
		require.NotEmpty(t, w.news(), "at least once")
	}
}

// A random source that ends stops what needs it, and nothing else.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.Rand = noRandom{} })
	c := w.registered(1)
	_, err := w.eim.Manage(t.Context(), c.eid, eim.List{})
	require.ErrorContains(t, err, "random source")
	require.Nil(t, c.poll())
}

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errors.New("none left") }
