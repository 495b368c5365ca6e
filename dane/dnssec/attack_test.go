package dnssec_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func resolver(t testing.TB, w *danetest.World, e dnssec.Exchanger) *dnssec.Resolver {
	t.Helper()
	return &dnssec.Resolver{Exchanger: e, Anchors: anchors(t, w), Now: w.Now}
}

func TestFaultsByVerdict(t *testing.T) {
	t.Parallel()
	const leaf = "dev1.iotregistry.ca."
	for name, c := range map[string]struct {
		fault  danetest.Fault
		status dnssec.Status
		reason error
		code   uint16
		zone   string
	}{
		"flipped leaf": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.FlipSignature()},
			dnssec.Bogus, dnssec.ErrSignature, dnssec.CodeBogus, "iotregistry.ca."},
		"flipped keys": {danetest.Fault{Name: "ca.", Type: dns.TypeDNSKEY, Effect: danetest.FlipSignature()},
			dnssec.Bogus, dnssec.ErrSignature, dnssec.CodeBogus, "ca."},
		"flipped DS": {danetest.Fault{Name: "iotregistry.ca.", Type: dns.TypeDS, Effect: danetest.FlipSignature()},
			dnssec.Bogus, dnssec.ErrSignature, dnssec.CodeBogus, "ca."},
		"expired": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.Expire()},
			dnssec.Bogus, dnssec.ErrExpired, dnssec.CodeSignatureExpired, "iotregistry.ca."},
		"not yet": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.NotYetValid()},
			dnssec.Bogus, dnssec.ErrNotYetValid, dnssec.CodeSignatureNotYetValid, "iotregistry.ca."},
		"lie": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.Lie()},
			dnssec.Bogus, dnssec.ErrSignature, dnssec.CodeBogus, "iotregistry.ca."},
		"swap": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.Swap("dev2.iotregistry.ca.")},
			dnssec.Bogus, dnssec.ErrSignature, dnssec.CodeBogus, "iotregistry.ca."},
		"leaf dropped": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.Drop()},
			dnssec.Indeterminate, dnssec.ErrUpstream, dnssec.CodeNetworkError, ""},
		"keys dropped": {danetest.Fault{Name: "ca.", Type: dns.TypeDNSKEY, Effect: danetest.Drop()},
			dnssec.Indeterminate, dnssec.ErrUpstream, dnssec.CodeNetworkError, "ca."},
		"DS dropped": {danetest.Fault{Name: "iotregistry.ca.", Type: dns.TypeDS, Effect: danetest.Drop()},
			dnssec.Indeterminate, dnssec.ErrUpstream, dnssec.CodeNetworkError, "ca."},
		"root keys dropped": {danetest.Fault{Name: ".", Type: dns.TypeDNSKEY, Effect: danetest.Drop()},
			dnssec.Indeterminate, dnssec.ErrUpstream, dnssec.CodeNetworkError, "."},
		"servfail": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.ServFail()},
			dnssec.Indeterminate, dnssec.ErrUpstream, dnssec.CodeNoReachableAuthority, "iotregistry.ca."},
		"truncated": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.Truncate()},
			dnssec.Indeterminate, dnssec.ErrUpstream, dnssec.CodeNetworkError, ""},
		"a useless query dropped": {danetest.Fault{Name: leaf, Type: dns.TypeDNSKEY, Effect: danetest.Drop()},
			dnssec.Secure, nil, 0, ""},
		"key trap": {danetest.Fault{Under: "iotregistry.ca.", Effect: danetest.KeyTrap(20, 20)},
			dnssec.Bogus, dnssec.ErrLimit, dnssec.CodeBogus, ""},
		"many signatures": {danetest.Fault{Name: leaf, Type: dns.TypeTXT, Effect: danetest.BogusSignatures(100)},
			dnssec.Bogus, dnssec.ErrLimit, dnssec.CodeBogus, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Inject(c.fault)
			res, err := resolver(t, w, w).Lookup(t.Context(), leaf, dns.TypeTXT)
			require.NoError(t, err)
			require.Equal(t, c.status, res.Status, "%v", res.Reason)
			require.LessOrEqual(t, res.Verifications, 32)
			if c.status == dnssec.Secure {
				return
			}
			require.Empty(t, res.RRs)
			require.ErrorIs(t, res.Reason, c.reason)
			var e *dnssec.Error
			require.ErrorAs(t, res.Reason, &e)
			require.Equal(t, c.code, e.Code)
			if c.zone != "" {
				require.Equal(t, c.zone, e.Zone)
			}
			require.True(t, strings.HasPrefix(res.Reason.Error(), "dnssec: "), res.Reason)
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Inject(danetest.Fault{Effect: danetest.Drop()})
	res, err := resolver(t, w, w).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.ErrorIs(t, err, dnssec.ErrUpstream)
	require.Equal(t, dnssec.Indeterminate, res.Status)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = resolver(t, w, w).Lookup(ctx, "dev1.iotregistry.ca.", dns.TypeTXT)
	require.ErrorIs(t, err, context.Canceled)
}

func TestQuestionsThatHaveNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := resolver(t, w, w)
	for _, typ := range []uint16{0, dns.TypeOPT, dns.TypeRRSIG, dns.TypeANY, dns.TypeAXFR, 128, 255} {
		res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", typ)
		require.ErrorIs(t, err, dnssec.ErrQuestion)
		require.Equal(t, dnssec.Indeterminate, res.Status)
	}
	for _, name := range []string{"", "a..b.", strings.Repeat("a", 64) + ".", strings.Repeat("a.", 128), `\`, `\25`, `\999.`} {
		_, err := r.Lookup(t.Context(), name, dns.TypeA)
		require.ErrorIs(t, err, dnssec.ErrQuestion, name)
	}
	res := dnssec.Validate(dns.Question{Name: "x.", Qtype: dns.TypeA, Qclass: dns.ClassCHAOS}, nil, w.Now())
	require.ErrorIs(t, res.Reason, dnssec.ErrQuestion)
}

func TestNoAnchorNoVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := &dnssec.Resolver{Exchanger: w, Now: w.Now, Anchors: &dnssec.Anchors{}}
	res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Indeterminate, res.Status)
	require.ErrorIs(t, res.Reason, dnssec.ErrNoAnchor)
	require.Zero(t, res.Queries)
}

func TestIslandsAndNegativeAnchors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ds, err := w.Zone("island.ca.").DS(dns.SHA256)
	require.NoError(t, err)
	island, err := dnssec.NewAnchors(ds[0])
	require.NoError(t, err)
	off, err := dnssec.NegativeAnchor("iotregistry.ca.", w.Now().Add(time.Hour))
	require.NoError(t, err)
	r := &dnssec.Resolver{Exchanger: w, Now: w.Now, Anchors: anchors(t, w).With(island).With(off)}
	for name, want := range map[string]dnssec.Status{
		"x.island.ca.": dnssec.Secure, "dev1.iotregistry.ca.": dnssec.Insecure, "parkoserv.ca.": dnssec.Secure,
	} {
		res, err := r.Lookup(t.Context(), name, dns.TypeTXT)
		require.NoError(t, err)
		require.Equal(t, want, res.Status, "%s: %v", name, res.Reason)
	}
	w.Advance(2 * time.Hour)
	res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status, "the negative anchor ended: %v", res.Reason)
}

func TestStrippingUpstreamIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	strip := func(r *danetest.Reply) {
		for _, section := range []*[]dns.RR{&r.Msg.Answer, &r.Msg.Ns} {
			var kept []dns.RR
			for _, rr := range *section {
				switch rr.Header().Rrtype {
				case dns.TypeRRSIG, dns.TypeNSEC:
				default:
					kept = append(kept, rr)
				}
			}
			*section = kept
		}
		r.Msg.Extra = nil
	}
	bad := newWorld(t)
	bad.Inject(danetest.Fault{Effect: strip})
	res, err := resolver(t, bad, bad.Client()).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Bogus, res.Status)
	require.ErrorIs(t, res.Reason, dnssec.ErrStripped)

	client := &dnssec.Client{Addr: bad.Addr()}
	defer client.Close()
	res, err = resolver(t, bad, client).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.ErrorIs(t, res.Reason, dnssec.ErrStripped)
	require.ErrorContains(t, res.Reason, bad.Addr())

	// A list goes on to the next upstream.
	list := dnssec.Failover{stripped{w}, w}
	res, err = resolver(t, w, list).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status)
	res, err = resolver(t, w, dnssec.Failover{stripped{w}}).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.ErrorIs(t, err, dnssec.ErrStripped)
	require.Equal(t, dnssec.Indeterminate, res.Status)
}

type stripped struct{ *danetest.World }

func (s stripped) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	q.Extra = nil
	m, err := s.World.Exchange(ctx, q)
	if err == nil {
		m.Extra = nil
	}
	return m, err
}

func (s stripped) String() string { return "stripped" }

type failing struct{ err error }

func (f failing) Exchange(context.Context, *dns.Msg) (*dns.Msg, error) { return nil, f.err }

func TestFailover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	errDown := errors.New("down")
	refusing := danetest.NewWorld(t, danetest.Config{})
	refusing.Inject(danetest.Fault{Effect: danetest.ServFail()})
	list := dnssec.Failover{failing{errDown}, refusing, w}
	res, err := resolver(t, w, list).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status)

	_, err = resolver(t, w, dnssec.Failover{failing{errDown}}).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.ErrorIs(t, err, errDown)
	_, err = resolver(t, w, dnssec.Failover{}).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.ErrorIs(t, err, dnssec.ErrUpstream)
	res, err = resolver(t, w, dnssec.Failover{failing{errDown}, refusing}).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Indeterminate, res.Status)
	require.Equal(t, dns.RcodeServerFailure, res.Rcode)
}

// A zone that changed its keys since they were kept must not turn bogus.
func TestKeptKeysAreFetchedAgainAfterARollover(t *testing.T) {
	t.Parallel()
	old, next := newWorld(t), newWorld(t)
	var now atomic.Pointer[danetest.World]
	now.Store(old)
	both, err := dnssec.ParseAnchors(strings.NewReader(old.Anchor() + next.Anchor()))
	require.NoError(t, err)
	r := &dnssec.Resolver{Anchors: both, Now: old.Now, Exchanger: exchangeFunc(func(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
		return now.Load().Exchange(ctx, q)
	})}
	res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status)
	now.Store(next)
	for _, name := range []string{"dev2.iotregistry.ca.", "no.iotregistry.ca.", "x.plain.iotregistry.ca."} {
		res, err = r.Lookup(t.Context(), name, dns.TypeTXT)
		require.NoError(t, err)
		require.NotEqual(t, dnssec.Bogus, res.Status, "%s: %v", name, res.Reason)
	}
	res, err = r.Lookup(t.Context(), "dev2.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, 1, res.Queries)
}

type exchangeFunc func(context.Context, *dns.Msg) (*dns.Msg, error)

func (f exchangeFunc) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) { return f(ctx, q) }

func TestKeptKeysExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := resolver(t, w, w)
	ask := func(name string) *dnssec.Result {
		res, err := r.Lookup(t.Context(), name, dns.TypeTXT)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
		return res
	}
	ask("dev1.iotregistry.ca.")
	w.Advance(59 * time.Minute)
	require.Equal(t, 1, ask("dev2.iotregistry.ca.").Queries)
	w.Advance(2 * time.Minute) // TTL 3600
	require.Greater(t, ask("dev2.iotregistry.ca.").Queries, 4)
}

func TestClockFloor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := resolver(t, w, w)
	r.Now = func() time.Time { return time.Unix(0, 0) } // no battery
	res, err := r.Lookup(t.Context(), "dev2.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Bogus, res.Status)
	require.ErrorIs(t, res.Reason, dnssec.ErrNotYetValid)
	r = resolver(t, w, w)
	r.Now, r.Floor = func() time.Time { return time.Unix(0, 0) }, w.Now()
	res, err = r.Lookup(t.Context(), "dev2.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status)
}

func TestKeptZonesAreBounded(t *testing.T) {
	t.Parallel()
	zones := []string{"."}
	for i := range 20 {
		zones = append(zones, fmt.Sprintf("z%d.", i))
	}
	w := danetest.NewWorld(t, danetest.Config{Zones: zones})
	r := resolver(t, w, w)
	r.Limits.Zones = 5
	for i := range 20 {
		res, err := r.Lookup(t.Context(), fmt.Sprintf("z%d.", i), dns.TypeSOA)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status)
	}
}

func TestConcurrentLookups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := resolver(t, w, w)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, v := range verdicts() {
				res, err := r.Lookup(t.Context(), v.name, v.typ)
				if err != nil || res.Status != v.status {
					t.Errorf("%s: %v %v", v.name, res.Status, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCutsOfVerification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := dns.Question{Name: "dev1.iotregistry.ca.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}
	_, msgs := gather(t, w, q.Name, q.Qtype)
	a := anchors(t, w)
	require.Equal(t, dnssec.Secure, dnssec.Validate(q, a, w.Now(), msgs...).Status)
	for i, m := range msgs { // one message short: no verdict, or the same one
		rest := append(append([]*dns.Msg{}, msgs[:i]...), msgs[i+1:]...)
		res := dnssec.Validate(q, a, w.Now(), rest...)
		if res.Status != dnssec.Secure {
			require.Equal(t, dnssec.Indeterminate, res.Status, "without %v: %v", m.Question, res.Reason)
			require.ErrorIs(t, res.Reason, dnssec.ErrMissing)
		}
	}
	require.Equal(t, dnssec.Indeterminate, dnssec.Validate(q, a, w.Now()).Status)
	require.Equal(t, dnssec.Indeterminate, dnssec.Validate(q, nil, w.Now(), nil, &dns.Msg{}).Status)
}

func TestLimitsAreReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := resolver(t, w, w)
	r.Limits.Verifications = 3
	res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Bogus, res.Status)
	require.ErrorIs(t, res.Reason, dnssec.ErrLimit)
	require.Equal(t, 3, res.Verifications)

	for i := range 14 {
		w.Add(fmt.Sprintf("c%d.iotregistry.ca. CNAME c%d.iotregistry.ca.", i, i+1))
	}
	r = resolver(t, w, w)
	res, err = r.Lookup(t.Context(), "c0.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Bogus, res.Status)
	require.ErrorIs(t, res.Reason, dnssec.ErrLimit)
	res, err = r.Lookup(t.Context(), "c6.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
}
