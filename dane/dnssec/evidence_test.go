package dnssec_test

import (
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func evidence(t testing.TB, r *dnssec.Result) []byte {
	t.Helper()
	e, err := r.Evidence()
	require.NoError(t, err)
	e.Support = 48
	wire, err := e.MarshalBinary()
	require.NoError(t, err)
	return wire
}

func TestEvidenceProvesEverySecureVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	warm := &dnssec.Resolver{Exchanger: w, Anchors: anchors(t, w), Now: w.Now}
	for _, v := range verdicts() {
		for range 2 { // cold, then from kept zone keys
			res, err := warm.Lookup(t.Context(), v.name, v.typ)
			require.NoError(t, err)
			if v.status != dnssec.Secure {
				_, err := res.Evidence()
				require.ErrorIs(t, err, dnssec.ErrEvidence)
				continue
			}
			parsed, err := dnssec.ParseEvidence(evidence(t, res))
			require.NoError(t, err)
			require.EqualValues(t, 48, parsed.Support)
			q := dns.Question{Name: v.name, Qtype: v.typ, Qclass: dns.ClassINET}
			offline := parsed.Validate(q, anchors(t, w), w.Now())
			v.check(t, offline, w.Now())
			require.Equal(t, res.ValidUntil, offline.ValidUntil)
			require.Equal(t, res.ValidFrom, offline.ValidFrom)

			last := parsed.Validate(q, anchors(t, w), res.ValidUntil)
			require.Equal(t, dnssec.Secure, last.Status)
			late := parsed.Validate(q, anchors(t, w), res.ValidUntil.Add(time.Second))
			require.Equal(t, dnssec.Bogus, late.Status)
			require.ErrorIs(t, late.Reason, dnssec.ErrExpired)
			early := parsed.Validate(q, anchors(t, w), res.ValidFrom.Add(-time.Second))
			require.Equal(t, dnssec.Bogus, early.Status)
			require.ErrorIs(t, early.Reason, dnssec.ErrNotYetValid)
		}
	}
}

// RFC 9102 section 3: the answer's RRset comes first.
func TestEvidenceStartsWithTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res, _ := gather(t, w, "_443._tcp.www.parkoserv.ca.", dns.TypeTLSA)
	e, err := res.Evidence()
	require.NoError(t, err)
	require.Equal(t, dns.TypeTLSA, e.Records[0].Header().Rrtype)
	require.Equal(t, dns.TypeRRSIG, e.Records[1].Header().Rrtype)
}

// One bundle serves several look-ups at once, as a device's does that has no DNS.
func TestEvidenceIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res, _ := gather(t, w, "_443._tcp.www.parkoserv.ca.", dns.TypeTLSA)
	e, err := res.Evidence()
	require.NoError(t, err)
	trusted := anchors(t, w)
	q := dns.Question{Name: "_443._tcp.www.parkoserv.ca.", Qtype: dns.TypeTLSA, Qclass: dns.ClassINET}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { assert.Equal(t, dnssec.Secure, e.Validate(q, trusted, w.Now()).Status) })
	}
	all.Wait()
}

// Every octet of the evidence counts, or at least none makes another answer.
func TestEvidenceFlippedOctets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res, _ := gather(t, w, "_443._tcp.www.parkoserv.ca.", dns.TypeTLSA)
	good := evidence(t, res)
	want := res.RRs[0].(*dns.TLSA).Certificate
	q := dns.Question{Name: "_443._tcp.www.parkoserv.ca.", Qtype: dns.TypeTLSA, Qclass: dns.ClassINET}
	a := anchors(t, w)
	for i := 2; i < len(good); i++ {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x01
		e, err := dnssec.ParseEvidence(bad)
		if err != nil {
			require.ErrorIs(t, err, dnssec.ErrEvidence)
			continue
		}
		if r := e.Validate(q, a, w.Now()); r.Status == dnssec.Secure {
			// A TTL, or a key that is not used: the answer is still the one signed.
			require.Equal(t, want, r.RRs[0].(*dns.TLSA).Certificate)
		}
	}
}

func TestParseEvidenceRefuses(t *testing.T) {
	t.Parallel()
	compressed := append([]byte{0, 0}, "\x01a\x00\x00\x02\x00\x01\x00\x00\x00\x00\x00\x02\xc0\x00"...)
	for name, wire := range map[string][]byte{
		"empty":      nil,
		"no records": {0, 1},
		"cut":        {0, 1, 0, 0},
		"compressed": compressed,
		"too long":   make([]byte, 1<<17),
	} {
		_, err := dnssec.ParseEvidence(wire)
		require.ErrorIs(t, err, dnssec.ErrEvidence, name)
	}
	var e dnssec.Evidence
	require.Error(t, e.UnmarshalBinary(nil))
}

func FuzzParseEvidence(f *testing.F) {
	w := newWorld(f)
	res, _ := gather(f, w, "dev1.iotregistry.ca.", dns.TypeTXT)
	f.Add(evidence(f, res))
	res, _ = gather(f, w, "no.iotregistry.ca.", dns.TypeTXT)
	f.Add(evidence(f, res))
	a, now := anchors(f, w), w.Now()
	q := dns.Question{Name: "dev1.iotregistry.ca.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}
	f.Fuzz(func(t *testing.T, wire []byte) {
		e, err := dnssec.ParseEvidence(wire)
		if err != nil {
			return
		}
		r := e.Validate(q, a, now)
		if r.Status == dnssec.Secure {
			require.Equal(t, []string{"one"}, r.RRs[0].(*dns.TXT).Txt)
		}
		again, err := e.MarshalBinary()
		require.NoError(t, err)
		_, err = dnssec.ParseEvidence(again)
		require.NoError(t, err)
	})
}
