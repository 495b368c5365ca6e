package aspd_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/registry"
)

// book is a registry that confirms, unless it is told otherwise.
type book struct {
	mu      sync.Mutex
	batches []int
	knows   map[string]uint64
	fails   func(one registry.Confirmation) error // per device
	broken  error
	during  func()
}

func (b *book) call(_ context.Context, batch []registry.Confirmation) ([]registry.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches = append(b.batches, len(batch))
	if b.during != nil {
		b.during()
	}
	if b.broken != nil {
		return nil, b.broken
	}
	results := make([]registry.Result, len(batch))
	for i, one := range batch {
		results[i] = registry.Result{Device: one.Device, ProfileID: one.ProfileID}
		if b.fails != nil {
			results[i].Err = b.fails(one)
		}
		if results[i].Err == nil {
			b.knows[one.Device.String()] = one.ProfileID
		}
	}
	return results, nil
}

func (b *book) known() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.knows)
}

func newBook() *book { return &book{knows: map[string]uint64{}} }

func TestConfirmerBatches(t *testing.T) {
	t.Parallel()
	b := newBook()
	c := &aspd.Confirmer{Call: b.call, Batch: 40}
	for n := range 100 {
		c.Add(device(n, 11))
		c.Add(device(n, 11)) // counts once
	}
	for _, want := range []int{60, 20, 0, 0} {
		left, err := c.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, left)
	}
	require.Equal(t, []int{40, 40, 20}, b.batches)
	require.Len(t, b.knows, 100)
	c.Add(device(1, 11))
	require.Zero(t, c.Counts().Pending, "it is confirmed")
	c.Add(device(1, 12))
	require.Equal(t, 1, c.Counts().Pending, "a new profile is not")
}

func TestConfirmerTriesAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		set  func(*book)
		left int
	}{
		{"the registry is not there", func(b *book) { b.broken = errors.New("connection refused") }, 3},
		{"the token is not good (now)", func(b *book) { b.broken = registry.ErrUnauthentic }, 3},
		{"some are busy", func(b *book) {
			b.fails = func(one registry.Confirmation) error {
				if one.Device == device(1, 11).ID {
					return registry.ErrConflict
				}
				return nil
			}
		}, 1},
		{"some are refused", func(b *book) {
			b.fails = func(one registry.Confirmation) error { return registry.ErrNotFound }
		}, 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			c.set(b)
			conf := &aspd.Confirmer{Call: b.call}
			for n := range 3 {
				conf.Add(device(n, 11))
			}
			left, err := conf.Flush(t.Context())
			require.Equal(t, c.left, left)
			require.Equal(t, c.left > 0, err != nil)
			b.broken, b.fails = nil, nil
			left, err = conf.Flush(t.Context())
			require.NoError(t, err)
			require.Zero(t, left)
		})
	}
}

// TestConfirmerKeepsTheNewest: a profile that comes while the one before is on its
// way is not lost.
func TestConfirmerKeepsTheNewest(t *testing.T) {
	t.Parallel()
	b := newBook()
	c := &aspd.Confirmer{Call: b.call}
	c.Add(device(1, 11))
	b.during = func() { c.Add(device(1, 12)) }
	left, err := c.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	b.during = nil
	left, err = c.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Equal(t, uint64(12), b.knows[device(1, 11).ID.String()])
}

func TestConfirmerIsBounded(t *testing.T) {
	t.Parallel()
	b := newBook()
	c := &aspd.Confirmer{Call: b.call, Queue: 10}
	for n := range 15 {
		c.Add(device(n, 11))
	}
	require.Equal(t, aspd.Counts{Pending: 10, Dropped: 5}, c.Counts())
	c.Add(device(3, 12)) // one that waits may change
	require.Equal(t, aspd.Counts{Pending: 10, Dropped: 5}, c.Counts())
	_, err := c.Flush(t.Context())
	require.NoError(t, err)
	c.Add(device(14, 11))
	_, err = c.Flush(t.Context())
	require.NoError(t, err)
	require.Len(t, b.knows, 11)
}

// TestConfirmerRun: batches gather, failures slow it down, and it ends with the
// context.
func TestConfirmerRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.broken = errors.New("down")
		c := &aspd.Confirmer{Call: b.call}
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		running.Go(func() { c.Run(ctx) })
		for n := range 10 {
			c.Add(device(n, 11))
		}
		time.Sleep(time.Hour)
		b.mu.Lock()
		require.Less(t, len(b.batches), 25, "the waits grow to 5 minutes")
		require.Greater(t, len(b.batches), 10)
		b.broken = nil
		b.mu.Unlock()
		time.Sleep(aspd.DefaultMaxRetry + time.Second)
		require.Equal(t, 10, b.known())
		c.Add(device(10, 11))
		time.Sleep(time.Second)
		require.Equal(t, 11, b.known())
		cancel()
		running.Wait()
	})
}

// Within the overlap a device may come with its former profile again, which the
// registry does not confirm: it must not take the place of the new one.
func TestConfirmerKeepsTheNewestProfile(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.broken = errors.New("down")
	c := &aspd.Confirmer{Call: b.call}
	c.Add(device(1, 12))
	_, err := c.Flush(t.Context())
	require.Error(t, err)
	c.Add(device(1, 11))
	b.broken = nil
	b.fails = func(one registry.Confirmation) error {
		if one.ProfileID != 12 {
			return registry.ErrState
		}
		return nil
	}
	_, err = c.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{device(1, 12).ID.String(): 12}, b.knows)
	c.Add(device(1, 11))
	require.Zero(t, c.Counts().Pending, "nor is it asked about again")
}
