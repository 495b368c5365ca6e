package registry_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// A dry run judges every batch.
func TestDryRunOfManyBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Batch = 2 })
	ids := b.active(5)
	unknown := eid.MustParse("1999999999999999")
	results, err := b.reg.Delete(t.Context(), parko, registry.Options{DryRun: true}, append(ids, unknown)...)
	require.NoError(t, err)
	require.Len(t, registry.Failed(results), 1)
	require.ErrorIs(t, results[5].Err, registry.ErrNotFound)
	require.Equal(t, ids[4:], []eid.ID{results[4].Device})
	require.Equal(t, b.device(ids[4]).Profile, results[4].ProfileID, "it was judged")
}

// A hold that could not be carried out is not told as done when it is asked for
// again.
func TestRepeatedHoldIsCarriedOut(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a key": "k", "without a key": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id := b.active(1)[0]
			actor := parko
			actor.Key = key
			hold := registry.StatusChange{Add: []registry.Status{registry.StatusClientHold}}
			b.zone.set(true)
			_, err := b.reg.SetStatus(t.Context(), actor, hold, id)
			require.ErrorIs(t, err, errDown)
			_, err = b.reg.SetStatus(t.Context(), actor, hold, id)
			require.ErrorIs(t, err, errDown, "its record is in the zone still")
			b.zone.set(false)
			b.ok(b.reg.SetStatus(t.Context(), actor, hold, id))
			require.Empty(t, b.zone.names)
			require.Zero(t, b.owed())
		})
	}
}

// A device that is taken off hold while its profile is published gets its record
// even where the zone is down or the process dies just then.
func TestOffHoldWhilePublishing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.imported(1)
	hold := []registry.Status{registry.StatusClientHold}
	require.NoError(t, b.setStatus(parko, registry.StatusChange{Add: hold}, ids...))
	calls := 0
	reg := b.with(func(c *registry.Config) {
		c.Publisher = hookedZone{b.zone, func(publish.ChangeSet) error {
			if calls++; calls == 1 {
				require.NoError(t, b.setStatus(parko, registry.StatusChange{Remove: hold}, ids...))
				return nil
			}
			return errDown
		}}
	})
	_, err := reg.Activate(t.Context(), parko, registry.Options{}, ids...)
	require.ErrorIs(t, err, errDown)
	b.resume()
	require.True(t, b.zone.has(b.profiles(ids[0])[0].Name))
	require.Zero(t, b.owed())
}

// A hold that is taken back while a profile is on its way into the zone does not
// take it out again.
func TestHoldTakenBackBesideAPublication(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.imported(1)
	hold := []registry.Status{registry.StatusClientHold}
	reg := b.with(func(c *registry.Config) {
		c.Publisher = publisherAfter{b.zone, func() {
			require.NoError(t, b.setStatus(parko, registry.StatusChange{Add: hold}, ids...))
			require.NoError(t, b.setStatus(parko, registry.StatusChange{Remove: hold}, ids...))
		}}
	})
	b.ok(reg.Activate(t.Context(), parko, registry.Options{}, ids...))
	require.True(t, b.zone.has(b.profiles(ids[0])[0].Name))
	require.Zero(t, b.owed())
}

// publisherAfter lets a test act when a change is in the zone and not recorded.
type publisherAfter struct {
	publish.Publisher
	after func()
}

func (p publisherAfter) Publish(ctx context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	r, err := p.Publisher.Publish(ctx, c)
	p.after()
	return r, err
}

// An order that was placed while its profile was replaced is taken back in the
// end.
func TestOrderOfAProfileReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, confirmed := range []bool{false, true} {
		b := newBench(t)
		id := b.imported(1)[0]
		var cancelled []string
		operator := cancelMNO{b.mno, &cancelled}
		b.reg = b.with(func(c *registry.Config) { c.Operators = map[string]mno.Operator{telco.Account: operator} })
		confirm := func() {
			b.ok(b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: id, ProfileID: b.device(id).Profile}))
		}
		reg := b.with(func(c *registry.Config) {
			c.Operators = map[string]mno.Operator{telco.Account: hookedMNO{b.mno, func(mno.Order, mno.Receipt) error {
				b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
				if confirmed {
					confirm()
				}
				return nil
			}}}
		})
		b.ok(reg.Activate(t.Context(), parko, registry.Options{}, id))
		if !confirmed {
			confirm()
		}
		b.resume()
		require.Equal(t, []string{b.profiles(id)[0].Receipt.ICCID}, cancelled, "confirmed meanwhile: %v", confirmed)
	}
}

type cancelMNO struct {
	mno.Operator
	cancelled *[]string
}

func (o cancelMNO) Cancel(_ context.Context, r mno.Receipt) error {
	*o.cancelled = append(*o.cancelled, r.ICCID)
	return nil
}

// What was never delivered and is replaced is owed to nobody.
func TestReplacedBeforeItWasDelivered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.imported(1)[0]
	b.mno.set(true)
	_, err := b.reg.Activate(t.Context(), parko, registry.Options{}, id)
	require.NoError(t, err)
	_, err = b.reg.Reset(t.Context(), parko, registry.Options{}, id)
	require.NoError(t, err)
	b.mno.set(false)
	b.resume()
	require.Zero(t, b.resume(), "nothing is left to do")
	require.Zero(t, b.owed())
}
