package dnssec_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// TestLabTypes asks for records of many types, with capitals in the names
// inside, which the canonical form lowers in some types and in others leaves
// (RFC 4034 section 6.2, RFC 6840 section 5.1).
func TestLabTypes(t *testing.T) {
	t.Parallel()
	records := []string{
		"NS Ns.Other.", "MX 5 Mail.Leaf.", "PTR Host.Leaf.", "SRV 1 2 3 Srv.Leaf.", "AFSDB 1 Cell.Leaf.", "RP Admin.Leaf. Text.Leaf.",
		"RT 1 Relay.Leaf.", "KX 1 Kx.Leaf.", "PX 1 Map822.Leaf. MapX400.Leaf.", "MINFO Request.Leaf. Errors.Leaf.", "MB Box.Leaf.",
		"MG Group.Leaf.", "MR New.Leaf.", "MD Md.Leaf.", "MF Mf.Leaf.", `NAPTR 100 50 "s" "http+I2L" "" Rewrite.Leaf.`, "DNAME Target.Leaf.",
		`HINFO "KLH-10" "ITS"`, `TXT "Keep My Case"`, "CAA 0 issue \"CA.Example\"", "LOC 45 25 0 N 75 42 0 W 70m", "SSHFP 4 2 00ff",
		"URI 1 1 \"https://Example/\"", "CERT PKIX 0 0 AAEC", "TLSA 3 1 1 00", "SMIMEA 3 1 1 00", "OPENPGPKEY AAEC", "SVCB 1 Svc.Leaf. alpn=h2",
		"HTTPS 1 . alpn=h2", "CDS 1 13 2 00", "CDNSKEY 257 3 13 AAEC", "TYPE65400 \\# 3 414243", "EUI48 00-00-5e-00-53-2a", "CSYNC 1 3 A NS",
	}
	l := newLab()
	l.zone(t, ".", dns.ED25519, "")
	z := l.zone(t, "leaf.", dns.ED25519, "")
	var types []uint16
	for i, text := range records {
		rr, err := dns.NewRR("n" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".leaf. 300 IN " + text)
		require.NoError(t, err, text)
		if rr.Header().Rrtype == dns.TypeNS {
			rr.Header().Name = "leaf."
		}
		z.put(rr)
		types = append(types, rr.Header().Rrtype)
		records[i] = rr.Header().Name
	}
	l.sign(t)
	r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
	for i, typ := range types {
		res, err := r.Lookup(context.Background(), records[i], typ)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status, "%s: %v", dns.Type(typ), res.Reason)
		require.True(t, labSame(z.data[records[i]][typ], res.RRs), "%v", res.RRs)
	}
}

// TestLabOddKeys points the delegation at keys that nobody should compute with:
// they count as failures, cheaply.
func TestLabOddKeys(t *testing.T) {
	t.Parallel()
	rsa := func(exponent []byte, bits int) []byte {
		return slices.Concat([]byte{byte(len(exponent))}, exponent, bytes.Repeat([]byte{0xc5}, bits/8))
	}
	for what, v := range map[string]struct {
		alg    uint8
		public []byte
	}{
		"RSA of 512 bits":             {dns.RSASHA256, rsa([]byte{1, 0, 1}, 512)},
		"RSA of 16384 bits":           {dns.RSASHA256, rsa([]byte{1, 0, 1}, 16384)},
		"RSA with a long exponent":    {dns.RSASHA256, rsa(bytes.Repeat([]byte{0xff}, 200), 2048)},
		"RSA with exponent 1":         {dns.RSASHA256, rsa([]byte{1}, 2048)},
		"RSA with an even exponent":   {dns.RSASHA256, rsa([]byte{1, 0}, 2048)},
		"RSA of exponent only":        {dns.RSASHA256, []byte{3, 1, 0, 1}},
		"RSA cut short":               {dns.RSASHA256, []byte{0, 1}},
		"RSA with no octets":          {dns.RSASHA256, nil},
		"P-256 not on the curve":      {dns.ECDSAP256SHA256, bytes.Repeat([]byte{7}, 64)},
		"P-256 at infinity":           {dns.ECDSAP256SHA256, make([]byte, 64)},
		"P-256 too short":             {dns.ECDSAP256SHA256, make([]byte, 63)},
		"P-384 with a P-256 key":      {dns.ECDSAP384SHA384, make([]byte, 64)},
		"Ed25519 too long":            {dns.ED25519, make([]byte, 33)},
		"Ed25519 of small order":      {dns.ED25519, append([]byte{1}, make([]byte, 31)...)},
		"Ed25519, not a point at all": {dns.ED25519, append([]byte{2}, make([]byte, 31)...)},
	} {
		l := newLab()
		l.zone(t, ".", dns.ED25519, "")
		z := l.zone(t, "leaf.", dns.ED25519, "www.leaf. A 192.0.2.1")
		l.sign(t)
		odd := &dns.DNSKEY{Hdr: z.keys[0].rr.Hdr, Flags: 257, Protocol: 3, Algorithm: v.alg, PublicKey: base64.StdEncoding.EncodeToString(v.public)}
		top := l.zones["."]
		top.data["leaf."][dns.TypeDS] = []dns.RR{odd.ToDS(dns.SHA256)}
		z.data["leaf."][dns.TypeDNSKEY] = append(z.data["leaf."][dns.TypeDNSKEY], odd)
		sig := dns.Copy(z.sigs["leaf.DNSKEY"][0]).(*dns.RRSIG)
		sig.KeyTag, sig.Algorithm = odd.KeyTag(), v.alg
		sig.Signature = base64.StdEncoding.EncodeToString(make([]byte, 64))
		z.sigs["leaf.DNSKEY"] = append(z.sigs["leaf.DNSKEY"], sig)
		top.chain = nil
		top.sign(t, l.now)
		r := &dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
		start := time.Now()
		res, err := r.Lookup(context.Background(), "www.leaf.", dns.TypeA)
		require.NoError(t, err)
		require.Equal(t, dnssec.Bogus, res.Status, "%s", what)
		require.Less(t, time.Since(start), time.Second, what)
	}
}
