package smdp_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// listener records news, and refuses them while err is set.
type listener struct {
	err error
	got []mno.Progress
	who []string
}

func (l *listener) take(_ context.Context, requester string, p mno.Progress) error {
	l.got, l.who = append(l.got, p), append(l.who, requester)
	return l.err
}

func TestDeliveryAndReport(t *testing.T) {
	t.Parallel()
	var l listener
	e := newEngine(t, func(c *smdp.Config) { c.Notify, c.NotifyDownloads = l.take, true })
	o, ctx := mnotest.Order(t, 1, 11), t.Context()
	_, err := e.Deliver(ctx, o.Device, 0)
	require.ErrorIs(t, err, smdp.ErrNotFound)
	iccid := order(t, e, o)
	_, err = e.Deliver(ctx, o.Device, 0)
	require.ErrorIs(t, err, smdp.ErrNotFound, "not released yet")
	r, err := e.Operator("registry").Order(ctx, o)
	require.NoError(t, err)

	require.ErrorIs(t, e.Finish(ctx, o.Device, 11, nil), mno.ErrInvalidTransition, "not downloaded yet")
	require.ErrorIs(t, e.Finish(ctx, o.Device, 11, mno.With(mno.ErrNoneLeft, "", "").(*mno.StatusError)), mno.ErrInvalidTransition, "nor failed")
	_, err = e.Deliver(ctx, o.Device, 11)
	require.ErrorIs(t, err, smdp.ErrNotFound, "the device has it")
	_, err = e.Deliver(ctx, mnotest.ID(t, "1000000000000002"), 0)
	require.ErrorIs(t, err, smdp.ErrNotFound, "another device")
	_, err = e.Deliver(ctx, eid.ID{}, 0)
	require.ErrorIs(t, err, smdp.ErrNotFound, "no device")
	require.Empty(t, l.got)

	for range 2 { // again after an interruption
		p, err := e.Deliver(ctx, o.Device, 10)
		require.NoError(t, err)
		require.Equal(t, o.Sealed, p.Sealed)
		require.Equal(t, []any{iccid, r.MatchingID, uint64(11), mno.Downloaded}, []any{p.ICCID, p.MatchingID, p.ProfileID, p.State})
	}
	for range 2 { // again because the answer was lost
		require.NoError(t, e.Finish(ctx, o.Device, 11, nil))
	}
	require.NoError(t, e.Finish(ctx, o.Device, 11, &mno.StatusError{Subject: "8.1", Reason: "4.8"}), "a repeat that says otherwise")
	news := mno.Progress{Device: o.Device, ICCID: iccid, ProfileType: o.ProfileType, ProfileID: 11, Time: now}
	download, install := news, news
	download.Point, install.Point = mno.PointDownload, mno.PointInstall
	require.Equal(t, []mno.Progress{download, install}, l.got)
	require.Equal(t, []string{"registry", "registry"}, l.who)

	_, err = e.Deliver(ctx, o.Device, 0)
	require.ErrorIs(t, err, smdp.ErrNotFound, "installed")
	p, err := e.Profile(ctx, iccid)
	require.NoError(t, err)
	require.Nil(t, p.Sealed)
	again, err := e.Operator("registry").Order(ctx, o)
	require.NoError(t, err, "the order of a delivered profile may still be repeated")
	require.Equal(t, r, again)
}

func TestFailureIsFinal(t *testing.T) {
	t.Parallel()
	var l listener
	e := newEngine(t, func(c *smdp.Config) { c.Notify = l.take })
	o, ctx := mnotest.Order(t, 1, 11), t.Context()
	local := e.Operator("registry")
	r, err := local.Order(ctx, o)
	require.NoError(t, err)
	_, err = e.Deliver(ctx, o.Device, 0)
	require.NoError(t, err)
	require.Empty(t, l.got, "news of downloads only where asked for")
	failure := &mno.StatusError{Subject: mno.SubjectBPP, Reason: mno.ReasonExecution, Message: "no memory"}
	require.NoError(t, e.Finish(ctx, o.Device, 11, failure))
	require.Equal(t, failure, l.got[0].Failure)
	_, err = e.Deliver(ctx, o.Device, 0)
	require.ErrorIs(t, err, smdp.ErrNotFound)
	_, err = local.Order(ctx, o)
	require.ErrorIs(t, err, mno.ErrOrderClosed)
	_, err = local.Order(ctx, mnotest.Order(t, 1, 12))
	require.NoError(t, err)
	require.Equal(t, mno.Error, state(t, e, r.ICCID), "a newer order does not hide the failure")
}

func TestNewsAreNotLost(t *testing.T) {
	t.Parallel()
	l := listener{err: errors.New("registry is away")}
	store := new(smdp.Memory)
	setup := func(c *smdp.Config) { c.Notify, c.NotifyDownloads, c.Store = l.take, true, store }
	e := newEngine(t, setup)
	o, ctx := mnotest.Order(t, 1, 11), t.Context()
	_, err := e.Operator("registry").Order(ctx, o)
	require.NoError(t, err)
	_, err = e.Deliver(ctx, o.Device, 0)
	require.NoError(t, err, "the profile does not wait for the registry")
	require.ErrorIs(t, e.Finish(ctx, o.Device, 11, nil), l.err)

	e = newEngine(t, setup) // the SM-DP+ starts again, the device repeats its report
	require.ErrorIs(t, e.Finish(ctx, o.Device, 11, nil), l.err)
	l.err, l.got = nil, nil
	require.NoError(t, e.Finish(ctx, o.Device, 11, nil))
	require.NoError(t, e.Finish(ctx, o.Device, 11, nil))
	require.Len(t, l.got, 1)
	require.Equal(t, mno.PointInstall, l.got[0].Point)
}

// News that wait for the operator do not come with a result that says otherwise.
func TestNewsGoWithTheirOwnResult(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, c := b.order(1, 11), b.card(1)
	_, err := c.download(&r.MatchingID)
	require.NoError(t, err)
	b.news.err = errors.New("registry is away")
	truth := c.result(nil, nil)
	require.ErrorIs(t, c.notify(truth), b.news.err)
	b.news.err, b.news.got = nil, nil
	require.NoError(t, c.notify(c.result(&rsp.InstallationFailure{Reason: rsp.InstallInterrupted}, nil)))
	require.Len(t, b.news.got, 1)
	require.Nil(t, b.news.got[0].Failure)
	require.Nil(t, b.news.got[0].Result)
}

func TestUnwantedNewsEnd(t *testing.T) {
	t.Parallel()
	l := listener{err: mno.ErrUnknownICCID}
	e := newEngine(t, func(c *smdp.Config) { c.Notify = l.take })
	o, ctx := mnotest.Order(t, 1, 11), t.Context()
	_, err := e.Operator("registry").Order(ctx, o)
	require.NoError(t, err)
	_, err = e.Deliver(ctx, o.Device, 0)
	require.NoError(t, err)
	require.NoError(t, e.Finish(ctx, o.Device, 11, nil), "the device is not kept busy by what nobody wants")
	require.NoError(t, e.Finish(ctx, o.Device, 11, nil))
	require.Len(t, l.got, 1)
}

// Who is not let in has not been heard: that is no word about the news.
func TestNewsOfACallerThatIsNotKnownAreKept(t *testing.T) {
	t.Parallel()
	for _, refusal := range []*mno.StatusError{
		{Subject: mno.SubjectRequester, Reason: mno.ReasonNotAllowed}, {Subject: mno.SubjectVersion, Reason: mno.ReasonUnsupported},
	} {
		l := listener{err: refusal}
		e := newEngine(t, func(c *smdp.Config) { c.Notify = l.take })
		o, ctx := mnotest.Order(t, 1, 11), t.Context()
		_, err := e.Operator("registry").Order(ctx, o)
		require.NoError(t, err)
		_, err = e.Deliver(ctx, o.Device, 0)
		require.NoError(t, err)
		require.ErrorIs(t, e.Finish(ctx, o.Device, 11, nil), refusal)
		l.err, l.got = nil, nil
		require.NoError(t, e.Finish(ctx, o.Device, 11, nil))
		require.Len(t, l.got, 1)
	}
}

func TestFinishNeedsAProfile(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	dev := mnotest.ID(t, "1000000000000001")
	require.ErrorIs(t, e.Finish(t.Context(), dev, 11, nil), smdp.ErrNotFound)
	require.ErrorIs(t, e.Finish(t.Context(), dev, 0, nil), smdp.ErrNotFound)
	require.ErrorIs(t, e.Finish(t.Context(), eid.ID{}, 11, nil), smdp.ErrNotFound)
}
