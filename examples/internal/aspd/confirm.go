package aspd

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// What the zero fields of Confirmer mean.
const (
	DefaultQueue    = 100_000
	DefaultBatch    = 1000
	DefaultGather   = 200 * time.Millisecond
	DefaultMinRetry = time.Second
	DefaultMaxRetry = 5 * time.Minute
)

// Confirmer tells the registry that devices have come with their profiles, which
// is what lets it withdraw the profiles before. It does so in batches and again
// until the registry has decided. What it knows is in memory: after a restart
// devices are confirmed when they come again, which does no harm.
type Confirmer struct {
	// Call confirms a batch, with one result for each. Required.
	Call func(ctx context.Context, batch []registry.Confirmation) ([]registry.Result, error)

	// Queue is how many may wait. More are left out until the device comes again.
	// Zero means 100,000.
	Queue int

	// Batch is how many there are in one call at most. Zero means 1000.
	Batch int

	// Gather is how long a batch gathers. Zero means 200 ms.
	Gather time.Duration

	// MinRetry and MaxRetry are the shortest and longest waits after a call that
	// failed. Zero means a second and 5 minutes.
	MinRetry, MaxRetry time.Duration

	// Log may be nil.
	Log *slog.Logger

	mu      sync.Mutex
	pending map[eid.ID]uint64 // profile to confirm
	done    map[eid.ID]uint64 // profile that the registry has decided about
	dropped uint64
	wake    chan struct{}
}

// Counts say how confirmations are doing.
type Counts struct {
	Pending int    `json:"pending"`
	Dropped uint64 `json:"dropped"` // left out since the start because too many were waiting
}

// Add has a device confirmed, unless that was done, or a later profile of it is
// known: the numbers of profiles grow, and a device may have two for a while, of
// which the registry confirms the last. All devices must be of one registry. Add
// does not block.
func (c *Confirmer) Add(d Device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepare()
	waiting, waits := c.pending[d.ID]
	switch {
	case d.ProfileID <= max(c.done[d.ID], waiting): // profile IDs begin at 1
		return
	case !waits && len(c.pending) >= or(c.Queue, DefaultQueue):
		c.dropped++
		return
	}
	c.pending[d.ID] = d.ProfileID
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Confirmer) prepare() {
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
		c.pending, c.done = map[eid.ID]uint64{}, map[eid.ID]uint64{}
	}
}

// Counts returns how confirmations are doing.
func (c *Confirmer) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Counts{len(c.pending), c.dropped}
}

// Run confirms what is added until ctx ends.
func (c *Confirmer) Run(ctx context.Context) {
	c.mu.Lock()
	c.prepare()
	wake := c.wake
	c.mu.Unlock()
	failures := 0
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
		wait := or(c.Gather, DefaultGather)
		for more := true; more; {
			if !sleep(ctx, wait) {
				return
			}
			left, err := c.Flush(ctx)
			more, wait = left > 0, 0
			if failures++; err == nil {
				failures = 0
				continue
			}
			wait = min(or(c.MinRetry, DefaultMinRetry)<<min(failures-1, 20), or(c.MaxRetry, DefaultMaxRetry))
			c.log().Warn("devices could not be confirmed at the registry; it is tried again", "pending", left, "in", wait, "err", err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Flush confirms one batch of what is pending, and returns how many are pending
// then. The error says that some of the batch will be tried again.
func (c *Confirmer) Flush(ctx context.Context) (left int, err error) {
	batch := c.take()
	if len(batch) == 0 {
		return 0, nil
	}
	results, err := c.Call(ctx, batch)
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("aspd: the registry answered %d of %d confirmations", len(results), len(batch))
	}
	var again []error
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, one := range batch {
		outcome := err
		if len(results) == len(batch) {
			outcome = results[i].Err // a call that failed midway has finished some
		}
		// What refuses a call, such as a token that has run out, decides about no
		// device.
		if outcome != nil && (err != nil || registry.Retryable(outcome)) {
			again = append(again, outcome)
			continue
		}
		c.decided(one, outcome)
	}
	if len(again) > 0 {
		err = fmt.Errorf("aspd: %d of %d: %w", len(again), len(batch), again[0])
	}
	return len(c.pending), err
}

// decided enters what the registry will not say otherwise when it is asked again.
func (c *Confirmer) decided(one registry.Confirmation, err error) {
	if c.pending[one.Device] == one.ProfileID { // and no other has come meanwhile
		delete(c.pending, one.Device)
	}
	if err != nil {
		c.log().Warn("the registry refuses to confirm a device", "device", one.Device, "profile", one.ProfileID, "err", err)
		return
	}
	if len(c.done) >= or(c.Queue, DefaultQueue) {
		clear(c.done) // to confirm again does no harm
	}
	c.done[one.Device] = one.ProfileID
}

// take returns a batch, which stays pending.
func (c *Confirmer) take() []registry.Confirmation {
	c.mu.Lock()
	defer c.mu.Unlock()
	var batch []registry.Confirmation
	for id, profile := range c.pending {
		if len(batch) == or(c.Batch, DefaultBatch) {
			break
		}
		batch = append(batch, registry.Confirmation{Device: id, ProfileID: profile})
	}
	return batch
}

func (c *Confirmer) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.New(slog.DiscardHandler)
}
