package transfer_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

var patient = transfer.Policy{Wait: 5 * 24 * time.Hour}

func (b *bench) ok(results []registry.Result, err error) []registry.Result {
	b.t.Helper()
	require.NoError(b.t, err)
	for _, r := range results {
		require.NoError(b.t, r.Err)
	}
	return results
}

func (b *bench) device(id eid.ID) *registry.Device {
	b.t.Helper()
	d, err := b.Registry.Device(context.Background(), root, id)
	require.NoError(b.t, err)
	return d
}

// told returns the types of an account's messages, which it acknowledges.
func (b *bench) told(a registry.Actor) (types []registry.MessageType) {
	b.t.Helper()
	ctx := context.Background()
	msgs, err := b.Registry.Messages(ctx, a, "", 0)
	require.NoError(b.t, err)
	ids := make([]string, len(msgs))
	for i, m := range msgs {
		types, ids[i] = append(types, m.Type), m.ID
	}
	require.NoError(b.t, b.Registry.Ack(ctx, a, ids...))
	return types
}

func (b *bench) resume() int {
	b.t.Helper()
	n, err := b.Registry.Resume(context.Background(), root)
	require.NoError(b.t, err)
	return n
}

// requested has CarParkServ ask for devices under a policy that waits.
func requested(t testing.TB, n int) (*bench, []eid.ID) {
	b, ids := service(t, n, patient)
	for _, r := range b.ok(b.Request(context.Background(), carPark, registry.Options{}, codes(t, b, ids)...)) {
		require.True(t, r.Pending)
	}
	return b, ids
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	type call = func(context.Context, registry.Actor, registry.Options, ...eid.ID) ([]registry.Result, error)
	for _, c := range []struct {
		name   string
		decide func(*bench) call
		actor  registry.Actor
		status transfer.Status
		moves  bool
		told   [3][]registry.MessageType // ParkoServ, CarParkServ, the city
	}{
		{"the losing provider approves", func(b *bench) call { return b.Approve }, parko, transfer.ClientApproved, true,
			[3][]registry.MessageType{nil, {registry.MessageTransferApproved}, {registry.MessageTransferApproved}}},
		{"the registry approves", func(b *bench) call { return b.Approve }, root, transfer.ServerApproved, true,
			[3][]registry.MessageType{{registry.MessageTransferApproved}, {registry.MessageTransferApproved}, {registry.MessageTransferApproved}}},
		{"the losing provider rejects", func(b *bench) call { return b.Reject }, parko, transfer.ClientRejected, false,
			[3][]registry.MessageType{nil, {registry.MessageTransferRejected}, {registry.MessageTransferRejected}}},
		{"the registry rejects", func(b *bench) call { return b.Reject }, root, transfer.ServerCancelled, false,
			[3][]registry.MessageType{{registry.MessageTransferCancelled}, {registry.MessageTransferCancelled}, {registry.MessageTransferCancelled}}},
		{"the gaining provider cancels", func(b *bench) call { return b.Cancel }, carPark, transfer.ClientCancelled, false,
			[3][]registry.MessageType{{registry.MessageTransferCancelled}, nil, {registry.MessageTransferCancelled}}},
		{"the registry cancels", func(b *bench) call { return b.Cancel }, root, transfer.ServerCancelled, false,
			[3][]registry.MessageType{{registry.MessageTransferCancelled}, {registry.MessageTransferCancelled}, {registry.MessageTransferCancelled}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, ids := requested(t, 1)
			require.Equal(t, []registry.MessageType{registry.MessageTransferRequested}, b.told(parko))
			require.Equal(t, []registry.MessageType{registry.MessageTransferRequested}, b.told(city))
			require.Empty(t, b.told(carPark))
			before := b.device(ids[0])
			require.Equal(t, parko.Account, before.Sponsor)
			require.Contains(t, before.Statuses(b.clock()), registry.StatusPendingTransfer)

			b.wait(time.Hour)
			b.ok(c.decide(b)(t.Context(), c.actor, registry.Options{}, ids...))
			for i, a := range []registry.Actor{parko, carPark, city} {
				require.Equal(t, c.told[i], b.told(a), a.Account)
			}
			after := b.device(ids[0])
			require.Nil(t, after.Pending)
			require.Equal(t, c.moves, after.Sponsor == carPark.Account)
			require.Equal(t, c.moves, after.Profile > before.Profile)
			h, err := b.History(t.Context(), city, ids[0])
			require.NoError(t, err)
			require.Len(t, h, 1)
			require.Equal(t, c.status, h[0].Status)
			require.Equal(t, b.clock(), h[0].Acted)
			require.Equal(t, c.actor.Account, h[0].By)
			require.Equal(t, c.moves, h[0].NewProfile != 0)

			// It is over: nothing can be decided, and the deadline does nothing.
			_, err = b.Approve(t.Context(), root, registry.Options{}, ids...)
			require.NoError(t, err)
			results, err := c.decide(b)(t.Context(), root, registry.Options{}, ids...)
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, registry.ErrNotPending)
			require.Equal(t, 2301, registry.Code(results[0].Err))
			b.wait(10 * 24 * time.Hour)
			b.resume()
			require.Equal(t, after.Sponsor, b.device(ids[0]).Sponsor)
			for _, a := range []registry.Actor{parko, carPark, city} {
				require.Empty(t, b.told(a), a.Account)
			}
		})
	}
}

func TestWhoMayNotDecide(t *testing.T) {
	t.Parallel()
	b, ids := requested(t, 1)
	for _, c := range []struct {
		name   string
		decide func(context.Context, registry.Actor, registry.Options, ...eid.ID) ([]registry.Result, error)
		actor  registry.Actor
		want   error
	}{
		{"the gaining provider approves", b.Approve, carPark, registry.ErrNotFound},
		{"the gaining provider rejects", b.Reject, carPark, registry.ErrNotFound},
		{"the losing provider cancels", b.Cancel, parko, registry.ErrForbidden},
		{"a third one approves", b.Approve, third, registry.ErrNotFound},
		{"a third one cancels", b.Cancel, third, registry.ErrNotFound},
		{"the owner approves", b.Approve, city, registry.ErrForbidden},
		{"the owner undoes what has not happened", b.Undo, city, registry.ErrPending},
		{"the maker rejects", b.Reject, maker, registry.ErrForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			results, err := c.decide(t.Context(), c.actor, registry.Options{}, ids...)
			if err == nil {
				err = results[0].Err
			}
			require.ErrorIs(t, err, c.want)
			require.NotNil(t, b.device(ids[0]).Pending)
		})
	}
}

// What waits for a decision is not changed by anybody, and asked for by nobody
// else.
func TestPendingBlocks(t *testing.T) {
	t.Parallel()
	b, ids := requested(t, 1)
	reg := b.Registry
	for _, c := range []struct {
		name string
		call func() ([]registry.Result, error)
	}{
		{"reset", func() ([]registry.Result, error) { return reg.Reset(t.Context(), parko, registry.Options{}, ids...) }},
		{"switch", func() ([]registry.Result, error) {
			return reg.Switch(t.Context(), parko, "telco2", registry.Options{}, ids...)
		}},
		{"delete", func() ([]registry.Result, error) { return reg.Delete(t.Context(), parko, registry.Options{}, ids...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			results, err := c.call()
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, registry.ErrPending)
			require.Equal(t, 2300, registry.Code(results[0].Err))
		})
	}
	issued, err := reg.IssueCodes(t.Context(), city, ids...)
	require.NoError(t, err)
	require.ErrorIs(t, issued[0].Err, registry.ErrPending, "a code is drawn for a transfer, and one is under way")
	b.ok(reg.Activate(t.Context(), parko, registry.Options{}, ids...))
}

// A deadline takes effect at its time, whether or not anybody looks.
func TestDeadline(t *testing.T) {
	t.Parallel()
	b, ids := requested(t, 3)
	start := b.clock()
	b.told(parko)
	b.told(city)
	due := start.Add(patient.Wait)
	incoming, err := b.Incoming(t.Context(), carPark, "", 0)
	require.NoError(t, err)
	require.Len(t, incoming, 3)

	b.wait(patient.Wait - time.Millisecond)
	require.Zero(t, b.resume())
	require.Equal(t, parko.Account, b.device(ids[0]).Sponsor)
	require.Empty(t, b.told(carPark))

	b.wait(time.Millisecond)
	d := b.device(ids[0])
	require.Equal(t, carPark.Account, d.Sponsor, "nobody has done anything")
	require.Nil(t, d.Pending)
	require.Equal(t, due, d.Moved)
	for _, a := range []registry.Actor{parko, carPark, city} {
		require.Equal(t, []registry.MessageType{
			registry.MessageTransferApproved, registry.MessageTransferApproved, registry.MessageTransferApproved,
		}, b.told(a), a.Account)
	}
	page, _, err := b.Registry.Devices(t.Context(), carPark, "", 2)
	require.NoError(t, err)
	require.Len(t, page, 2)
	page, _, err = b.Registry.Devices(t.Context(), parko, "", 0)
	require.NoError(t, err)
	require.Empty(t, page)
	_, err = b.Registry.Device(t.Context(), parko, ids[0])
	require.ErrorIs(t, err, registry.ErrNotFound)
	h, err := b.History(t.Context(), parko, ids[0])
	require.NoError(t, err)
	require.Equal(t, transfer.ServerApproved, h[0].Status)
	require.Equal(t, due, h[0].Acted)
	require.Zero(t, h[0].NewProfile, "it is not made yet")
	incoming, err = b.Incoming(t.Context(), carPark, "", 0)
	require.NoError(t, err)
	require.Empty(t, incoming)

	// One is touched by its new provider before the registry comes to it.
	b.ok(b.Registry.SetStatus(t.Context(), carPark, registry.StatusChange{Add: []registry.Status{registry.StatusClientDeleteProhibited}}, ids[1]))
	b.ok(b.Registry.Activate(t.Context(), carPark, registry.Options{}, ids[2]))
	b.wait(time.Hour)
	require.Equal(t, 2, b.resume())
	for _, id := range ids {
		d := b.device(id)
		require.Equal(t, carPark.Account, d.Sponsor)
		ps, err := b.Registry.Profiles(t.Context(), root, id)
		require.NoError(t, err)
		require.Len(t, ps, 2)
		require.Equal(t, carPark.Account, ps[1].Sponsor)
		require.Equal(t, registry.ProfileSuperseded, ps[0].Status, "make before break")
		h, err := b.History(t.Context(), parko, id)
		require.NoError(t, err)
		require.Equal(t, d.Profile, h[0].NewProfile)
	}
	require.Zero(t, b.resume())
}

func TestUndo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		policy transfer.Policy
		actor  registry.Actor
		after  time.Duration
		want   error
	}{
		{"by the owner", transfer.Policy{}, city, time.Hour, nil},
		{"by the provider that has it", transfer.Policy{}, carPark, time.Hour, nil},
		{"by the registry", transfer.Policy{}, root, time.Hour, nil},
		{"not by the provider that lost it", transfer.Policy{}, parko, time.Hour, registry.ErrNotFound},
		{"not by a stranger", transfer.Policy{}, third, time.Hour, registry.ErrNotFound},
		{"not too late", transfer.Policy{}, city, transfer.DefaultUndo, registry.ErrState},
		{"not under a policy without", transfer.Policy{Undo: -1}, city, 0, registry.ErrState},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, ids := service(t, 1, c.policy)
			b.ok(b.Request(t.Context(), carPark, registry.Options{}, codes(t, b, ids)...))
			b.told(parko)
			b.told(city)
			moved := b.device(ids[0])
			b.wait(c.after)
			results, err := b.Undo(t.Context(), c.actor, registry.Options{}, ids...)
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, c.want)
			d := b.device(ids[0])
			if c.want != nil {
				require.Equal(t, moved, d)
				return
			}
			require.Equal(t, parko.Account, d.Sponsor)
			require.Greater(t, d.Profile, moved.Profile, "profile IDs only grow")
			require.NotContains(t, d.Statuses(b.clock()), registry.StatusTransferPeriod)
			h, err := b.History(t.Context(), root, ids[0])
			require.NoError(t, err)
			require.Len(t, h, 2)
			require.Equal(t, h[0].ID, h[1].Undoes)
			require.Equal(t, []registry.MessageType{registry.MessageTransferUndone}, b.told(parko))

			results, err = b.Undo(t.Context(), root, registry.Options{}, ids...)
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, registry.ErrState, "one step back, no dance")
		})
	}
}

func TestLockedAfterTransfer(t *testing.T) {
	t.Parallel()
	b, ids := service(t, 1, transfer.Policy{Lock: true})
	b.ok(b.Request(t.Context(), carPark, registry.Options{}, codes(t, b, ids)...))
	require.Contains(t, b.device(ids[0]).Statuses(b.clock()), registry.StatusTransferPeriod)
	moves := codes(t, b, ids)
	results, err := b.Request(t.Context(), third, registry.Options{}, moves...)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrState)
	b.wait(transfer.DefaultUndo)
	b.ok(b.Request(t.Context(), third, registry.Options{}, moves...))
}

// All or none, whichever way one of them is refused.
func TestAtomicRequest(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]transfer.Policy{"at once": {}, "waiting": patient} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, ids := service(t, 3, policy)
			moves := codes(t, b, ids)
			good := moves[1].Code
			moves[1].Code = moves[0].Code
			results, err := b.Request(t.Context(), carPark, registry.Options{Atomic: true}, moves...)
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, registry.ErrAborted)
			require.ErrorIs(t, results[1].Err, registry.ErrAuthCode)
			require.ErrorIs(t, results[2].Err, registry.ErrAborted)
			for _, id := range ids {
				require.Equal(t, parko.Account, b.device(id).Sponsor)
				require.Nil(t, b.device(id).Pending)
			}
			moves[1].Code = good
			dry, err := b.Request(t.Context(), carPark, registry.Options{DryRun: true}, moves...)
			b.ok(dry, err)
			require.Equal(t, parko.Account, b.device(ids[0]).Sponsor)
			b.ok(b.Request(t.Context(), carPark, registry.Options{Atomic: true}, moves...))
		})
	}
}

// A code that was tried in a dry run counts like any other.
func TestDryRunIsNoOracle(t *testing.T) {
	t.Parallel()
	b, ids := service(t, 2)
	moves := codes(t, b, ids)
	wrong := registry.Move{Device: ids[0], Code: moves[1].Code}
	for range 5 {
		results, err := b.Request(t.Context(), carPark, registry.Options{DryRun: true}, wrong)
		require.NoError(t, err)
		require.ErrorIs(t, results[0].Err, registry.ErrAuthCode)
	}
	results, err := b.Request(t.Context(), carPark, registry.Options{}, moves[0])
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrLocked)
	require.Contains(t, b.told(parko), registry.MessageCodeLocked)
	require.Contains(t, b.told(city), registry.MessageCodeLocked)
	b.wait(time.Hour)
	b.ok(b.Request(t.Context(), carPark, registry.Options{}, moves[0]))
}
