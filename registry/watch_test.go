package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// watchedStore checks after every commit what must hold at every committed
// instant: one sponsor, one live profile, IDs that only grow.
type watchedStore struct {
	registry.Store
	t    testing.TB
	mu   *sync.Mutex
	last map[eid.ID]uint64 // newest profile seen
}

func (s watchedStore) Update(ctx context.Context, fn func(registry.Tx) error) error {
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.View(context.WithoutCancel(ctx), func(tx registry.Tx) error { return s.check(tx) })
}

func (s watchedStore) check(tx registry.Tx) error {
	ctx := context.Background()
	recs, err := tx.List(ctx, registry.TableDevices, registry.Query{})
	if err != nil {
		return err
	}
	for _, rec := range recs {
		var d registry.Device
		if err := json.Unmarshal(rec.Body, &d); err != nil {
			return err
		}
		profiles, err := tx.List(ctx, registry.TableProfiles, registry.Query{Parent: rec.Key})
		if err != nil {
			return err
		}
		assert.Equal(s.t, rec.Parent, d.Sponsor)
		assert.GreaterOrEqual(s.t, d.Profile, s.last[d.ID], "profile IDs only grow")
		s.last[d.ID] = d.Profile
		for _, rec := range profiles {
			var p registry.Profile
			if err := json.Unmarshal(rec.Body, &p); err != nil {
				return err
			}
			switch {
			case p.ID == d.Profile:
				assert.NotContains(s.t, []registry.ProfileStatus{registry.ProfileSuperseded, registry.ProfileRevoked}, p.Status)
				assert.Equal(s.t, d.Sponsor, p.Sponsor)
			case p.Status == registry.ProfileSuperseded:
				assert.Contains(s.t, d.Retired, p.ID)
			default:
				assert.Equal(s.t, registry.ProfileRevoked, p.Status, "a second live profile of %s", d.ID)
				assert.NotContains(s.t, d.Retired, p.ID)
			}
		}
	}
	return nil
}

// watchedZone checks that a device that has a record in the zone never has none
// again.
type watchedZone struct {
	*zoneFake
	t testing.TB
}

func (z watchedZone) Publish(ctx context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	r, err := z.zoneFake.Publish(ctx, c)
	if err == nil {
		z.mu.Lock()
		defer z.mu.Unlock()
		for _, gone := range c.RemoveNames {
			_, device, _ := strings.Cut(gone, ".")
			found := false
			for name := range z.names {
				found = found || strings.HasSuffix(name, "."+device)
			}
			assert.True(z.t, found, "%s was the last record of its device", gone)
		}
	}
	return r, err
}

// TestTwoRegistries has two registries work on one store at once: providers
// that take devices from each other and confirm them, and a Resume that never
// rests. When all is quiet every device must be whole.
func TestTwoRegistries(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := watchedStore{open(t), t, &sync.Mutex{}, map[eid.ID]uint64{}}
			b := newBench(t, func(c *registry.Config) { c.Store, c.Batch, c.Overlap = store, 3, time.Hour })
			b.reg = b.with(func(c *registry.Config) { c.Publisher = watchedZone{b.zone, t} })
			regs := []*registry.Registry{b.reg, b.with(func(*registry.Config) {})}
			ids := b.imported(6)

			quiet := make(chan struct{})
			var resuming, working sync.WaitGroup
			for _, reg := range regs {
				resuming.Go(func() {
					for {
						select {
						case <-quiet:
							return
						default:
							_, err := reg.Resume(t.Context(), root)
							assert.NoError(t, err)
						}
					}
				})
			}
			for i := range 4 {
				working.Go(func() { b.meddle(regs[i%2], rand.New(rand.NewPCG(uint64(i), 1)), ids, 25) })
			}
			working.Wait()
			close(quiet)
			resuming.Wait()
			b.settle(ids)
		})
	}
}

// meddle has both providers do random things to random devices. Refusals are
// part of the game; other errors are not.
func (b *bench) meddle(reg *registry.Registry, rnd *rand.Rand, ids []eid.ID, times int) {
	ctx := context.Background()
	for range times {
		some := ids[rnd.IntN(3):]
		actor := []registry.Actor{parko, carPark}[rnd.IntN(2)]
		var err error
		switch rnd.IntN(4) {
		case 0:
			_, err = reg.Activate(ctx, actor, registry.Options{}, some...)
		case 1:
			codes, err := reg.IssueCodes(ctx, city, some...)
			assert.NoError(b.t, err)
			var moves []registry.Move
			for _, c := range codes {
				moves = append(moves, registry.Move{Device: c.Device, Code: c.Code})
			}
			_, err = reg.Move(ctx, actor, moves, registry.MoveOptions{})
			assert.NoError(b.t, err)
		case 2:
			d, err := reg.Device(ctx, root, some[0])
			assert.NoError(b.t, err)
			_, err = reg.Confirm(ctx, actor, registry.Confirmation{Device: d.ID, ProfileID: d.Profile})
			assert.NoError(b.t, err)
		case 3:
			d, err := reg.Device(ctx, root, some[0])
			assert.NoError(b.t, err)
			failure := &mno.StatusError{Subject: "8.2.10", Reason: "4.2"}
			_ = reg.Progress(ctx, telco, mno.Progress{Device: d.ID, ProfileID: d.Profile, Point: mno.PointInstall, Failure: failure})
		}
		assert.NoError(b.t, err)
	}
}

// settle brings every device into service and demands that nothing is left of
// its earlier life.
func (b *bench) settle(ids []eid.ID) {
	ctx := context.Background()
	_, err := b.reg.Resume(ctx, root)
	require.NoError(b.t, err)
	want := map[string]bool{}
	for _, id := range ids {
		sponsor := registry.Actor{Account: b.device(id).Sponsor, Role: registry.RoleASP}
		results, err := b.reg.Activate(ctx, sponsor, registry.Options{}, id)
		b.allDone(results, err)
		results, err = b.reg.Confirm(ctx, sponsor, registry.Confirmation{Device: id, ProfileID: results[0].ProfileID})
		b.allDone(results, err)
		ps := b.profiles(id)
		require.True(b.t, slices.IsSortedFunc(ps, func(x, y *registry.Profile) int { return int(x.ID) - int(y.ID) }))
		for _, p := range ps[:len(ps)-1] {
			require.Equal(b.t, registry.ProfileRevoked, p.Status)
		}
		require.Equal(b.t, registry.ProfileConnected, ps[len(ps)-1].Status)
		require.Empty(b.t, b.device(id).Retired)
		want[fmt.Sprintf("%d.%s.%s.", results[0].ProfileID, id, zone)] = true
	}
	require.Equal(b.t, want, b.zone.names)
	b.wait(time.Hour) // what was superseded early is looked after until its overlap ends
	_, err = b.reg.Resume(ctx, root)
	require.NoError(b.t, err)
	require.Equal(b.t, want, b.zone.names)
	require.Zero(b.t, b.owed())
}
