package dnssec_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// TestLabAlgorithms signs the leaf zone with each algorithm in turn.
func TestLabAlgorithms(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		alg            uint8
		usual, lenient dnssec.Status
	}{
		{dns.RSASHA1, dnssec.Insecure, dnssec.Secure},
		{dns.RSASHA1NSEC3SHA1, dnssec.Insecure, dnssec.Secure},
		{dns.RSASHA256, dnssec.Secure, dnssec.Secure},
		{dns.RSASHA512, dnssec.Secure, dnssec.Secure},
		{dns.ECDSAP256SHA256, dnssec.Secure, dnssec.Secure},
		{dns.ECDSAP384SHA384, dnssec.Secure, dnssec.Secure},
		{dns.ED25519, dnssec.Secure, dnssec.Secure},
	} {
		l := newLab()
		l.zone(t, ".", dns.ED25519, "")
		l.zone(t, "leaf.", v.alg, "www.leaf. A 192.0.2.1")
		l.sign(t)
		for _, lenient := range []bool{false, true} {
			r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }, AllowSHA1: lenient}
			res, err := r.Lookup(context.Background(), "www.leaf", dns.TypeA)
			require.NoError(t, err)
			want := v.usual
			if lenient {
				want = v.lenient
			}
			require.Equal(t, want, res.Status, "algorithm %d, SHA-1 allowed %v: %v", v.alg, lenient, res.Reason)
			require.Len(t, res.RRs, 1)
		}
	}
}

// TestLabDelegations varies what the parent says of the child's key.
func TestLabDelegations(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		what   string
		ds     func(k *dns.DNSKEY) []*dns.DS
		status dnssec.Status
	}{
		{"SHA-256", func(k *dns.DNSKEY) []*dns.DS { return []*dns.DS{k.ToDS(dns.SHA256)} }, dnssec.Secure},
		{"SHA-384", func(k *dns.DNSKEY) []*dns.DS { return []*dns.DS{k.ToDS(dns.SHA384)} }, dnssec.Secure},
		{"SHA-1 alone", func(k *dns.DNSKEY) []*dns.DS { return []*dns.DS{k.ToDS(dns.SHA1)} }, dnssec.Insecure},
		{"a stale DS beside the right one", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{k.ToDS(dns.SHA256), labDS(k, func(ds *dns.DS) { ds.KeyTag++ })}
		}, dnssec.Secure},
		{"wrong digest", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{labDS(k, func(ds *dns.DS) { ds.Digest = strings.Repeat("00", 32) })}
		}, dnssec.Bogus},
		{"short digest", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{labDS(k, func(ds *dns.DS) { ds.Digest = ds.Digest[:2] })}
		}, dnssec.Bogus},
		{"right SHA-1 beside a wrong SHA-256 (RFC 4509 section 3)", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{k.ToDS(dns.SHA1), labDS(k, func(ds *dns.DS) { ds.Digest = strings.Repeat("11", 32) })}
		}, dnssec.Bogus},
		{"GOST digest (RFC 9906)", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{labDS(k, func(ds *dns.DS) { ds.DigestType = dns.GOST94 })}
		}, dnssec.Insecure},
		{"unknown digest", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{labDS(k, func(ds *dns.DS) { ds.DigestType = 200 })}
		}, dnssec.Insecure},
		{"unknown digest beside a wrong one", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{labDS(k, func(ds *dns.DS) { ds.DigestType = 200 }), labDS(k, func(ds *dns.DS) { ds.Digest = strings.Repeat("22", 32) })}
		}, dnssec.Bogus},
		{"unknown algorithm alone", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{labDS(k, func(ds *dns.DS) { ds.Algorithm = dns.ED448 })}
		}, dnssec.Insecure},
		{"unknown algorithm beside the right one", func(k *dns.DNSKEY) []*dns.DS {
			return []*dns.DS{k.ToDS(dns.SHA256), labDS(k, func(ds *dns.DS) { ds.Algorithm = dns.ED448 })}
		}, dnssec.Secure},
	} {
		l := newLab()
		l.zone(t, ".", dns.ED25519, "")
		z := l.zone(t, "leaf.", dns.ECDSAP256SHA256, "www.leaf. A 192.0.2.1")
		l.zones["."].data["leaf."] = map[uint16][]dns.RR{}
		keys := z.keys
		z.keys = nil
		l.sign(t)
		z.keys = keys
		z.sign(t, l.now)
		for _, ds := range v.ds(keys[0].rr) {
			l.zones["."].put(ds)
		}
		l.zones["."].chain = nil
		l.zones["."].sign(t, l.now)
		r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
		res, err := r.Lookup(context.Background(), "www.leaf.", dns.TypeA)
		require.NoError(t, err)
		require.Equal(t, v.status, res.Status, "%s: %v", v.what, res.Reason)
	}
}

func labDS(k *dns.DNSKEY, f func(*dns.DS)) *dns.DS {
	ds := k.ToDS(dns.SHA256)
	f(ds)
	return ds
}

// TestLabCompact is the denial that signs on the fly (RFC 9824).
func TestLabCompact(t *testing.T) {
	t.Parallel()
	l := newLab()
	l.zone(t, ".", dns.ED25519, "")
	z := l.zone(t, "leaf.", dns.ED25519, "")
	l.sign(t)
	base := l.gather(t, "leaf.", dns.TypeSOA).msgs
	deny := func(name string, types ...uint16) *dns.Msg {
		nsec := &dns.NSEC{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 300},
			NextDomain: `\000.` + name, TypeBitMap: append([]uint16{dns.TypeRRSIG, dns.TypeNSEC}, types...)}
		slices.Sort(nsec.TypeBitMap)
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.Response = true
		m.Ns = []dns.RR{nsec, labSign(t, z.keys[1], "leaf.", []dns.RR{nsec}, l.now)}
		m, err := labWire(m)
		require.NoError(t, err)
		return m
	}
	ask := func(name string, typ uint16, m *dns.Msg) *dnssec.Result {
		return dnssec.Validate(dns.Question{Name: name, Qtype: typ, Qclass: dns.ClassINET}, l.anchors(t), l.now, append(slices.Clone(base), m)...)
	}
	res := ask("gone.leaf.", dns.TypeA, deny("gone.leaf.", dns.TypeNXNAME))
	require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
	require.Equal(t, dns.RcodeNameError, res.Rcode)
	res = ask("here.leaf.", dns.TypeA, deny("here.leaf.", dns.TypeTXT))
	require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
	require.Equal(t, dns.RcodeSuccess, res.Rcode)
	require.Equal(t, dnssec.Bogus, ask("here.leaf.", dns.TypeA, deny("here.leaf.", dns.TypeA)).Status, "it has one")
	require.NotEqual(t, dnssec.Secure, ask("other.leaf.", dns.TypeA, deny("gone.leaf.", dns.TypeNXNAME)).Status)
	require.NotEqual(t, dnssec.Secure, ask("x.gone.leaf.", dns.TypeA, deny("gone.leaf.", dns.TypeNXNAME)).Status, "only the wildcard could tell")
}

// TestLabIterations raises the NSEC3 iterations past the limit: never Secure.
func TestLabIterations(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		iterations uint16
		status     dnssec.Status
	}{{0, dnssec.Secure}, {50, dnssec.Secure}, {51, dnssec.Insecure}, {2500, dnssec.Insecure}} {
		l := newLab()
		l.zone(t, ".", dns.ED25519, "")
		z := l.zone(t, "leaf.", dns.ED25519, "www.leaf. A 192.0.2.1\n*.wild.leaf. TXT x\ncut.leaf. NS ns.invalid.")
		z.nsec3, z.iter = true, v.iterations
		l.zone(t, "cut.leaf.", 0, "www.cut.leaf. A 192.0.2.2")
		l.sign(t)
		for _, q := range []struct {
			name string
			typ  uint16
		}{{"gone.leaf.", dns.TypeA}, {"www.leaf.", dns.TypeMX}, {"a.wild.leaf.", dns.TypeTXT}, {"a.wild.leaf.", dns.TypeA}} {
			r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
			res, err := r.Lookup(context.Background(), q.name, q.typ)
			require.NoError(t, err)
			require.Equal(t, v.status, res.Status, "%d iterations, %s: %v", v.iterations, q.name, res.Reason)
			if v.status == dnssec.Insecure {
				require.ErrorIs(t, res.Reason, dnssec.ErrIterations)
				require.Zero(t, res.Hashes, "no work for such records")
			}
		}
		r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
		res, err := r.Lookup(context.Background(), "www.leaf.", dns.TypeA)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status, "what is signed needs no denial")
		res, err = r.Lookup(context.Background(), "www.cut.leaf.", dns.TypeA)
		require.NoError(t, err)
		require.Equal(t, dnssec.Insecure, res.Status)
	}
}

// TestLabDeepName bounds the hashes that a long name can cause.
func TestLabDeepName(t *testing.T) {
	t.Parallel()
	l := newLab()
	l.zone(t, ".", dns.ED25519, "")
	z := l.zone(t, "leaf.", dns.ED25519, "")
	z.nsec3, z.iter = true, 50
	l.sign(t)
	name := strings.Repeat("a.", 120) + "leaf."
	c := l.gather(t, name, dns.TypeA)
	start := time.Now()
	res := dnssec.Validate(c.question(), l.anchors(t), l.now, c.msgs...)
	require.Less(t, time.Since(start), time.Second)
	require.NotEqual(t, dnssec.Insecure, res.Status)
	require.LessOrEqual(t, res.Hashes, 130)
	c.want.check(t, name, res)
}

// labFixed is a small world that is the same in every process, so that a fuzzer
// can build on what it found.
func labFixed(tb testing.TB) *lab {
	l := newLab()
	l.zone(tb, ".", 0, "")
	l.zone(tb, "t.", 0, "www.t. A 192.0.2.1\n*.w.t. TXT wild\nalias.t. CNAME www.t.\nd.t. DNAME n.t.\na.b.t. TXT deep")
	n := l.zone(tb, "n.t.", 0, "www.n.t. A 192.0.2.2\n*.w.n.t. TXT wild")
	n.nsec3, n.salt, n.iter = true, "ab", 2
	for apex, z := range l.zones {
		for _, flags := range []uint16{257, 256} {
			seed := sha256.Sum256(fmt.Append(nil, apex, flags))
			private := ed25519.NewKeyFromSeed(seed[:])
			k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
				Flags: flags, Protocol: 3, Algorithm: dns.ED25519, PublicKey: base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))}
			z.keys = append(z.keys, labKey{k, private})
			z.put(k)
		}
	}
	l.sign(tb)
	return l
}

// FuzzValidate judges whatever the octets say. Nothing may panic, and what
// comes out as Secure must be true.
func FuzzValidate(f *testing.F) {
	l := labFixed(f)
	anchors := l.anchors(f)
	var questions []dns.Question
	for _, name := range []string{"www.t.", "x.w.t.", "alias.t.", "www.d.t.", "gone.t.", "b.t.", "www.n.t.", "gone.n.t.", "x.w.n.t.", "n.t."} {
		for _, typ := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeDS} {
			questions = append(questions, dns.Question{Name: name, Qtype: typ, Qclass: dns.ClassINET})
		}
	}
	for i, q := range questions {
		var frame []byte
		for _, m := range l.gather(f, q.Name, q.Qtype).msgs {
			wire, err := m.Pack()
			require.NoError(f, err)
			frame = append(binary.BigEndian.AppendUint16(frame, uint16(len(wire))), wire...)
		}
		f.Add(byte(i), frame)
	}
	f.Fuzz(func(t *testing.T, pick byte, frame []byte) {
		q := questions[int(pick)%len(questions)]
		var msgs []*dns.Msg
		for len(frame) >= 2 {
			size := min(int(binary.BigEndian.Uint16(frame)), len(frame)-2)
			m := new(dns.Msg)
			if m.Unpack(frame[2:2+size]) == nil {
				msgs = append(msgs, m)
			}
			frame = frame[2+size:]
		}
		res := dnssec.Validate(q, anchors, l.now, msgs...)
		l.truth(q.Name, q.Qtype).check(t, q.String(), res)
		require.LessOrEqual(t, res.Verifications, 64)
	})
}
