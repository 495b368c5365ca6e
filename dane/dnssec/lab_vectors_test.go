package dnssec_test

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// labRecords reads zone-file text.
func labRecords(tb testing.TB, text string) []dns.RR {
	var list []dns.RR
	p := dns.NewZoneParser(strings.NewReader(text), ".", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		list = append(list, rr)
	}
	require.NoError(tb, p.Err())
	require.NotEmpty(tb, list)
	return list
}

func labAnchorsOf(tb testing.TB, text string) *dnssec.Anchors {
	a, err := dnssec.ParseAnchors(strings.NewReader(text))
	require.NoError(tb, err)
	return a
}

// TestVectorRFC9102 validates the chain of RFC 9102 appendix A.1 and holds that
// nothing of it may be missing or changed.
func TestVectorRFC9102(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/rfc9102-a1.hex")
	require.NoError(t, err)
	chain, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	require.NoError(t, err)
	wire := append([]byte{0, 0}, chain...)
	e, err := dnssec.ParseEvidence(wire)
	require.NoError(t, err)
	anchors := labAnchorsOf(t, ". IN DS 47005 13 2 2EB6E9F2480126691594D649A5A613DE3052E37861634641BB568746F2FFC4D4")
	q := dns.Question{Name: "_443._tcp.www.example.com.", Qtype: dns.TypeTLSA, Qclass: dns.ClassINET}
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	res := e.Validate(q, anchors, at)
	require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
	require.Len(t, res.RRs, 1)
	require.Equal(t, "8bd1da95272f7fa4ffb24137fc0ed03aae67e5c4d8b3c50734e1050a7920b922", res.RRs[0].(*dns.TLSA).Certificate)
	require.Equal(t, time.Date(2018, 11, 28, 0, 0, 0, 0, time.UTC), res.ValidFrom.UTC())
	require.Equal(t, time.Date(2020, 12, 2, 0, 0, 0, 0, time.UTC), res.ValidUntil.UTC())
	again, err := e.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, wire, again)

	require.ErrorIs(t, e.Validate(q, anchors, at.AddDate(1, 0, 0)).Reason, dnssec.ErrExpired)
	require.NotEqual(t, dnssec.Secure, e.Validate(q, nil, at).Status, "another root")
	for i := range wire {
		bad := append([]byte(nil), wire...)
		bad[i] ^= 0x10
		e, err := dnssec.ParseEvidence(bad)
		if err != nil {
			continue
		}
		if res := e.Validate(q, anchors, at); res.Status == dnssec.Secure {
			require.Len(t, res.RRs, 1)
			require.Equal(t, "8bd1da95272f7fa4ffb24137fc0ed03aae67e5c4d8b3c50734e1050a7920b922", res.RRs[0].(*dns.TLSA).Certificate, "octet %d", i)
		}
	}
}

// TestVectorSignatures checks signatures published in RFCs. The RFCs sign no
// key set, but print the private keys, so that it can be done here.
func TestVectorSignatures(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ rfc, key, private, ds, set, at string }{
		{
			"8080 section 6.1", "example.com. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
			"Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\nPrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n",
			"example.com. 3600 IN DS 3613 15 2 3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b",
			"example.com. 3600 IN MX 10 mail.example.com.\nexample.com. 3600 IN RRSIG MX 15 2 3600 1440021600 1438207200 3613 example.com. oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
			"2015-08-10",
		},
		{
			"6605 section 6.1", "example.net. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
			"Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n",
			"example.net. 3600 IN DS 55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17",
			"www.example.net. 3600 IN A 192.0.2.1\nwww.example.net. 3600 IN RRSIG A 13 3 3600 20100909100439 20100812100439 55648 example.net. qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
			"2010-08-20",
		},
	} {
		at, err := time.Parse(time.DateOnly, v.at)
		require.NoError(t, err)
		key := labRecords(t, v.key)[0].(*dns.DNSKEY)
		private, err := key.NewPrivateKey(v.private)
		require.NoError(t, err)
		k := labKey{key, private.(crypto.Signer)}
		keys := &dns.Msg{Answer: []dns.RR{key, labSign(t, k, key.Hdr.Name, []dns.RR{key}, at)}}
		set := labRecords(t, v.set)
		q := dns.Question{Name: set[0].Header().Name, Qtype: set[0].Header().Rrtype, Qclass: dns.ClassINET}
		answer := &dns.Msg{Answer: set}
		res := dnssec.Validate(q, labAnchorsOf(t, v.ds), at, answer, keys)
		require.Equal(t, dnssec.Secure, res.Status, "RFC %s: %v", v.rfc, res.Reason)
		answer.Answer[0] = labFlip(answer.Answer[0])
		res = dnssec.Validate(q, labAnchorsOf(t, v.ds), at, answer, keys)
		require.ErrorIs(t, res.Reason, dnssec.ErrSignature, "RFC %s", v.rfc)
	}
}

// labRFC4035 answers as RFC 4035 appendix B does, with the keys of appendix A.
func labRFC4035(tb testing.TB) (r *dnssec.Resolver) {
	text, err := os.ReadFile("testdata/rfc4035.zone")
	require.NoError(tb, err)
	sets := map[string][]dns.RR{}
	for _, rr := range labRecords(tb, string(text)) {
		t := rr.Header().Rrtype
		if sig, ok := rr.(*dns.RRSIG); ok {
			t = sig.TypeCovered
		}
		id := rr.Header().Name + dns.Type(t).String()
		sets[id] = append(sets[id], rr)
	}
	answers := map[string][2][]string{ // question: answer, authority
		"x.w.example. MX":     {{"x.w.example.MX"}},
		"example. DNSKEY":     {{"example.DNSKEY"}},
		"ml.example. A":       {nil, {"b.example.NSEC", "example.NSEC", "example.SOA"}},
		"ns1.example. MX":     {nil, {"ns1.example.NSEC", "example.SOA"}},
		"a.example. DS":       {{"a.example.DS"}},
		"b.example. DS":       {nil, {"b.example.NSEC", "example.SOA"}},
		"mc.b.example. MX":    {nil, {"b.example.NSEC"}},
		"a.z.w.example. MX":   {{"a.z.w.example.MX"}, {"x.y.w.example.NSEC"}},
		"a.z.w.example. AAAA": {nil, {"x.y.w.example.NSEC", "*.w.example.NSEC", "example.SOA"}},
	}
	exchange := func(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
		m := new(dns.Msg).SetReply(q)
		id := q.Question[0].Name + " " + dns.Type(q.Question[0].Qtype).String()
		parts, ok := answers[id]
		if !ok {
			return nil, errors.New("not in the RFC: " + id)
		}
		for i, list := range parts {
			for _, set := range list {
				require.NotEmpty(tb, sets[set], set)
				*labSection(m, i) = append(*labSection(m, i), sets[set]...)
			}
		}
		return m, nil
	}
	var ds []string
	for _, rr := range sets["example.DNSKEY"] {
		if k, ok := rr.(*dns.DNSKEY); ok {
			ds = append(ds, k.ToDS(dns.SHA256).String())
		}
	}
	return &dnssec.Resolver{
		Exchanger: labExchange(exchange), Anchors: labAnchorsOf(tb, strings.Join(ds, "\n")), AllowSHA1: true,
		Now: func() time.Time { return time.Date(2004, 5, 1, 0, 0, 0, 0, time.UTC) },
	}
}

type labExchange func(context.Context, *dns.Msg) (*dns.Msg, error)

func (f labExchange) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) { return f(ctx, q) }

// TestVectorRFC4035 is appendix B: every example with the signatures printed.
func TestVectorRFC4035(t *testing.T) {
	t.Parallel()
	r := labRFC4035(t)
	for _, v := range []struct {
		name   string
		typ    uint16
		status dnssec.Status
		rcode  int
		rrs    int
	}{
		{"x.w.example.", dns.TypeMX, dnssec.Secure, dns.RcodeSuccess, 1},     // B.1
		{"ml.example.", dns.TypeA, dnssec.Secure, dns.RcodeNameError, 0},     // B.2
		{"ns1.example.", dns.TypeMX, dnssec.Secure, dns.RcodeSuccess, 0},     // B.3
		{"a.example.", dns.TypeDS, dnssec.Secure, dns.RcodeSuccess, 1},       // B.4
		{"mc.b.example.", dns.TypeMX, dnssec.Insecure, dns.RcodeSuccess, 0},  // B.5
		{"a.z.w.example.", dns.TypeMX, dnssec.Secure, dns.RcodeSuccess, 1},   // B.6
		{"a.z.w.example.", dns.TypeAAAA, dnssec.Secure, dns.RcodeSuccess, 0}, // B.7
	} {
		res, err := r.Lookup(context.Background(), v.name, v.typ)
		require.NoError(t, err, "%s %s", v.name, dns.Type(v.typ))
		require.Equal(t, v.status, res.Status, "%s %s: %v", v.name, dns.Type(v.typ), res.Reason)
		require.Equal(t, v.rcode, res.Rcode, "%s %s", v.name, dns.Type(v.typ))
		require.Len(t, res.RRs, v.rrs, "%s %s", v.name, dns.Type(v.typ))
	}
	// RSASHA1 is not validated unless asked for (RFC 9905).
	plain := &dnssec.Resolver{Exchanger: r.Exchanger, Anchors: r.Anchors, Now: r.Now}
	res, _ := plain.Lookup(context.Background(), "x.w.example.", dns.TypeMX)
	require.NotEqual(t, dnssec.Secure, res.Status)
}

// TestVectorRFC5155 is the zone of RFC 5155 appendix A under keys of our own
// (its 512-bit keys are too short for anybody today) with the questions of
// appendix B. The owner names of its NSEC3 records are those the RFC prints.
func TestVectorRFC5155(t *testing.T) {
	t.Parallel()
	l := newLab()
	z := l.zone(t, "example.", dns.ECDSAP256SHA256, `
		example. MX 1 xx.example.
		2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. A 192.0.2.127
		ns1.example. A 192.0.2.1
		ns2.example. A 192.0.2.2
		*.w.example. MX 1 ai.example.
		x.w.example. MX 1 xx.example.
		x.y.w.example. MX 1 xx.example.
		xx.example. A 192.0.2.10
		xx.example. HINFO "KLH-10" "TOPS-20"
		xx.example. AAAA 2001:db8::f00:baaa
		ai.example. A 192.0.2.9
		ai.example. HINFO "KLH-10" "ITS"
		c.example. NS ns1.c.example.
		a.example. NS ns1.a.example.
		a.example. DS 58470 8 2 3079F1593EBAD6DC121E202A8B766A6A4837206CC3079F1593EBAD6DC121E202`)
	z.nsec3, z.optOut, z.salt, z.iter = true, true, "aabbccdd", 12
	l.sign(t)
	var owners []string
	for _, rr := range z.chain {
		owners = append(owners, strings.TrimSuffix(rr.Header().Name, ".example."))
	}
	require.Equal(t, []string{
		"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom", "2t7b4g4vsa5smi47k61mv5bv1a22bojr", "2vptu5timamqttgl4luu9kg21e0aor3s",
		"35mthgpgcu1qg68fab165klnsnk3dpvl", "b4um86eghhds6nea196smvmlo4ors995", "gjeqe526plbf1g8mklp59enfd789njgi",
		"ji6neoaepv8b5o6k4ev33abha8ht9fgc", "k8udemvp1j2f7eg6jebps17vp3n8i58h", "kohar7mbb8dc2ce8a9qvl8hon4k53uhi",
		"q04jkcevqvmu85r014c7dkba38o0ji5r", "r53bq7cc2uvmubfu5ocmm6pers9tk9en", "t644ebqk9bibcna874givr6joj62mlhv",
	}, owners)
	for _, v := range []struct {
		what, name string
		typ        uint16
		status     dnssec.Status
		rcode      int
		rrs        int
	}{
		{"B.1 name error, in an opt-out span", "a.c.x.w.example.", dns.TypeA, dnssec.Insecure, dns.RcodeNameError, 0},
		{"B.2 no data", "ns1.example.", dns.TypeMX, dnssec.Secure, dns.RcodeSuccess, 0},
		{"B.2.1 no data, empty non-terminal", "y.w.example.", dns.TypeA, dnssec.Secure, dns.RcodeSuccess, 0},
		{"B.3 opt-out unsigned delegation", "c.example.", dns.TypeDS, dnssec.Insecure, dns.RcodeSuccess, 0},
		{"B.4 wildcard, in an opt-out span", "a.z.w.example.", dns.TypeMX, dnssec.Insecure, dns.RcodeSuccess, 1},
		{"B.5 wildcard no data, in an opt-out span", "a.z.w.example.", dns.TypeAAAA, dnssec.Insecure, dns.RcodeSuccess, 0},
		{"positive", "xx.example.", dns.TypeAAAA, dnssec.Secure, dns.RcodeSuccess, 1},
	} {
		r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
		res, err := r.Lookup(context.Background(), v.name, v.typ)
		require.NoError(t, err, v.what)
		require.Equal(t, v.status, res.Status, "%s: %v", v.what, res.Reason)
		require.Equal(t, v.rcode, res.Rcode, v.what)
		require.Len(t, res.RRs, v.rrs, v.what)
		require.NotZero(t, res.Hashes+res.Verifications, v.what)
	}
}
