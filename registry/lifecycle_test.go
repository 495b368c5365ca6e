package registry_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

func (b *bench) ok(results []registry.Result, err error) []registry.Result {
	b.t.Helper()
	b.allDone(results, err)
	return results
}

func (b *bench) setStatus(actor registry.Actor, c registry.StatusChange, ids ...eid.ID) error {
	b.t.Helper()
	results, err := b.reg.SetStatus(context.Background(), actor, c, ids...)
	if err == nil && len(results) > 0 {
		err = results[0].Err
	}
	return err
}

func add(s ...registry.Status) registry.StatusChange    { return registry.StatusChange{Add: s} }
func remove(s ...registry.Status) registry.StatusChange { return registry.StatusChange{Remove: s} }

func TestWhoSetsWhichStatus(t *testing.T) {
	t.Parallel()
	client := []registry.Status{
		registry.StatusClientTransferProhibited, registry.StatusClientUpdateProhibited,
		registry.StatusClientDeleteProhibited, registry.StatusClientHold,
	}
	server := []registry.Status{
		registry.StatusServerTransferProhibited, registry.StatusServerUpdateProhibited,
		registry.StatusServerDeleteProhibited, registry.StatusServerHold,
	}
	b := newBench(t)
	id := b.active(1)[0]
	for _, c := range []struct {
		name   string
		actor  registry.Actor
		change registry.StatusChange
		want   error
	}{
		{"the sponsor sets client statuses", parko, add(client...), nil},
		{"and takes them back", parko, remove(client...), nil},
		{"the registry sets server statuses", root, add(server...), nil},
		{"and takes them back", root, remove(server...), nil},
		{"the sponsor sets no server status", parko, add(server[0]), registry.ErrForbidden},
		{"the sponsor takes no server status back", parko, remove(server[0]), registry.ErrForbidden},
		{"the registry sets no client status", root, add(client[0]), registry.ErrForbidden},
		{"another provider sets nothing", carPark, add(client[0]), registry.ErrNotFound},
		{"the owner sets nothing", city, add(client[0]), registry.ErrForbidden},
		{"an auditor sets nothing", auditor, add(server[0]), registry.ErrForbidden},
		{"what follows from the device is not set", root, add(registry.StatusPendingTransfer), registry.ErrInvalid},
		{"what does not exist is not set", parko, add("clientSleepy"), registry.ErrInvalid},
		{"both at once is a mistake", parko, registry.StatusChange{Add: client[:1], Remove: client[:1]}, registry.ErrInvalid},
		{"an unknown revision is refused", parko, registry.StatusChange{Add: client[:1], Revision: 1 << 40}, registry.ErrRevision},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.ErrorIs(t, b.setStatus(c.actor, c.change, id), c.want)
			if c.want == nil {
				require.ElementsMatch(t, c.change.Add, b.device(id).Status)
			}
			require.Equal(t, c.want != nil || len(c.change.Remove) > 0, len(b.device(id).Status) == 0)
		})
	}
}

func TestProhibitions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status registry.Status
		by     registry.Actor
		call   func(b *bench, id eid.ID) ([]registry.Result, error)
	}{
		{registry.StatusClientUpdateProhibited, parko, func(b *bench, id eid.ID) ([]registry.Result, error) {
			return b.reg.Reset(context.Background(), parko, registry.Options{}, id)
		}},
		{registry.StatusServerUpdateProhibited, root, func(b *bench, id eid.ID) ([]registry.Result, error) {
			return b.reg.Switch(context.Background(), parko, telco.Account+"2", registry.Options{}, id)
		}},
		{registry.StatusServerUpdateProhibited, root, func(b *bench, id eid.ID) ([]registry.Result, error) {
			return b.reg.SetStatus(context.Background(), parko, add(registry.StatusClientHold), id)
		}},
		{registry.StatusClientDeleteProhibited, parko, func(b *bench, id eid.ID) ([]registry.Result, error) {
			return b.reg.Delete(context.Background(), parko, registry.Options{}, id)
		}},
		{registry.StatusServerDeleteProhibited, root, func(b *bench, id eid.ID) ([]registry.Result, error) {
			return b.reg.Delete(context.Background(), root, registry.Options{}, id)
		}},
	} {
		t.Run(string(c.status), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			require.NoError(t, b.reg.PutAccount(t.Context(), root, registry.Account{ID: telco.Account + "2", Role: registry.RoleMNO}))
			id := b.active(1)[0]
			require.NoError(t, b.setStatus(c.by, add(c.status), id))
			before := b.device(id)
			results, err := c.call(b, id)
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, registry.ErrState)
			require.Equal(t, 2304, registry.Code(results[0].Err))
			require.Equal(t, before, b.device(id))
		})
	}
}

// A hold takes every record of a device out of the zone, and the last hold that
// is taken back brings them back.
func TestHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
	names := []string{b.profiles(id)[0].Name, b.profiles(id)[1].Name}
	published := func(want bool) {
		t.Helper()
		for _, name := range names {
			require.Equal(t, want, b.zone.has(name), name)
		}
	}
	published(true)
	require.NoError(t, b.setStatus(parko, add(registry.StatusClientHold), id))
	published(false)
	require.NoError(t, b.setStatus(root, add(registry.StatusServerHold), id))
	require.NoError(t, b.setStatus(parko, remove(registry.StatusClientHold), id))
	published(false)
	n, err := b.reg.Republish(t.Context(), root)
	require.NoError(t, err)
	require.Zero(t, n)
	published(false)
	require.NoError(t, b.setStatus(root, remove(registry.StatusServerHold), id))
	published(true)
	require.Zero(t, b.owed())

	// A profile that is made while the device is held waits outside the zone.
	require.NoError(t, b.setStatus(parko, add(registry.StatusClientHold), id))
	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
	names = append(names, b.profiles(id)[2].Name)
	published(false)
	require.Equal(t, registry.ProfileOrdered, b.profiles(id)[2].Status)
	require.NoError(t, b.setStatus(parko, remove(registry.StatusClientHold), id))
	published(true)
}

// The zone follows a hold also when it could not at once.
func TestHoldWithZoneDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	name := b.profiles(id)[0].Name
	b.zone.set(true)
	require.ErrorIs(t, b.setStatus(parko, add(registry.StatusClientHold), id), errDown)
	require.Contains(t, b.device(id).Status, registry.StatusClientHold, "it is decided all the same")
	require.True(t, b.zone.has(name))
	b.zone.set(false)
	_, err := b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.False(t, b.zone.has(name))
	require.Zero(t, b.owed())
}

// holdingZone puts a device on hold in the middle of its publication.
type holdingZone struct {
	publish.Publisher
	hold func()
}

func (z *holdingZone) Publish(ctx context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	if hold := z.hold; hold != nil && len(c.Add) > 0 {
		z.hold = nil
		hold()
	}
	return z.Publisher.Publish(ctx, c)
}

func TestHoldWhilePublishing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.imported(1)[0]
	z := &holdingZone{Publisher: b.zone, hold: func() {
		require.NoError(t, b.setStatus(parko, add(registry.StatusClientHold), id))
	}}
	reg := b.with(func(c *registry.Config) { c.Publisher = z })
	b.ok(reg.Activate(t.Context(), parko, registry.Options{}, id))
	require.False(t, b.zone.has(b.profiles(id)[0].Name))
	require.NoError(t, b.setStatus(parko, remove(registry.StatusClientHold), id))
	require.True(t, b.zone.has(b.profiles(id)[0].Name))
}

func TestReset(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	b.ok(b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: ids[0], ProfileID: 11}))
	actor := keyed(parko, "compromised")
	first := b.ok(b.reg.Reset(t.Context(), actor, registry.Options{}, ids...))
	again := b.ok(b.reg.Reset(t.Context(), actor, registry.Options{}, ids...))
	require.Equal(t, first, again, "the same request makes no more profiles")
	d := b.device(ids[0])
	require.Equal(t, uint64(13), d.Profile)
	require.Equal(t, []uint64{11}, d.Retired)
	require.True(t, b.zone.has(b.profiles(ids[0])[0].Name), "make before break")
	b.ok(b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: ids[0], ProfileID: 13}))
	require.False(t, b.zone.has(b.profiles(ids[0])[0].Name))

	results, err := b.reg.Reset(t.Context(), root, registry.Options{}, eid.MustParse("77"))
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrNotFound)
}

func TestResetNeedsAProfile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	results, err := b.reg.Reset(t.Context(), parko, registry.Options{}, b.imported(1)...)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrState)
}

// cancelling remembers what was cancelled.
type cancelling struct {
	*mnoFake
	cancelled []string
	err       error
}

func (o *cancelling) Cancel(_ context.Context, r mno.Receipt) error {
	if o.err != nil {
		return o.err
	}
	o.cancelled = append(o.cancelled, r.ICCID)
	return nil
}

// A device that changes its operator gets its new profile from the new one, and
// an order that nobody has downloaded is taken back from the old one.
func TestSwitch(t *testing.T) {
	t.Parallel()
	old := &cancelling{mnoFake: &mnoFake{orders: map[string]mno.Order{}}}
	next := &mnoFake{orders: map[string]mno.Order{}}
	b := newBench(t, func(c *registry.Config) {
		c.Operators = map[string]mno.Operator{telco.Account: old, "bell": next}
	})
	require.NoError(t, b.reg.PutAccount(t.Context(), root, registry.Account{ID: "bell", Role: registry.RoleMNO}))
	ids := b.active(3)
	b.ok(b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: ids[0], ProfileID: 11}))

	_, err := b.reg.Switch(t.Context(), parko, "nobody", registry.Options{}, ids...)
	require.ErrorIs(t, err, registry.ErrUnknown)
	first := b.ok(b.reg.Switch(t.Context(), parko, "bell", registry.Options{}, ids...))
	require.Len(t, next.orders, 3)
	for _, id := range ids {
		require.Equal(t, "bell", b.device(id).MNO)
		require.Equal(t, parko.Account, b.device(id).Sponsor)
		_, err := b.reg.Device(t.Context(), telco, id)
		require.ErrorIs(t, err, registry.ErrNotFound, "it is no customer of the old operator any more")
	}
	require.Equal(t, first, b.ok(b.reg.Switch(t.Context(), parko, "bell", registry.Options{}, ids...)), "they are there already")
	require.Empty(t, old.cancelled)

	old.err = errDown
	b.wait(registry.DefaultOverlap)
	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err, "an order that stays is a nuisance and no more")
	require.Equal(t, 2, b.owed())
	old.err = nil
	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Len(t, old.cancelled, 2, "the third was downloaded: the device has connected with it")
	require.Zero(t, b.owed())
}

func TestDeleteAndRestore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	id, name := ids[0], b.profiles(ids[0])[0].Name
	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
	require.False(t, b.zone.has(name))
	require.Contains(t, b.device(id).Statuses(b.clock()), registry.StatusRedemptionPeriod)
	for name, call := range map[string]func() ([]registry.Result, error){
		"activate": func() ([]registry.Result, error) { return b.reg.Activate(t.Context(), parko, registry.Options{}, id) },
		"reset":    func() ([]registry.Result, error) { return b.reg.Reset(t.Context(), parko, registry.Options{}, id) },
	} {
		results, err := call()
		require.NoError(t, err)
		require.ErrorIs(t, results[0].Err, registry.ErrState, name)
	}
	codes, err := b.reg.IssueCodes(t.Context(), city, id)
	require.NoError(t, err)
	require.ErrorIs(t, codes[0].Err, registry.ErrState)

	b.wait(registry.DefaultRedemption - time.Millisecond)
	b.ok(b.reg.Restore(t.Context(), parko, registry.Options{}, id))
	require.True(t, b.zone.has(name))
	require.Equal(t, []registry.Status{registry.StatusOK}, b.device(id).Statuses(b.clock()))

	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
	b.wait(registry.DefaultRedemption)
	results, err := b.reg.Restore(t.Context(), parko, registry.Options{}, id)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrState)
	require.Contains(t, b.device(id).Statuses(b.clock()), registry.StatusPendingDelete)

	// Gone at its time, whether or not the registry has cleared it away.
	b.wait(registry.DefaultPurge)
	_, err = b.reg.Device(t.Context(), root, id)
	require.ErrorIs(t, err, registry.ErrNotFound)
	page, _, err := b.reg.Devices(t.Context(), city, "", 0)
	require.NoError(t, err)
	require.Len(t, page, 1)
	row := registry.Row{ID: id}
	b.ok(b.reg.Import(t.Context(), carPark, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{row}}))
	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, carPark.Account, b.device(id).Sponsor, "the one that is new is not cleared away")
	b.ok(b.reg.Activate(t.Context(), carPark, registry.Options{}, id))
	require.Greater(t, b.device(id).Profile, uint64(12), "profile IDs are never used again")
}

func TestPurge(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(1)
	b.ok(b.reg.Delete(t.Context(), root, registry.Options{}, ids...))
	for _, a := range []registry.Actor{parko, city} {
		msgs, err := b.reg.Messages(t.Context(), a, "", 0)
		require.NoError(t, err)
		require.Equal(t, registry.MessageDeviceDeleted, msgs[len(msgs)-1].Type)
	}
	b.wait(registry.DefaultRedemption + registry.DefaultPurge)
	n, err := b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, b.store.View(t.Context(), func(tx registry.Tx) error {
		for _, table := range []registry.Table{registry.TableDevices, registry.TableOwned} {
			recs, err := tx.List(t.Context(), table, registry.Query{})
			require.NoError(t, err)
			require.Empty(t, recs, table)
		}
		return nil
	}))
	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Zero(t, b.owed())
}

// What was never in service goes at once.
func TestDeleteBeforeActivation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.imported(1)
	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, ids...))
	_, err := b.reg.Device(t.Context(), root, ids[0])
	require.ErrorIs(t, err, registry.ErrNotFound)
	b.ok(b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rowsOf(ids)}))
}

func TestOptions(t *testing.T) {
	t.Parallel()
	type call = func(b *bench, opts registry.Options, ids ...eid.ID) ([]registry.Result, error)
	for name, do := range map[string]call{
		"activate": func(b *bench, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
			return b.reg.Activate(context.Background(), parko, opts, ids...)
		},
		"reset": func(b *bench, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
			return b.reg.Reset(context.Background(), parko, opts, ids...)
		},
		"delete": func(b *bench, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
			return b.reg.Delete(context.Background(), parko, opts, ids...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small)
			ids := b.imported(7)
			if name != "activate" {
				b.ok(b.reg.Activate(t.Context(), parko, registry.Options{}, ids...))
			}
			before := make([]*registry.Device, len(ids))
			for i, id := range ids {
				before[i] = b.device(id)
			}
			same := func() {
				t.Helper()
				for i, id := range ids {
					require.Equal(t, before[i], b.device(id))
				}
			}
			b.ok(do(b, registry.Options{DryRun: true}, ids...))
			same()
			results, err := do(b, registry.Options{Atomic: true}, append(ids, eid.MustParse("77"))...)
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, registry.ErrAborted)
			require.ErrorIs(t, results[7].Err, registry.ErrNotFound)
			same()
			_, err = do(b, registry.Options{Atomic: true}, make([]eid.ID, 1)...)
			require.NoError(t, err)
			b.ok(do(b, registry.Options{Atomic: true}, ids...))
			for i, id := range ids {
				require.NotEqual(t, before[i], b.device(id))
			}
			require.Zero(t, b.owed())
		})
	}
}

func TestAtomicHasALimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := make([]eid.ID, registry.MaxAtomic+1)
	for i := range ids {
		ids[i] = eid.MustParse(strconv.Itoa(1000000000000001 + i))
	}
	_, err := b.reg.Activate(t.Context(), parko, registry.Options{Atomic: true}, ids...)
	require.ErrorIs(t, err, registry.ErrInvalid)
	_, err = b.reg.Delete(t.Context(), parko, registry.Options{Atomic: true}, ids...)
	require.ErrorIs(t, err, registry.ErrInvalid)
}
