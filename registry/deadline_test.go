package registry_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

// patient is a policy that asks the losing provider.
func patient(reg *registry.Registry) *transfer.Service {
	return transfer.New(reg, transfer.Policy{Wait: time.Hour})
}

// ask has CarParkServ ask for a device that it must wait for.
func (b *bench) ask(s *transfer.Service, id eid.ID) {
	b.t.Helper()
	results := b.ok(s.Request(context.Background(), carPark, registry.Options{}, registry.Move{Device: id, Code: b.code(id)}))
	require.True(b.t, results[0].Pending)
}

func (b *bench) resume() int {
	b.t.Helper()
	n, err := b.reg.Resume(context.Background(), root)
	require.NoError(b.t, err)
	return n
}

// The timer of a transfer that was rejected finds nothing to do, also where the
// device has no profile.
func TestTimerOfARejectedTransferActivatesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.imported(1)[0]
	s := patient(b.reg)
	b.ask(s, id)
	b.ok(s.Reject(t.Context(), parko, registry.Options{}, id))
	b.wait(2 * time.Hour)
	require.Zero(t, b.resume())
	require.Zero(t, b.device(id).Profile, "nobody has activated it")

	b.ask(s, id)
	b.wait(2 * time.Hour)
	require.Equal(t, 1, b.resume(), "and this one has happened")
	require.NotZero(t, b.device(id).Profile)
	require.Equal(t, carPark.Account, b.device(id).Sponsor)
}

// A device that was deleted when its transfer happened gets its new sponsor's
// profile once it is restored.
func TestRestoredAfterATransferNobodyDecided(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	b.ask(patient(b.reg), id)
	b.wait(2 * time.Hour)
	b.ok(b.reg.Delete(t.Context(), carPark, registry.Options{}, id))
	b.resume()
	b.ok(b.reg.Restore(t.Context(), carPark, registry.Options{}, id))
	b.resume()
	ps := b.profiles(id)
	require.Len(t, ps, 2)
	require.Equal(t, carPark.Account, ps[1].Sponsor)
	require.Equal(t, ps[1].ID, b.device(id).Profile)
	require.True(t, b.zone.has(ps[1].Name))
}

// A certificate's end is told once, also by a process that dies right after it.
func TestExpiryToldOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Validity = 60 * 24 * time.Hour })
	b.active(1)
	b.resume()
	b.wait(31 * 24 * time.Hour)
	told := func() (n int) {
		msgs, err := b.reg.Messages(t.Context(), parko, "", 0)
		require.NoError(t, err)
		for _, m := range msgs {
			if m.Type == registry.MessageCertExpiring {
				n++
			}
		}
		return n
	}
	reg := b.with(func(c *registry.Config) {
		c.Store = hookedStore{Store: c.Store, before: func() error {
			if told() > 0 {
				return errCrash
			}
			return nil
		}}
	})
	_, _ = reg.Resume(t.Context(), root)
	require.Equal(t, 1, told())
	b.resume()
	require.Equal(t, 1, told())
}

// Whoever repeats a request that waits gets the first answer, whatever has become
// of the order of the profile the device still has.
func TestRepeatedRequestThatWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.imported(1)[0]
	b.mno.set(true)
	_, err := b.reg.Activate(t.Context(), parko, registry.Options{}, id)
	require.NoError(t, err)
	actor := carPark
	actor.Key = "k"
	m := registry.Move{Device: id, Code: b.code(id)}
	first := b.ok(patient(b.reg).Request(t.Context(), actor, registry.Options{}, m))
	require.Equal(t, first, b.ok(patient(b.reg).Request(t.Context(), actor, registry.Options{}, m)))
}

// The sponsor after a transfer that nobody decided cannot confirm the profile of
// the one before it.
func TestConfirmTheProfileOfAnotherSponsor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
	b.ask(patient(b.reg), id)
	b.wait(2 * time.Hour)
	results, err := b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: id, ProfileID: b.device(id).Profile})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrState)
	require.True(t, b.zone.has(b.profiles(id)[0].Name), "the device may live on it")
}

// The history of a transfer that was undone before its profile was made does not
// name a later one's.
func TestHistoryOfATransferWithoutAProfile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	b.ask(patient(b.reg), id)
	b.wait(2 * time.Hour)
	s := transfer.New(b.reg, transfer.Policy{})
	b.ok(s.Undo(t.Context(), carPark, registry.Options{}, id))
	b.wait(time.Second)
	last := b.ok(s.Request(t.Context(), carPark, registry.Options{}, registry.Move{Device: id, Code: b.code(id)}))
	ts, err := s.History(t.Context(), root, id)
	require.NoError(t, err)
	var made []uint64
	for _, tr := range ts {
		made = append(made, tr.NewProfile)
	}
	require.Len(t, made, 3)
	require.Zero(t, made[0])
	require.Equal(t, last[0].ProfileID, made[2])
	require.True(t, slices.IsSorted(made))
}

// The history of a device that is registered anew does not name a profile of its
// earlier life.
func TestHistoryAfterAnEarlierLife(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Redemption, c.PurgeAfter = time.Hour, time.Hour })
	rows := b.claim(1)
	id := rows[0].ID
	in := registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows}
	b.ok(b.reg.Import(t.Context(), carPark, in))
	b.ok(b.reg.Activate(t.Context(), carPark, registry.Options{}, id))
	b.ok(b.reg.Delete(t.Context(), carPark, registry.Options{}, id))
	b.wait(2 * time.Hour)
	b.ok(b.reg.Import(t.Context(), parko, in))
	s := patient(b.reg)
	b.ask(s, id)
	b.wait(2 * time.Hour)
	ts, err := s.History(t.Context(), root, id)
	require.NoError(t, err)
	require.Zero(t, ts[0].NewProfile, "it is not made yet")
	b.resume()
	ts, err = s.History(t.Context(), root, id)
	require.NoError(t, err)
	require.Equal(t, b.device(id).Profile, ts[0].NewProfile)
}

// Two timers of one device that are due at once do not keep each other from ending.
func TestTwoTimersOfADevice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	s := patient(b.reg)
	b.ask(s, id)
	b.ok(s.Reject(t.Context(), parko, registry.Options{}, id))
	b.wait(time.Minute)
	b.ask(s, id)
	b.wait(2 * time.Hour)
	require.Equal(t, 1, b.resume())
	require.Len(t, b.profiles(id), 2)
	require.Equal(t, carPark.Account, b.profiles(id)[1].Sponsor)
}

// A sponsor that was asked for a device before it had a profile of its own for it
// gets that when it keeps the device.
func TestAskedForBeforeTheProfileWasMade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	s := patient(b.reg)
	b.ask(s, id)
	b.wait(2 * time.Hour) // it has happened, and nobody was awake
	b.ok(s.Request(t.Context(), parko, registry.Options{}, registry.Move{Device: id, Code: b.code(id)}))
	b.resume()
	b.ok(s.Reject(t.Context(), carPark, registry.Options{}, id))
	b.resume()
	require.Len(t, b.profiles(id), 2)
	require.Equal(t, carPark.Account, b.profiles(id)[1].Sponsor)
}
