package eim_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/eim/eimtest"
	"github.com/iotregistry/sdk/mno/esipa"
)

// Records survive JSON, as a store may keep them.
func TestRecordsAsJSON(t *testing.T) {
	t.Parallel()
	eimtest.TestStore(t, func(*testing.T) eim.Store { return new(asJSON) })
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
