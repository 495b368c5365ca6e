package smdp_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdpsql"
	"github.com/iotregistry/sdk/registry/eid"
)

func clock() time.Time { return now }

var testPKI = sync.OnceValues(func() (*rsptest.PKI, error) { return rsptest.New(now.AddDate(-1, 0, 0)) })

func pki(t testing.TB) *rsptest.PKI {
	p, err := testPKI()
	require.NoError(t, err)
	return p
}

func credentials(p *rsptest.PKI) smdp.ServerConfig {
	return smdp.ServerConfig{
		Auth:    smdp.Credential{Certificate: p.DPAuth.DER, Key: p.DPAuth.Key},
		Binding: smdp.Credential{Certificate: p.DPPB.DER, Key: p.DPPB.Key},
		CIs:     [][]byte{p.CI.DER},
	}
}

// bench is an SM-DP+ with somebody who hears its news.
type bench struct {
	t      testing.TB
	pki    *rsptest.PKI
	engine *smdp.Engine
	server *smdp.Server
	news   *listener
}

func newBench(t testing.TB, change ...func(*smdp.Config, *smdp.ServerConfig)) *bench {
	return benchOf(t, pki(t), change...)
}

func benchOf(t testing.TB, p *rsptest.PKI, change ...func(*smdp.Config, *smdp.ServerConfig)) *bench {
	b := &bench{t: t, pki: p, news: new(listener)}
	cfg := credentials(p)
	b.engine = newEngine(t, func(c *smdp.Config) {
		c.Notify = b.news.take
		for _, f := range change {
			f(c, &cfg)
		}
	})
	var err error
	b.server, err = smdp.NewServer(b.engine, cfg)
	require.NoError(t, err)
	return b
}

func (b *bench) card(n int) *card { return newCard(b.t, b.server, b.pki, device(b.t, n)) }

// order has an IoT profile made ready for the n-th device.
func (b *bench) order(n int, profileID uint64) mno.Receipt {
	return b.orderFor(device(b.t, n), profileID)
}

func sealed(profileID uint64) []byte { return fmt.Appendf(nil, "sealed profile %d", profileID) }

func (b *bench) orderFor(id eid.ID, profileID uint64) mno.Receipt {
	r, err := b.engine.Operator("registry").Order(b.t.Context(), mno.Order{Device: id, ProfileID: profileID, ProfileType: "iot", Sealed: sealed(profileID)})
	require.NoError(b.t, err)
	return r
}

// confirmed orders with settings of its own.
func (b *bench) confirmed(o mno.Order, c es2.ConfirmOrder) mno.Receipt {
	o.ProfileType = "iot"
	iccid, err := b.engine.DownloadOrder(b.t.Context(), registry, o)
	require.NoError(b.t, err)
	c.ICCID = iccid
	r, err := b.engine.ConfirmOrder(b.t.Context(), registry, c)
	require.NoError(b.t, err)
	return r
}

func (b *bench) state(r mno.Receipt) mno.State { return state(b.t, b.engine, r.ICCID) }

// code returns subject and reason of a refusal, "" for none.
func code(t testing.TB, err error) string {
	if err == nil {
		return ""
	}
	var refusal *mno.StatusError
	require.ErrorAs(t, err, &refusal)
	require.NotContains(t, refusal.Error(), "secret")
	return refusal.Subject + "/" + refusal.Reason
}

func TestDownload(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) smdp.Store{
		"Memory": func(*testing.T) smdp.Store { return new(smdp.Memory) },
		"SQLite": openSQL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testDownload(t, open(t))
		})
	}
}

func openSQL(t *testing.T) smdp.Store {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "smdp.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s, err := smdpsql.Open(t.Context(), db)
	require.NoError(t, err)
	return s
}

// testDownload is one profile's way from its order to the end of its life.
func testDownload(t *testing.T, store smdp.Store) {
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.NotifyDownloads, c.Store = true, store })
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.meet(&r.MatchingID))
	m := c.metadata()
	require.Equal(t, []string{r.ICCID, "smdp.example", "iot"}, []string{string(m.ICCID), m.ServiceProvider, m.ProfileName})
	require.Equal(t, rsp.ClassOperational, m.ProfileClass())
	require.False(t, c.signed2.CCRequired)
	require.Nil(t, c.signed2.EUICCOTPK)
	require.Equal(t, mno.Released, b.state(r), "an offer is no download")
	pkg, err := c.get(c.consent("", nil))
	require.NoError(t, err)
	require.Equal(t, mno.Downloaded, b.state(r))
	found, err := rsp.FindNonStandard(c.open(pkg), smdp.DefaultIssuer)
	require.NoError(t, err)
	require.Equal(t, sealed(11), found)

	receipt := c.result(nil, nil)
	for range 2 { // again because the answer was lost
		require.NoError(t, c.notify(receipt))
	}
	require.Equal(t, mno.Installed, b.state(r))
	require.Len(t, b.news.got, 2)
	require.Equal(t, mno.PointDownload, b.news.got[0].Point)
	require.Equal(t, mno.Progress{
		Device: c.eid, ICCID: r.ICCID, ProfileType: "iot", ProfileID: 11, Time: now, Point: mno.PointInstall, Result: receipt,
	}, b.news.got[1])
	p, err := b.engine.Profile(t.Context(), r.ICCID)
	require.NoError(t, err)
	require.Nil(t, p.Download.Bound)
	require.Nil(t, p.Sealed)

	for event, point := range map[rsp.Events]mno.Point{rsp.EventEnable: smdp.PointEnabled, rsp.EventDisable: smdp.PointDisabled, rsp.EventDelete: smdp.PointDeleted} {
		b.news.got = nil
		n := c.event(event, nil)
		for range 2 {
			require.NoError(t, c.notify(n))
		}
		require.Len(t, b.news.got, 1, "told once")
		require.Equal(t, []any{point, n}, []any{b.news.got[0].Point, b.news.got[0].Result})
	}
}

func TestDownloadWithoutMatchingID(t *testing.T) {
	t.Parallel()
	for rule, id := range map[string]*string{"none": nil, "empty": ptr("")} {
		b := newBench(t)
		b.order(1, 11)
		r := b.order(1, 12)
		c := b.card(1)
		pkg, err := c.download(id)
		require.NoError(t, err, rule)
		found, err := rsp.FindNonStandard(c.open(pkg), smdp.DefaultIssuer)
		require.NoError(t, err)
		require.Equal(t, sealed(12), found, "the newest")
		require.NoError(t, c.notify(c.result(nil, nil)))
		require.Equal(t, mno.Installed, b.state(r))

		plain := b.confirmed(mno.Order{Device: c.eid}, es2.ConfirmOrder{MatchingID: ptr(""), Release: true})
		require.NoError(t, c.meet(id), "a subscription for this device alone")
		require.Equal(t, plain.ICCID, string(c.metadata().ICCID))
		_, err = c.get(c.consent("", nil))
		require.NoError(t, err)
		require.NoError(t, c.notify(c.result(nil, nil)))
		require.Equal(t, "8.2.6/3.8", code(t, c.meet(id)), "nothing is left")
	}
}

// An order for nobody in particular is whose eUICC comes first.
func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.confirmed(mno.Order{}, es2.ConfirmOrder{Release: true})
	first, second := b.card(1), b.card(2)
	require.NoError(t, first.meet(&r.MatchingID))
	require.NoError(t, second.meet(&r.MatchingID))
	_, err := first.get(first.consent("", nil))
	require.NoError(t, err)
	_, err = second.get(second.consent("", nil))
	require.Equal(t, "8.2/3.7", code(t, err))
	require.NoError(t, second.cancel(rsp.CancelEndUserRejection, nil), "of its own session")
	require.Equal(t, "8.1.1/3.8", code(t, second.meet(&r.MatchingID)))
	require.Equal(t, mno.Downloaded, b.state(r), "which is not the other's")
	p, err := b.engine.Profile(t.Context(), r.ICCID)
	require.NoError(t, err)
	require.Equal(t, first.eid, p.Device)
}

func TestInterruptedDownload(t *testing.T) {
	t.Parallel()
	store := openSQL(t) // outlives the SM-DP+
	setup := func(c *smdp.Config, s *smdp.ServerConfig) { c.Store, s.MaxDownloads = store, 3 }
	b := newBench(t, setup)
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.meet(&r.MatchingID))
	consent := c.consent("", nil)
	first, err := c.get(consent)
	require.NoError(t, err)
	again, err := c.get(consent)
	require.NoError(t, err)
	require.Equal(t, first, again, "the same package to a repeated call")

	rename := func(_ *smdp.Config, s *smdp.ServerConfig) { s.ServiceProvider = "another name" }
	b = newBench(t, setup, rename) // the SM-DP+ starts again
	c.server = b.server
	_, err = c.get(consent)
	require.Equal(t, "8.10.1/3.9", code(t, err), "sessions are gone")
	require.NoError(t, c.meet(&r.MatchingID))
	require.Equal(t, c.key.PublicKey().Bytes(), c.signed2.EUICCOTPK, "the eUICC is reminded")
	lost := c.result(nil, nil) // of the session that follows, to be sent later
	second, err := c.get(c.consent("", nil))
	require.NoError(t, err)
	old, err := rsp.Decode[rsp.BoundProfilePackage](first)
	require.NoError(t, err)
	renewed, err := rsp.Decode[rsp.BoundProfilePackage](second)
	require.NoError(t, err)
	require.Equal(t, old.ProfilePackage, renewed.ProfilePackage, "the same package")
	require.Equal(t, old.SecureChannel.SMDPOTPK, renewed.SecureChannel.SMDPOTPK)
	require.NotEmpty(t, c.open(second), "for the new session")

	require.NoError(t, c.meet(&r.MatchingID))
	c.key = nil // the eUICC has lost its key
	_, err = c.get(c.consent("", nil))
	require.Equal(t, "8.2/3.7", code(t, err))
	require.NoError(t, c.notify(lost), "a result of an earlier session of the order")
	require.Equal(t, mno.Installed, b.state(r))
}

// An eUICC whose result is lost on the way is asked again and fails, as it has the
// profile; or it was interrupted, tells so late, and installs it at the next try.
// Such failures come before the truth and do not stand for it.
func TestFailuresOfOtherSessions(t *testing.T) {
	t.Parallel()
	install := func(b *bench, c *card, r mno.Receipt, failure *rsp.InstallationFailure) []byte {
		pkg, err := c.download(&r.MatchingID)
		require.NoError(b.t, err)
		c.open(pkg)
		return c.result(failure, nil)
	}
	there := &rsp.InstallationFailure{Command: rsp.BPPStoreMetadata, Reason: rsp.InstallICCIDExists}
	cut := &rsp.InstallationFailure{Command: rsp.BPPLoadProfileElements, Reason: rsp.InstallInterrupted}

	b := newBench(t)
	r, c := b.order(1, 11), b.card(1)
	truth, late := install(b, c, r, nil), install(b, c, r, there)
	require.NoError(t, c.notify(late))
	require.Equal(t, mno.Downloaded, b.state(r), "it is there of the first session, which has not told yet")
	require.Empty(t, b.news.got)
	require.NoError(t, c.notify(truth))
	require.Equal(t, mno.Installed, b.state(r))
	require.Len(t, b.news.got, 1)
	require.Nil(t, b.news.got[0].Failure)

	b = newBench(t)
	r, c = b.order(1, 11), b.card(1)
	late, truth = install(b, c, r, cut), install(b, c, r, nil)
	require.NoError(t, c.notify(late))
	require.Equal(t, mno.Downloaded, b.state(r), "it was tried again")
	require.NoError(t, c.notify(truth))
	require.Equal(t, mno.Installed, b.state(r))

	for rule, failure := range map[string]*rsp.InstallationFailure{"of another order": there, "of the last session": cut} {
		b = newBench(t)
		r, c = b.order(1, 11), b.card(1)
		require.NoError(t, c.notify(install(b, c, r, failure)))
		require.Equal(t, mno.Error, b.state(r), rule)
		require.Len(t, b.news.got, 1, rule)
	}
}

func TestRebinding(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *smdp.Config, s *smdp.ServerConfig) { s.Rebind, s.MaxDownloads = true, 3 })
	r, c := b.order(1, 11), b.card(1)
	var keys [][]byte
	for range 3 {
		c.key = nil
		pkg, err := c.download(&r.MatchingID)
		require.NoError(t, err)
		c.open(pkg)
		m, err := rsp.Decode[rsp.BoundProfilePackage](pkg)
		require.NoError(t, err)
		require.NotContains(t, keys, m.SecureChannel.SMDPOTPK, "a fresh one-time key for each binding")
		keys = append(keys, m.SecureChannel.SMDPOTPK)
	}
	for range 2 {
		require.Equal(t, "8.8.5/6.4", code(t, c.meet(&r.MatchingID)), "handed over too often")
	}
	require.Equal(t, mno.Error, b.state(r))
	require.Len(t, b.news.got, 1)
	require.Equal(t, "8.8.5/6.4", code(t, b.news.got[0].Failure))
	require.NoError(t, c.notify(c.result(nil, nil)))
	require.Equal(t, mno.Error, b.state(r), "what has ended stays so")
}

func TestConfirmationCode(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *smdp.Config, s *smdp.ServerConfig) { s.MaxCodeTries = 3 })
	ctx := t.Context()
	withCode := func(n int) (mno.Receipt, *card) {
		c := b.card(n)
		r := b.confirmed(mno.Order{Device: c.eid, ProfileID: 11, Sealed: sealed(11)}, es2.ConfirmOrder{ConfirmationCode: "secret-4711", Release: true})
		return r, c
	}
	r, c := withCode(1)
	require.NoError(t, c.meet(&r.MatchingID))
	require.True(t, c.signed2.CCRequired)
	for _, try := range []struct{ code, want string }{
		{"", "8.2.7/2.2"}, {"secret-4712", "8.2.7/3.8"}, {"", "8.2.7/2.2"}, {"secret-", "8.2.7/3.8"}, {"secret-4711", ""}, {"secret-4711", ""},
	} {
		_, err := c.get(c.consent(try.code, nil))
		require.Equal(t, try.want, code(t, err), "code %q", try.code)
		c.signed2.EUICCOTPK = c.key.PublicKey().Bytes() // keep it for the next try
	}

	r, c = withCode(2)
	for i, want := range []string{"8.2.7/3.8", "8.2.7/3.8", "8.2.7/6.4"} {
		require.NoError(t, c.meet(&r.MatchingID), "each try in a session of its own")
		_, err := c.get(c.consent("secret-0", nil))
		require.Equal(t, want, code(t, err), "try %d", i+1)
	}
	_, err := c.get(c.consent("secret-4711", nil))
	require.Equal(t, "8.2.7/6.4", code(t, err), "the right one comes too late")
	require.Equal(t, "8.8.5/6.4", code(t, c.meet(&r.MatchingID)))
	require.Equal(t, mno.Error, b.state(r))
	require.Len(t, b.news.got, 1)
	require.Equal(t, "8.2.7/6.4", code(t, b.news.got[0].Failure))
	p, err := b.engine.Profile(ctx, r.ICCID)
	require.NoError(t, err)
	require.Nil(t, p.Sealed)
}

// Sixteen guesses at once are not more than the limit.
func TestConfirmationCodeGuessedInParallel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.confirmed(mno.Order{}, es2.ConfirmOrder{ConfirmationCode: "secret-1", Release: true})
	var wg sync.WaitGroup
	codes := make([]string, 16)
	guesses := make([]es9.GetBoundProfilePackage, len(codes))
	for i := range guesses {
		c := b.card(i)
		require.NoError(t, c.meet(&r.MatchingID))
		guesses[i] = c.consent("secret-2", nil)
	}
	for i, guess := range guesses {
		wg.Go(func() {
			_, err := b.server.GetBoundProfilePackage(t.Context(), guess)
			var refusal *mno.StatusError
			if errors.As(err, &refusal) {
				codes[i] = refusal.Reason
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	for _, c := range codes {
		count[c]++
	}
	require.Equal(t, map[string]int{"3.8": 4, "6.4": 12}, count)
}

func TestCancelSession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason     rsp.CancelReason
		downloaded bool
		state      mno.State
		news       string
	}{
		{rsp.CancelEndUserRejection, false, mno.Error, "8.8.5/3.8"},
		{rsp.CancelPostponed, false, mno.Released, ""},
		{rsp.CancelTimeout, false, mno.Released, ""},
		{rsp.CancelTimeout, true, mno.Downloaded, ""},
		{rsp.CancelPPRNotAllowed, false, mno.Error, "8.2.8/1.2"},
		{rsp.CancelMetadataMismatch, true, mno.Error, "8.2.9/3.11"},
		{rsp.CancelLoadBPPError, true, mno.Error, "8.2.10/4.2"},
		{rsp.CancelUndefined, false, mno.Error, "8/4.2"},
	} {
		b := newBench(t)
		r, card := b.order(1, 11), b.card(1)
		require.NoError(t, card.meet(&r.MatchingID))
		if c.downloaded {
			_, err := card.get(card.consent("", nil))
			require.NoError(t, err)
		}
		if c.news != "" {
			b.news.err = errors.New("registry is away")
			require.ErrorIs(t, card.cancel(c.reason, nil), b.news.err, "%v", c.reason)
			b.news.err, b.news.got = nil, nil
		}
		require.NoError(t, card.cancel(c.reason, nil), "%v", c.reason)
		require.Equal(t, c.state, b.state(r), "%v", c.reason)
		require.Equal(t, "8.10.1/3.9", code(t, card.cancel(c.reason, nil)), "the session is over")
		if c.news == "" {
			require.Empty(t, b.news.got, "%v", c.reason)
			_, err := card.download(&r.MatchingID)
			require.NoError(t, err, "the order waits")
			continue
		}
		require.Len(t, b.news.got, 1, "%v", c.reason)
		require.Equal(t, c.news, code(t, b.news.got[0].Failure))
		require.Equal(t, mno.PointInstall, b.news.got[0].Point, "the last news of an order")
		require.Equal(t, "8.8.5/4.10", code(t, card.meet(&r.MatchingID)))
		p, err := b.engine.Profile(t.Context(), r.ICCID)
		require.NoError(t, err)
		require.Empty(t, p.Sealed)
		require.Empty(t, p.Download.Bound)
	}
}

// What a device cancels is the order that it was offered.
func TestCancelAfterTheOrderHasChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.meet(&r.MatchingID))
	require.NoError(t, b.engine.CancelOrder(t.Context(), registry, es2.CancelOrder{ICCID: r.ICCID, Device: r.Device, Final: mno.Available}))
	next := b.confirmed(mno.Order{ICCID: r.ICCID, Device: c.eid, ProfileID: 12, Sealed: sealed(12)}, es2.ConfirmOrder{Release: true})
	require.NoError(t, c.cancel(rsp.CancelEndUserRejection, nil))
	require.Equal(t, mno.Released, b.state(next))
	require.Empty(t, b.news.got)
}

// A package that an eUICC has been given may be installed there after its order
// has ended here. Its profile is taken out of use, but is for nobody else.
func TestWhatWasHandedOverIsNotReused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for rule, handed := range map[string]bool{"offered": false, "handed over": true} {
		b := newBench(t)
		require.NoError(t, b.engine.Stock(ctx, "registry", "iot", stocked), rule)
		r := b.confirmed(mno.Order{ICCID: stocked}, es2.ConfirmOrder{Release: true})
		c := b.card(1)
		require.NoError(t, c.meet(&r.MatchingID), rule)
		cancel := es2.CancelOrder{ICCID: stocked, Final: mno.Available}
		if handed {
			_, err := c.get(c.consent("", nil))
			require.NoError(t, err, rule)
			cancel.Device = c.eid
		}
		require.NoError(t, c.cancel(rsp.CancelUndefined, nil), rule)
		require.Equal(t, mno.Error, b.state(r), rule)
		err := b.engine.CancelOrder(ctx, registry, cancel)
		if !handed {
			require.NoError(t, err, rule)
			continue
		}
		require.ErrorIs(t, err, mno.ErrICCIDNotAvailable, rule)
		cancel.Final = mno.Unavailable
		require.NoError(t, b.engine.CancelOrder(ctx, registry, cancel), rule)
		require.Equal(t, mno.Unavailable, b.state(r), rule)
	}
}

func TestOperatorsOwnPackage(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "ts48", "TS48v1_A.der"))
	if err != nil {
		t.Skip("shared/data has no TS.48 profile packages here")
	}
	b := newBench(t, func(_ *smdp.Config, s *smdp.ServerConfig) {
		s.Issuer = "2.999.42"
		s.Package = func(_ context.Context, p smdp.Profile) ([]byte, error) {
			require.Equal(t, "iot", p.Type)
			return own, nil
		}
	})
	r, c := b.order(1, 11), b.card(1)
	pkg, err := c.download(&r.MatchingID)
	require.NoError(t, err)
	profile := c.open(pkg)
	found, err := rsp.FindNonStandard(profile, "2.999.42")
	require.NoError(t, err)
	require.Equal(t, sealed(11), found)
	require.Equal(t, own[:1000], profile[:1000])

	plain := b.confirmed(mno.Order{}, es2.ConfirmOrder{Release: true})
	pkg, err = c.download(&plain.MatchingID)
	require.NoError(t, err)
	require.Equal(t, own, c.open(pkg), "a subscription alone is left as it is")
}

// The published test certificates of SGP.26 go through as well as ours.
func TestSGP26(t *testing.T) {
	t.Parallel()
	p := rsptest.SGP26(t)
	b := benchOf(t, p)
	id, err := eid.Parse(rsptest.EID)
	require.NoError(t, err)
	r := b.orderFor(id, 11)
	c := insert(t, b.server, p, rsptest.SGP26EUICC(t), id)
	c.address = "SMDP.example:8443"
	pkg, err := c.download(&r.MatchingID)
	require.NoError(t, err)
	found, err := rsp.FindNonStandard(c.open(pkg), smdp.DefaultIssuer)
	require.NoError(t, err)
	require.Equal(t, sealed(11), found)
	require.NoError(t, c.notify(c.result(nil, nil)))
	require.Equal(t, mno.Installed, b.state(r))
}

func TestParallelDownloads(t *testing.T) {
	t.Parallel()
	const n = 200
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Notify = nil })
	var wg sync.WaitGroup
	cards, receipts := make([]*card, n), make([]mno.Receipt, n)
	for i := range n {
		cards[i], receipts[i] = b.card(i), b.order(i, 11)
	}
	errs := make(chan error, n)
	for i, c := range cards {
		wg.Go(func() {
			pkg, err := c.download(&receipts[i].MatchingID)
			if err == nil && len(pkg) == 0 {
				err = errors.New("no package")
			}
			errs <- errors.Join(err, c.notify(c.result(nil, nil)))
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	for _, r := range receipts {
		require.Equal(t, mno.Installed, b.state(r))
	}
}

func TestNewServer(t *testing.T) {
	t.Parallel()
	good, foreign := pki(t), otherPKI(t)
	e := newEngine(t)
	_, err := smdp.NewServer(nil, credentials(good))
	require.ErrorContains(t, err, "engine")
	for text, change := range map[string]func(*smdp.ServerConfig){
		"Auth: cert":               func(c *smdp.ServerConfig) { c.Auth.Certificate = nil },
		"Auth: Key":                func(c *smdp.ServerConfig) { c.Auth.Key = c.Binding.Key },
		"Binding: cert":            func(c *smdp.ServerConfig) { c.Binding = c.Auth },
		"Binding: Key":             func(c *smdp.ServerConfig) { c.Binding.Key = nil },
		"do not belong together":   func(c *smdp.ServerConfig) { c.Binding = credentials(foreign).Binding },
		"no trusted CI":            func(c *smdp.ServerConfig) { c.CIs = nil },
		"Issuer":                   func(c *smdp.ServerConfig) { c.Issuer = "registry" },
		"MaxCodeTries is 1 to 100": func(c *smdp.ServerConfig) { c.MaxCodeTries = -1 },
		"MaxDownloads is":          func(c *smdp.ServerConfig) { c.MaxDownloads = 1 << 20 },
		"MaxSessions is":           func(c *smdp.ServerConfig) { c.MaxSessions = -1 },
		"SessionLife":              func(c *smdp.ServerConfig) { c.SessionLife = time.Second },
	} {
		cfg := credentials(good)
		cfg.CIs = [][]byte{good.CI.DER, foreign.CI.DER}
		change(&cfg)
		_, err := smdp.NewServer(e, cfg)
		require.ErrorContains(t, err, text)
	}
}
