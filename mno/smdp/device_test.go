package smdp_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// A device that its owner calls by a number of its own has an eUICC with an EID,
// and only that may have the profile.
func TestDeviceWithAnotherID(t *testing.T) {
	t.Parallel()
	meter := mnotest.ID(t, "1000000000000001")
	b := newBench(t)
	known := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) {
		c.EUICC = func(_ context.Context, id eid.ID) (eid.ID, error) {
			require.Equal(t, meter, id)
			return device(t, 1), nil
		}
	})
	none := ""

	r := known.orderFor(meter, 11)
	require.Equal(t, meter, r.Device)
	require.Equal(t, "8.1.1/3.8", code(t, known.card(2).meet(&r.MatchingID)), "another eUICC with the matching ID")
	require.Equal(t, "8.2.6/3.8", code(t, known.card(2).meet(&none)))
	c := known.card(1)
	_, err := c.download(&none)
	require.NoError(t, err, "it needs no matching ID")
	require.NoError(t, c.notify(c.result(nil, nil)))
	require.Equal(t, meter, known.news.got[0].Device, "news name the device as the order did")
	require.NoError(t, c.notify(c.event(rsp.EventEnable, nil)))
	require.Equal(t, smdp.PointEnabled, known.news.got[1].Point)

	r = b.orderFor(meter, 11)
	require.Equal(t, "8.2.6/3.8", code(t, b.card(1).meet(&none)), "nobody knows that it is this device's eUICC")
	c = b.card(1)
	_, err = c.download(&r.MatchingID)
	require.NoError(t, err)
	require.Equal(t, "8.1.1/3.8", code(t, b.card(2).meet(&r.MatchingID)), "the first that came has it")
	p, err := b.engine.Profile(t.Context(), r.ICCID)
	require.NoError(t, err)
	require.Equal(t, []eid.ID{meter, device(t, 1)}, []eid.ID{p.Device, p.EUICC})
}

func TestUnknownDevices(t *testing.T) {
	t.Parallel()
	away := errors.New("inventory is away")
	for name, f := range map[string]func(context.Context, eid.ID) (eid.ID, error){
		"failure": func(context.Context, eid.ID) (eid.ID, error) { return eid.ID{}, away },
		"no EID":  func(_ context.Context, id eid.ID) (eid.ID, error) { return id, nil },
	} {
		b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.EUICC = f })
		_, err := b.engine.DownloadOrder(t.Context(), registry, mno.Order{Device: mnotest.ID(t, "1000000000000001"), ProfileType: "iot"})
		require.Error(t, err, name)
		_, err = b.engine.DownloadOrder(t.Context(), registry, mno.Order{Device: device(t, 1), ProfileType: "iot"})
		require.NoError(t, err, "%s: an EID is one already", name)
	}
}

// Devices are told of what is released, once it is stored, and told again when
// the requester comes back after a failure.
func TestReleased(t *testing.T) {
	t.Parallel()
	var told []smdp.Profile
	var trouble error
	b := newBench(t)
	b = newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) {
		c.Released = func(ctx context.Context, p smdp.Profile) error {
			stored, err := b.engine.Profile(ctx, p.ICCID)
			require.NoError(t, err)
			require.Equal(t, stored, p)
			told = append(told, p)
			return trouble
		}
	})
	order := mno.Order{Device: device(t, 1), ProfileID: 11, ProfileType: "iot", Sealed: sealed(11)}
	operator := b.engine.Operator("registry")
	trouble = errors.New("eIM is away")
	_, err := operator.Order(t.Context(), order)
	require.ErrorIs(t, err, trouble)
	trouble = nil
	r, err := operator.Order(t.Context(), order)
	require.NoError(t, err)
	require.Len(t, told, 2)
	require.Equal(t, r.MatchingID, told[1].MatchingID)

	later := b.confirmed(mno.Order{Device: device(t, 2)}, es2.ConfirmOrder{})
	require.Len(t, told, 2, "confirmed is not released")
	require.NoError(t, b.engine.ReleaseProfile(t.Context(), registry, later.ICCID))
	require.NoError(t, b.engine.ReleaseProfile(t.Context(), registry, later.ICCID))
	require.Len(t, told, 4)

	_, err = b.card(1).download(&r.MatchingID)
	require.NoError(t, err)
	_, err = operator.Order(t.Context(), order)
	require.NoError(t, err)
	require.Len(t, told, 4, "what is downloaded waits for nobody")
}
