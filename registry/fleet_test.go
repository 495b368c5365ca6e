package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/transfer"
)

// A job that is cancelled while it waits for its operator tells what it has done.
func TestCancelledJobTellsWhatItDid(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Batch = 1 })
	rows := b.claim(2)
	b.ok(b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows}))
	j := b.submit(parko, registry.Batch{Op: registry.OpActivate}, rows)
	b.mno.set(true)
	first := true
	reg := b.with(func(c *registry.Config) {
		c.Store = hookedStore{Store: c.Store, before: func() error {
			if b.device(rows[0].ID).Profile != 0 && !first {
				return errCrash
			}
			first = b.device(rows[0].ID).Profile == 0
			return nil
		}}
	})
	_, err := reg.Work(t.Context(), root)
	require.ErrorIs(t, err, errCrash)
	_, err = b.reg.CancelJob(t.Context(), parko, j.ID)
	require.NoError(t, err)
	require.Empty(t, b.results(parko, j, 0), "the first has begun, and how it ends is not known yet")
	b.wait(lifetime)
	b.work(b.reg)

	results := b.results(parko, j, 0)
	require.Len(t, results, 2)
	require.ErrorIs(t, results[0].Err, registry.ErrUndelivered, "it was activated")
	require.Equal(t, b.device(rows[0].ID).Profile, results[0].ProfileID)
	require.ErrorIs(t, results[1].Err, registry.ErrCancelled)
	require.Zero(t, b.device(rows[1].ID).Profile)
	require.Equal(t, 1, b.job(j.ID).Done)
}

// A fleet's list that names a device twice is one guess at its code, and a job.
func TestJobNamesADeviceTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(1)
	transfer.New(b.reg, transfer.Policy{})
	b.code(ids[0])
	wrong, err := registry.ParseAuthCode("00000-00000-00000-00000-00000-0")
	require.NoError(t, err)
	var rows []registry.Row
	for i := range 10 {
		rows = append(rows, registry.Row{Line: i, ID: ids[0], Code: wrong})
	}
	j := b.submit(carPark, registry.Batch{Op: registry.OpTransfer}, rows)
	b.work(b.reg)
	results := b.results(carPark, j, 0)
	require.ErrorIs(t, results[0].Err, registry.ErrAuthCode)
	for _, r := range results[1:] {
		require.ErrorIs(t, r.Err, registry.ErrInvalid)
	}
	require.NoError(t, b.move(carPark, ids[0], b.code(ids[0])).Err, "one wrong code locks nobody out")
}

// A submission beside another one with the same key does not mix with it.
func TestTwoSubmissionsAtOnceDoNotMix(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Batch = 1 })
	rows := b.claim(4)
	actor := parko
	actor.Key = "k"
	batch := registry.Batch{Op: registry.OpImport, Owner: city.Account, MNO: telco.Account}
	submit := func(rows []registry.Row, middle func()) (*registry.Job, error) {
		return b.reg.Submit(t.Context(), actor, batch, func(yield func(registry.Row, error) bool) {
			for i, row := range rows {
				if i == 1 {
					middle()
				}
				if !yield(row, nil) {
					return
				}
			}
		})
	}
	var inner error
	j, err := submit(rows[:2], func() {
		_, inner = b.reg.Submit(t.Context(), actor, batch, func(yield func(registry.Row, error) bool) {
			yield(rows[2], nil)
			yield(registry.Row{}, errDown)
		})
	})
	require.ErrorIs(t, inner, errDown)
	if err != nil {
		require.ErrorIs(t, err, registry.ErrConflict)
		j, err = submit(rows[:2], func() {})
		require.NoError(t, err)
	}
	b.work(b.reg)
	for i, r := range b.results(parko, j, 0) {
		require.Equal(t, rows[i].ID, r.Device)
	}
}
