package dnssec_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// newWorld is the Ottawa world with one of everything in it.
func newWorld(t testing.TB) *danetest.World {
	t.Helper()
	w := danetest.NewWorld(t, danetest.Config{
		Zones:    []string{".", "ca.", "iotregistry.ca.", "parkoserv.ca."},
		Unsigned: []string{"plain.iotregistry.ca."},
		Islands:  []string{"island.ca."},
	})
	w.Add(
		"dev1.iotregistry.ca. 300 TXT one",
		"dev2.iotregistry.ca. 300 TXT two",
		"a.deep.ent.iotregistry.ca. 300 TXT deep",
		"*.wild.iotregistry.ca. 300 TXT wild",
		"alias.iotregistry.ca. 300 CNAME dev1.iotregistry.ca.",
		"cross.iotregistry.ca. 300 CNAME www.parkoserv.ca.",
		"nowhere.iotregistry.ca. 300 CNAME gone.parkoserv.ca.",
		"toplain.iotregistry.ca. 300 CNAME x.plain.iotregistry.ca.",
		"loop1.iotregistry.ca. 300 CNAME loop2.iotregistry.ca.",
		"loop2.iotregistry.ca. 300 CNAME loop1.iotregistry.ca.",
		"old.iotregistry.ca. 300 DNAME new.iotregistry.ca.",
		"x.new.iotregistry.ca. 300 TXT moved",
		"www.parkoserv.ca. 300 A 192.0.2.1",
		"_443._tcp.www.parkoserv.ca. 300 TLSA 3 1 1 "+strings.Repeat("ab", 32),
		"x.plain.iotregistry.ca. 300 TXT unsigned",
		"alias.plain.iotregistry.ca. 300 CNAME x.plain.iotregistry.ca.",
		"far.plain.iotregistry.ca. 300 CNAME dev1.iotregistry.ca.",
		"gone.plain.iotregistry.ca. 300 CNAME nothing.plain.iotregistry.ca.",
		"x.island.ca. 300 TXT island",
	)
	return w
}

func anchors(t testing.TB, w *danetest.World) *dnssec.Anchors {
	t.Helper()
	a, err := dnssec.ParseAnchors(strings.NewReader(w.Anchor()))
	require.NoError(t, err)
	return a
}

type verdict struct {
	name   string
	typ    uint16
	status dnssec.Status
	rcode  int
	rrs    int
	reason error
}

func verdicts() []verdict {
	return []verdict{
		{"dev1.iotregistry.ca.", dns.TypeTXT, dnssec.Secure, dns.RcodeSuccess, 1, nil},
		{"DEV1.IoTRegistry.CA", dns.TypeTXT, dnssec.Secure, dns.RcodeSuccess, 1, nil},
		{"dev1.iotregistry.ca.", dns.TypeA, dnssec.Secure, dns.RcodeSuccess, 0, nil},
		{"ent.iotregistry.ca.", dns.TypeTXT, dnssec.Secure, dns.RcodeSuccess, 0, nil},
		{"no.iotregistry.ca.", dns.TypeTXT, dnssec.Secure, dns.RcodeNameError, 0, nil},
		{"no.no.iotregistry.ca.", dns.TypeTXT, dnssec.Secure, dns.RcodeNameError, 0, nil},
		{"any.wild.iotregistry.ca.", dns.TypeTXT, dnssec.Secure, dns.RcodeSuccess, 1, nil},
		{"any.wild.iotregistry.ca.", dns.TypeA, dnssec.Secure, dns.RcodeSuccess, 0, nil},
		{"alias.iotregistry.ca.", dns.TypeTXT, dnssec.Secure, dns.RcodeSuccess, 2, nil},
		{"alias.iotregistry.ca.", dns.TypeCNAME, dnssec.Secure, dns.RcodeSuccess, 1, nil},
		{"cross.iotregistry.ca.", dns.TypeA, dnssec.Secure, dns.RcodeSuccess, 2, nil},
		{"nowhere.iotregistry.ca.", dns.TypeA, dnssec.Secure, dns.RcodeNameError, 1, nil},
		{"toplain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure, dns.RcodeSuccess, 2, dnssec.ErrUnsigned},
		{"loop1.iotregistry.ca.", dns.TypeTXT, dnssec.Bogus, dns.RcodeSuccess, 0, dnssec.ErrAlias},
		{"x.old.iotregistry.ca.", dns.TypeTXT, dnssec.Secure, dns.RcodeSuccess, 3, nil},
		{"x.old.iotregistry.ca.", dns.TypeCNAME, dnssec.Secure, dns.RcodeSuccess, 2, nil},
		{"alias.plain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure, dns.RcodeSuccess, 2, dnssec.ErrUnsigned},
		{"far.plain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure, dns.RcodeSuccess, 2, dnssec.ErrUnsigned},
		{"gone.plain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure, dns.RcodeNameError, 1, dnssec.ErrUnsigned},
		{"_443._tcp.www.parkoserv.ca.", dns.TypeTLSA, dnssec.Secure, dns.RcodeSuccess, 1, nil},
		{"x.plain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure, dns.RcodeSuccess, 1, dnssec.ErrUnsigned},
		{"no.plain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure, dns.RcodeNameError, 0, dnssec.ErrUnsigned},
		{"x.island.ca.", dns.TypeTXT, dnssec.Insecure, dns.RcodeSuccess, 1, dnssec.ErrUnsigned},
		{"iotregistry.ca.", dns.TypeSOA, dnssec.Secure, dns.RcodeSuccess, 1, nil},
		{"iotregistry.ca.", dns.TypeDS, dnssec.Secure, dns.RcodeSuccess, 1, nil},
		{"iotregistry.ca.", dns.TypeDNSKEY, dnssec.Secure, dns.RcodeSuccess, 2, nil},
		{"plain.iotregistry.ca.", dns.TypeDS, dnssec.Secure, dns.RcodeSuccess, 0, nil},
		{"island.ca.", dns.TypeDS, dnssec.Secure, dns.RcodeSuccess, 0, nil},
		{".", dns.TypeDNSKEY, dnssec.Secure, dns.RcodeSuccess, 2, nil},
		{".", dns.TypeDS, dnssec.Secure, dns.RcodeSuccess, 0, nil},
		{"nosuchtld.", dns.TypeA, dnssec.Secure, dns.RcodeNameError, 0, nil},
	}
}

func (v verdict) check(t *testing.T, r *dnssec.Result, now time.Time) {
	t.Helper()
	require.Equal(t, v.status, r.Status, "%s %s: %v", v.name, dns.TypeToString[v.typ], r.Reason)
	require.Equal(t, dns.RcodeToString[v.rcode], dns.RcodeToString[r.Rcode], v.name)
	require.Len(t, r.RRs, v.rrs, v.name)
	if v.status == dnssec.Secure {
		require.NoError(t, r.Reason)
		require.True(t, r.Expires.After(now) && !r.ValidUntil.Before(r.Expires), "%v %v", r.Expires, r.ValidUntil)
	} else {
		require.ErrorIs(t, r.Reason, v.reason)
		var e *dnssec.Error
		require.ErrorAs(t, r.Reason, &e)
	}
}

// recorder keeps the answers that pass through it.
type recorder struct {
	dnssec.Exchanger
	msgs chan *dns.Msg
}

func (r recorder) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m, err := r.Exchanger.Exchange(ctx, q)
	if err == nil {
		r.msgs <- m
	}
	return m, err
}

// gather looks a name up and returns every message it took.
func gather(t testing.TB, w *danetest.World, name string, typ uint16) (*dnssec.Result, []*dns.Msg) {
	t.Helper()
	rec := recorder{w, make(chan *dns.Msg, 200)}
	r := &dnssec.Resolver{Exchanger: rec, Anchors: anchors(t, w), Now: w.Now}
	res, err := r.Lookup(t.Context(), name, typ)
	require.NoError(t, err)
	close(rec.msgs)
	var msgs []*dns.Msg
	for m := range rec.msgs {
		msgs = append(msgs, m)
	}
	return res, msgs
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	warm := &dnssec.Resolver{Exchanger: w, Anchors: anchors(t, w), Now: w.Now}
	for _, v := range verdicts() {
		cold := &dnssec.Resolver{Exchanger: w, Anchors: anchors(t, w), Now: w.Now}
		res, err := cold.Lookup(t.Context(), v.name, v.typ)
		require.NoError(t, err)
		v.check(t, res, w.Now())
		res, err = warm.Lookup(t.Context(), v.name, v.typ)
		require.NoError(t, err)
		v.check(t, res, w.Now())
		_, msgs := gather(t, w, v.name, v.typ)
		q := dns.Question{Name: v.name, Qtype: v.typ, Qclass: dns.ClassINET}
		v.check(t, dnssec.Validate(q, anchors(t, w), w.Now(), msgs...), w.Now())
	}
}

// An upstream that does not follow aliases is asked for each target.
func TestAliasesNotFollowedByTheUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Inject(danetest.Fault{Type: dns.TypeTXT, Effect: func(r *danetest.Reply) {
		var kept []dns.RR
		for _, rr := range r.Msg.Answer {
			if strings.EqualFold(rr.Header().Name, r.Query.Question[0].Name) {
				kept = append(kept, rr)
			}
		}
		if len(kept) < len(r.Msg.Answer) && kept != nil {
			r.Msg.Answer, r.Msg.Ns, r.Msg.Rcode = kept, nil, dns.RcodeSuccess
		}
	}})
	warm := &dnssec.Resolver{Exchanger: w, Anchors: anchors(t, w), Now: w.Now}
	for _, v := range verdicts() {
		if v.typ != dns.TypeTXT || strings.Contains(v.name, ".old.") {
			continue
		}
		for _, r := range []*dnssec.Resolver{warm, warm, {Exchanger: w, Anchors: anchors(t, w), Now: w.Now}} {
			res, err := r.Lookup(t.Context(), v.name, v.typ)
			require.NoError(t, err)
			v.check(t, res, w.Now())
		}
	}
}

func TestWarmLookupCostsOneQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := &dnssec.Resolver{Exchanger: w, Anchors: anchors(t, w), Now: w.Now}
	res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status)
	w.Queries()
	for _, name := range []string{"dev2.iotregistry.ca.", "none.iotregistry.ca.", "x.wild.iotregistry.ca."} {
		res, err = r.Lookup(t.Context(), name, dns.TypeTXT)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status)
		require.Equal(t, 1, res.Queries, name)
		require.Len(t, w.Queries(), 1)
	}
}
