package smdp_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	stocked = "8944476500001224158"
	second  = "89000000000000001010"
)

var (
	registry = es2.Call{Requester: "registry", ID: "1"}
	stranger = es2.Call{Requester: "stranger", ID: "1"}
	now      = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
)

func newEngine(t testing.TB, change ...func(*smdp.Config)) *smdp.Engine {
	cfg := smdp.Config{Address: "smdp.example", Now: func() time.Time { return now }}
	for _, f := range change {
		f(&cfg)
	}
	e, err := smdp.New(cfg)
	require.NoError(t, err)
	return e
}

func state(t testing.TB, e *smdp.Engine, iccid string) mno.State {
	p, err := e.Profile(t.Context(), iccid)
	require.NoError(t, err)
	return p.State
}

func order(t testing.TB, e *smdp.Engine, o mno.Order) string {
	iccid, err := e.DownloadOrder(t.Context(), registry, o)
	require.NoError(t, err)
	return iccid
}

func TestNew(t *testing.T) {
	t.Parallel()
	for text, cfg := range map[string]smdp.Config{
		"Address": {},
		"IIN":     {Address: "a", IIN: "8"},
		"IIN has": {Address: "a", IIN: "890000000000000000"},
		"digits":  {Address: "a", IIN: "89x"},
	} {
		_, err := smdp.New(cfg)
		require.ErrorContains(t, err, text)
	}
}

// Each refusal of ES2+ that an order book decides, by function.
func TestRefusals(t *testing.T) {
	t.Parallel()
	dev, other := mnotest.ID(t, "89049032123451234512345678901235"), mnotest.ID(t, "1000000000000002")
	ctx := t.Context()
	reached := errors.New("smds: refused")
	setup := func(t *testing.T) *smdp.Engine {
		e := newEngine(t, func(c *smdp.Config) {
			c.Types = map[string][]string{"iot": nil, "ours": {"registry"}}
			c.RegisterEvent = func(_ context.Context, address string, _ eid.ID, _ string) error {
				if address == "far" {
					return mno.ErrSMDSInaccessible
				}
				return reached
			}
		})
		require.NoError(t, e.Stock(ctx, "registry", "iot", stocked, second))
		return e
	}
	download := func(call es2.Call, o mno.Order) func(*smdp.Engine) error {
		return func(e *smdp.Engine) error { _, err := e.DownloadOrder(ctx, call, o); return err }
	}
	confirm := func(call es2.Call, c es2.ConfirmOrder) func(*smdp.Engine) error {
		return func(e *smdp.Engine) error { _, err := e.ConfirmOrder(ctx, call, c); return err }
	}
	cancel := func(call es2.Call, c es2.CancelOrder) func(*smdp.Engine) error {
		return func(e *smdp.Engine) error { return e.CancelOrder(ctx, call, c) }
	}
	release := func(call es2.Call, iccid string) func(*smdp.Engine) error {
		return func(e *smdp.Engine) error { return e.ReleaseProfile(ctx, call, iccid) }
	}
	installed := func(e *smdp.Engine) error {
		o := mno.Order{Device: dev, ProfileID: 11, Sealed: []byte("x"), ICCID: stocked}
		if err := errors.Join(download(registry, o)(e), confirm(registry, es2.ConfirmOrder{ICCID: stocked, Release: true})(e)); err != nil {
			return err
		}
		_, err := e.Deliver(ctx, dev, 0)
		return err
	}
	iotOrder := mnotest.Order(t, 1, 11)
	iotOrder.ProfileType = "iot"
	plain := download(registry, mno.Order{ICCID: stocked})
	linked := download(registry, mno.Order{ICCID: stocked, Device: dev})
	for _, c := range []struct {
		rule string
		want error
		run  []func(*smdp.Engine) error // all but the last must succeed
	}{
		{"DownloadOrder: not this requester's", mno.ErrNotAllowed, []func(*smdp.Engine) error{download(stranger, mno.Order{ICCID: stocked})}},
		{"DownloadOrder: unknown ICCID", mno.ErrUnknownICCID, []func(*smdp.Engine) error{download(registry, mno.Order{ICCID: "890000000000000019"})}},
		{"DownloadOrder: ordered already", mno.ErrICCIDNotAvailable, []func(*smdp.Engine) error{plain, plain}},
		{"DownloadOrder: type of somebody else", mno.ErrProfileTypeNotAllowed, []func(*smdp.Engine) error{download(stranger, mno.Order{ProfileType: "ours"})}},
		{"DownloadOrder: unknown type", mno.ErrUnknownProfileType, []func(*smdp.Engine) error{download(registry, mno.Order{ProfileType: "none"})}},
		{"DownloadOrder: ICCID of another type", mno.ErrProfileTypeMismatch, []func(*smdp.Engine) error{download(registry, mno.Order{ICCID: stocked, ProfileType: "ours"})}},
		{"DownloadOrder: profile ID of another requester", mno.ErrNotAllowed, []func(*smdp.Engine) error{
			download(registry, iotOrder), download(stranger, iotOrder)}},
		{"ConfirmOrder: not this requester's", mno.ErrNotAllowed, []func(*smdp.Engine) error{plain, confirm(stranger, es2.ConfirmOrder{ICCID: stocked})}},
		{"ConfirmOrder: unknown ICCID", mno.ErrUnknownICCID, []func(*smdp.Engine) error{confirm(registry, es2.ConfirmOrder{ICCID: "890000000000000019"})}},
		{"ConfirmOrder: not ordered", mno.ErrICCIDNotAvailable, []func(*smdp.Engine) error{confirm(registry, es2.ConfirmOrder{ICCID: stocked})}},
		{"ConfirmOrder: confirmed otherwise", mno.ErrICCIDNotAvailable, []func(*smdp.Engine) error{plain,
			confirm(registry, es2.ConfirmOrder{ICCID: stocked, MatchingID: new("A")}), confirm(registry, es2.ConfirmOrder{ICCID: stocked, MatchingID: new("B")})}},
		{"ConfirmOrder: confirmed with another code", mno.ErrICCIDNotAvailable, []func(*smdp.Engine) error{plain,
			confirm(registry, es2.ConfirmOrder{ICCID: stocked, ConfirmationCode: "1"}), confirm(registry, es2.ConfirmOrder{ICCID: stocked, ConfirmationCode: "2"})}},
		{"ConfirmOrder: matching ID taken", mno.ErrMatchingIDInUse, []func(*smdp.Engine) error{plain, confirm(registry, es2.ConfirmOrder{ICCID: stocked, MatchingID: new("A")}),
			download(registry, mno.Order{ICCID: second}), confirm(registry, es2.ConfirmOrder{ICCID: second, MatchingID: new("A")})}},
		{"ConfirmOrder: empty matching ID without device", mno.ErrEIDMissing, []func(*smdp.Engine) error{plain, confirm(registry, es2.ConfirmOrder{ICCID: stocked, MatchingID: new("")})}},
		{"ConfirmOrder: SM-DS without device", mno.ErrEIDMissing, []func(*smdp.Engine) error{plain, confirm(registry, es2.ConfirmOrder{ICCID: stocked, SMDSAddress: "far"})}},
		{"ConfirmOrder: another device", mno.ErrEIDLinked, []func(*smdp.Engine) error{linked, confirm(registry, es2.ConfirmOrder{ICCID: stocked, Device: other})}},
		{"ConfirmOrder: SM-DS out of reach", mno.ErrSMDSInaccessible, []func(*smdp.Engine) error{linked, confirm(registry, es2.ConfirmOrder{ICCID: stocked, SMDSAddress: "far", Release: true})}},
		{"ConfirmOrder: SM-DS refuses", mno.ErrSMDSFailed, []func(*smdp.Engine) error{linked, confirm(registry, es2.ConfirmOrder{ICCID: stocked, SMDSAddress: "near", Release: true})}},
		{"CancelOrder: not this requester's", mno.ErrNotAllowed, []func(*smdp.Engine) error{plain, cancel(stranger, es2.CancelOrder{ICCID: stocked, Final: mno.Available})}},
		{"CancelOrder: unknown ICCID", mno.ErrUnknownICCID, []func(*smdp.Engine) error{cancel(registry, es2.CancelOrder{ICCID: "890000000000000019", Final: mno.Available})}},
		{"CancelOrder: downloaded", mno.ErrICCIDNotAvailable, []func(*smdp.Engine) error{installed, cancel(registry, es2.CancelOrder{ICCID: stocked, Device: dev, Final: mno.Unavailable})}},
		{"CancelOrder: not ordered", mno.ErrICCIDNotAvailable, []func(*smdp.Engine) error{cancel(registry, es2.CancelOrder{ICCID: stocked, Final: mno.Unavailable})}},
		{"CancelOrder: another device", mno.ErrOtherDevice, []func(*smdp.Engine) error{linked, cancel(registry, es2.CancelOrder{ICCID: stocked, Device: other, Final: mno.Available})}},
		{"CancelOrder: no device", mno.ErrOtherDevice, []func(*smdp.Engine) error{linked, cancel(registry, es2.CancelOrder{ICCID: stocked, Final: mno.Available})}},
		{"CancelOrder: another matching ID", mno.ErrOtherMatchingID, []func(*smdp.Engine) error{plain, confirm(registry, es2.ConfirmOrder{ICCID: stocked, MatchingID: new("A")}),
			cancel(registry, es2.CancelOrder{ICCID: stocked, MatchingID: "B", Final: mno.Available})}},
		{"ReleaseProfile: not this requester's", mno.ErrNotAllowed, []func(*smdp.Engine) error{plain, release(stranger, stocked)}},
		{"ReleaseProfile: unknown ICCID", mno.ErrUnknownICCID, []func(*smdp.Engine) error{release(registry, "890000000000000019")}},
		{"ReleaseProfile: not confirmed", mno.ErrInvalidTransition, []func(*smdp.Engine) error{plain, release(registry, stocked)}},
		{"ReleaseProfile: downloaded", mno.ErrInvalidTransition, []func(*smdp.Engine) error{installed, release(registry, stocked)}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := setup(t)
			last := len(c.run) - 1
			for _, f := range c.run[:last] {
				require.NoError(t, f(e))
			}
			before, _ := e.Profile(ctx, stocked)
			err := c.run[last](e)
			require.ErrorIs(t, err, c.want)
			after, _ := e.Profile(ctx, stocked)
			require.Equal(t, before, after, "a refusal changes nothing")
		})
	}
}

func TestStateFollowsTheCalls(t *testing.T) {
	t.Parallel()
	e, ctx := newEngine(t), t.Context()
	dev := mnotest.ID(t, "1000000000000001")
	require.NoError(t, e.Stock(ctx, "", "iot", stocked+"F"))
	require.ErrorIs(t, e.Stock(ctx, "", "iot", second, stocked), mno.ErrICCIDNotAvailable)
	require.ErrorIs(t, e.Stock(ctx, "", "iot", second, second), mno.ErrICCIDNotAvailable)
	require.Error(t, e.Stock(ctx, "", "iot", "12"))
	_, err := e.Profile(ctx, second)
	require.ErrorIs(t, err, smdp.ErrNotFound, "all or nothing")
	require.Equal(t, mno.Available, state(t, e, stocked))

	order(t, e, mno.Order{ICCID: stocked})
	require.Equal(t, mno.Allocated, state(t, e, stocked))
	require.NoError(t, e.CancelOrder(ctx, registry, es2.CancelOrder{ICCID: stocked, Final: mno.Available}))
	require.NoError(t, e.CancelOrder(ctx, registry, es2.CancelOrder{ICCID: stocked, Final: mno.Available}), "again")
	require.Equal(t, mno.Available, state(t, e, stocked))

	order(t, e, mno.Order{ICCID: stocked, Device: dev})
	require.Equal(t, mno.Linked, state(t, e, stocked))
	first, err := e.ConfirmOrder(ctx, registry, es2.ConfirmOrder{ICCID: stocked, ConfirmationCode: "4711"})
	require.NoError(t, err)
	require.Equal(t, mno.Confirmed, state(t, e, stocked))
	again, err := e.ConfirmOrder(ctx, registry, es2.ConfirmOrder{ICCID: stocked, ConfirmationCode: "4711"})
	require.NoError(t, err)
	require.Equal(t, first, again)
	p, err := e.Profile(ctx, stocked)
	require.NoError(t, err)
	sum := sha256.Sum256([]byte("4711"))
	require.Equal(t, sum[:], p.CodeHash, "only the hash of the code is kept")
	require.NotContains(t, fmt.Sprintf("%+v", p), "4711")

	require.NoError(t, e.ReleaseProfile(ctx, registry, stocked))
	require.NoError(t, e.ReleaseProfile(ctx, registry, stocked), "again")
	require.Equal(t, mno.Released, state(t, e, stocked))
	require.NoError(t, e.CancelOrder(ctx, registry, es2.CancelOrder{ICCID: stocked, Device: dev, Final: mno.Unavailable}))
	require.Equal(t, mno.Unavailable, state(t, e, stocked))
}

func TestConfirmationMayLinkAndReleaseLater(t *testing.T) {
	t.Parallel()
	var events []string
	e := newEngine(t, func(c *smdp.Config) {
		c.RegisterEvent = func(_ context.Context, address string, dev eid.ID, matching string) error {
			events = append(events, address+" "+dev.String()+" "+matching)
			return nil
		}
	})
	ctx, dev := t.Context(), mnotest.ID(t, "89049032123451234512345678901235")
	iccid := order(t, e, mno.Order{ProfileType: "iot"})
	c := es2.ConfirmOrder{ICCID: iccid, Device: dev, MatchingID: new(""), SMDSAddress: "smds.example"}
	r, err := e.ConfirmOrder(ctx, registry, c)
	require.NoError(t, err)
	require.Equal(t, mno.Receipt{Device: dev, ICCID: iccid, SMDPAddress: "smdp.example"}, r)
	require.Empty(t, events, "announced on release, not before")
	c.Release = true
	again, err := e.ConfirmOrder(ctx, registry, c)
	require.NoError(t, err)
	require.Equal(t, r, again)
	require.Equal(t, mno.Released, state(t, e, iccid), "the same confirmation, now with release")
	require.Equal(t, []string{"smds.example " + dev.String() + " "}, events)
}

func TestSMDSNeedsSupport(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	iccid := order(t, e, mno.Order{ProfileType: "iot", Device: mnotest.ID(t, "1000000000000001")})
	_, err := e.ConfirmOrder(t.Context(), registry, es2.ConfirmOrder{ICCID: iccid, SMDSAddress: "smds.example", Release: true})
	require.ErrorIs(t, err, mno.ErrSMDSInaccessible)
	require.Equal(t, mno.Linked, state(t, e, iccid))
}

func TestStockRunsOut(t *testing.T) {
	t.Parallel()
	e := newEngine(t, func(c *smdp.Config) { c.IIN = "89000000000000000" }) // one free digit
	got := map[string]bool{}
	var err error
	for range 11 {
		var iccid string
		if iccid, err = e.DownloadOrder(t.Context(), registry, mno.Order{ProfileType: "iot"}); err == nil {
			got[iccid] = true
			require.Len(t, iccid, 19)
			_, err := eid.Parse(iccid)
			require.NoError(t, err, "the check digit fits")
		}
	}
	require.ErrorIs(t, err, mno.ErrNoneLeft)
	require.GreaterOrEqual(t, len(got), 8)
}

func TestRandomSourceFails(t *testing.T) {
	t.Parallel()
	e := newEngine(t, func(c *smdp.Config) { c.Rand = strings.NewReader(strings.Repeat("\x01", 32)) })
	iccid := order(t, e, mno.Order{ProfileType: "iot"}) // takes 32 bytes
	require.Equal(t, "8999901111111111118", iccid)
	_, err := e.ConfirmOrder(t.Context(), registry, es2.ConfirmOrder{ICCID: iccid})
	require.ErrorContains(t, err, "random source")
	_, err = e.DownloadOrder(t.Context(), registry, mno.Order{ProfileType: "iot"})
	require.ErrorContains(t, err, "random source")
	require.Equal(t, mno.Allocated, state(t, e, iccid))
}

func TestSupersedingLeavesDeliveredOrdersAlone(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	local := e.Operator("registry")
	first, err := local.Order(t.Context(), mnotest.Order(t, 1, 11))
	require.NoError(t, err)
	second, err := local.Order(t.Context(), mnotest.Order(t, 1, 12))
	require.NoError(t, err)
	require.Equal(t, mno.Unavailable, state(t, e, first.ICCID))
	p, err := e.Deliver(t.Context(), mnotest.Order(t, 1, 0).Device, 0)
	require.NoError(t, err)
	require.Equal(t, uint64(12), p.ProfileID)
	third, err := local.Order(t.Context(), mnotest.Order(t, 1, 13))
	require.NoError(t, err)
	require.Equal(t, mno.Downloaded, state(t, e, second.ICCID))
	require.Equal(t, mno.Released, state(t, e, third.ICCID))
	require.NoError(t, e.Finish(t.Context(), p.Device, 12, nil), "its report still counts")
	require.Equal(t, mno.Installed, state(t, e, second.ICCID))
	old, err := e.Profile(t.Context(), first.ICCID)
	require.NoError(t, err)
	require.Nil(t, old.Sealed, "what is of no more use is not kept")
}

// Two registries at one SM-DP+ may both know a device: neither takes the other's
// order away, however high its profile ID.
func TestNobodySupersedesAnotherRequestersOrder(t *testing.T) {
	t.Parallel()
	e, ctx := newEngine(t), t.Context()
	ours, theirs := e.Operator("registry"), e.Operator("stranger")
	first, err := ours.Order(ctx, mnotest.Order(t, 1, 11))
	require.NoError(t, err)
	_, err = theirs.Order(ctx, mnotest.Order(t, 1, 1<<60))
	require.ErrorIs(t, err, mno.ErrNotAllowed)
	require.Equal(t, mno.Released, state(t, e, first.ICCID))
	_, err = e.Deliver(ctx, first.Device, 0)
	require.NoError(t, err)
	require.NoError(t, e.Finish(ctx, first.Device, 11, nil))
	_, err = theirs.Order(ctx, mnotest.Order(t, 1, 12))
	require.NoError(t, err, "a device may change hands")
}

func TestTenThousandOrders(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	local, start := e.Operator("registry"), time.Now()
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for n := c; n < 10000; n += 4 {
				if _, err := local.Order(t.Context(), mnotest.Order(t, n, uint64(n+1))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Less(t, time.Since(start), 10*time.Second)
	for n := range 10000 {
		p, err := e.Deliver(t.Context(), mnotest.Order(t, n, 0).Device, 0)
		require.NoError(t, err)
		require.Equal(t, uint64(n+1), p.ProfileID)
	}
}

func TestManyNewerOrdersAtOnceLeaveOneToDeliver(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	local := e.Operator("registry")
	var wg sync.WaitGroup
	for id := range uint64(50) {
		wg.Go(func() {
			_, err := local.Order(t.Context(), mnotest.Order(t, 1, id+1))
			if err != nil && !errors.Is(err, mno.ErrOrderClosed) && !errors.Is(err, mno.ErrICCIDNotAvailable) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := e.Deliver(t.Context(), mnotest.Order(t, 1, 0).Device, 0)
	require.NoError(t, err)
	require.Equal(t, uint64(50), p.ProfileID, "the highest ID wins whatever the order of arrival")
}
