package dnssec_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// An evil zone has good keys and a good chain, and signs whatever it likes. Of
// names that are not its own, nobody may believe it.
func TestLabEvilChild(t *testing.T) {
	t.Parallel()
	l := newLab()
	l.zone(t, ".", dns.ED25519, "")
	l.zone(t, "t.", dns.ED25519, "www.t. A 192.0.2.1\nwww.b.t. A 192.0.2.2")
	evil := l.zone(t, "evil.t.", dns.ED25519, "www.evil.t. A 192.0.2.3")
	good := l.zone(t, "good.t.", dns.ED25519, "www.good.t. A 192.0.2.4")
	good.nsec3 = true
	l.sign(t)
	anchors := l.anchors(t)
	var base []*dns.Msg
	for _, apex := range []string{"evil.t.", "good.t.", "t."} {
		base = append(base, l.gather(t, apex, dns.TypeSOA).msgs...)
	}
	// by signs as it is told, whatever the owner.
	by := func(k labKey, signer string, labels int, text string) []dns.RR {
		set := labRecords(t, text)
		sig := labSign(t, k, signer, set, l.now)
		if labels >= 0 { // as if expanded from a wildcard
			star := dns.Copy(set[0])
			for dns.CountLabel(star.Header().Name) > labels {
				star.Header().Name = labParent(star.Header().Name)
			}
			star.Header().Name = "*." + strings.TrimPrefix(star.Header().Name, ".")
			sig = labSign(t, k, signer, []dns.RR{star}, l.now)
			require.EqualValues(t, labels, sig.Labels)
			sig.Hdr.Name = set[0].Header().Name
		}
		return append(set, sig)
	}
	zsk, forged := evil.keys[1], " 300 IN A 203.0.113.66"
	for _, v := range []struct {
		what, name string
		typ        uint16
		answer, ns []dns.RR
	}{
		{"record above the zone", "www.t.", dns.TypeA, by(zsk, "evil.t.", -1, "www.t."+forged), nil},
		{"record beside the zone", "www.good.t.", dns.TypeA, by(zsk, "evil.t.", -1, "www.good.t."+forged), nil},
		{"in the parent's name", "www.t.", dns.TypeA, by(zsk, "t.", -1, "www.t."+forged), nil},
		{"in the root's name", "www.t.", dns.TypeA, by(zsk, ".", -1, "www.t."+forged), nil},
		{"suffix without a label boundary", "wwwevil.t.", dns.TypeA, by(zsk, "evil.t.", -1, "wwwevil.t."+forged), nil},
		{"wildcard above the zone (CVE-2026-44690)", "x.evil.t.", dns.TypeA, by(zsk, "evil.t.", 1, "x.evil.t."+forged), nil},
		{"wildcard over the parent's names", "gone.t.", dns.TypeA, by(zsk, "evil.t.", 1, "gone.t."+forged), nil},
		{"wildcard without proof", "x.y.evil.t.", dns.TypeA, by(zsk, "evil.t.", 2, "x.y.evil.t."+forged), nil},
		{"DS of its neighbour", "good.t.", dns.TypeDS, by(zsk, "evil.t.", -1, strings.Replace(evil.keys[0].rr.ToDS(dns.SHA256).String(), "evil", "good", 1)), nil},
		{"DS of itself by itself", "evil.t.", dns.TypeDS, by(zsk, "evil.t.", -1, "evil.t. 300 IN DS 1 13 2 "+strings.Repeat("00", 32)), nil},
		{"no DS for itself", "evil.t.", dns.TypeDS, nil, by(zsk, "evil.t.", -1, "evil.t. 300 IN NSEC www.evil.t. NS SOA RRSIG NSEC DNSKEY")},
		{"NSEC with the next name out of the zone (CVE-2026-13321)", "www.t.", dns.TypeA, nil, by(zsk, "evil.t.", -1, "evil.t. 300 IN NSEC zzz.t. NS SOA RRSIG NSEC")},
		{"NSEC out of the zone, for a name beside it", "www.good.t.", dns.TypeA, nil, by(zsk, "evil.t.", -1, "evil.t. 300 IN NSEC zzz.t. NS SOA RRSIG NSEC")},
		{"NSEC of the parent's apex", "www.t.", dns.TypeA, nil, by(zsk, "evil.t.", -1, "t. 300 IN NSEC t. NS SOA RRSIG NSEC")},
		{"NSEC3 under the parent (CVE-2026-10723)", "www.t.", dns.TypeA, nil, by(zsk, "evil.t.", -1,
			strings.ToLower(dns.HashName("www.t.", 1, 0, ""))+".t. 300 IN NSEC3 1 0 0 - "+strings.Repeat("0", 32)+" TXT")},
		{"NSEC3 of its own for a neighbour", "www.good.t.", dns.TypeA, nil, by(zsk, "evil.t.", -1,
			strings.ToLower(dns.HashName("www.good.t.", 1, 0, ""))+".evil.t. 300 IN NSEC3 1 0 0 - "+strings.Repeat("0", 32)+" TXT")},
		{"DNAME above itself", "www.t.", dns.TypeA, by(zsk, "evil.t.", -1, "t. 300 IN DNAME evil.t."), nil},
		{"CNAME for a neighbour", "www.good.t.", dns.TypeA, by(zsk, "evil.t.", -1, "www.good.t. 300 IN CNAME www.evil.t."), nil},
	} {
		m := new(dns.Msg).SetQuestion(v.name, v.typ)
		m.Response, m.Answer, m.Ns = true, v.answer, v.ns
		msgs := append([]*dns.Msg{m}, base...)
		res := dnssec.Validate(m.Question[0], anchors, l.now, msgs...)
		l.truth(v.name, v.typ).check(t, v.what, res)
		if v.typ != dns.TypeDS { // the true DS records are there as well
			require.NotEqual(t, dnssec.Secure, res.Status, "%s: %v", v.what, res.RRs)
		}
	}
	// What it says of its own names is believed.
	own := new(dns.Msg).SetQuestion("x.evil.t.", dns.TypeA)
	own.Answer = by(zsk, "evil.t.", -1, "x.evil.t."+forged)
	require.Equal(t, dnssec.Secure, dnssec.Validate(own.Question[0], anchors, l.now, append([]*dns.Msg{own}, base...)...).Status)
}

// TestLabExpandedDenials serves the NSEC of a wildcard as if it had been
// expanded (CVE-2017-15105): the signature is right, the proof is not.
func TestLabExpandedDenials(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	z := l.zones["example.ca."]
	for _, name := range []string{"only.wild.example.ca.", "gone.wild.example.ca."} {
		c := l.gather(t, name, dns.TypeTXT)
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.Response = true
		m.Ns = append(m.Ns, z.signed([]dns.RR{z.match("*.wild.example.ca.")}, name)...)
		require.Len(t, m.Ns, 2)
		msgs := slices.DeleteFunc(slices.Clone(c.msgs), func(o *dns.Msg) bool { return o.Question[0].Name == name && o.Question[0].Qtype == dns.TypeTXT })
		res := dnssec.Validate(m.Question[0], l.anchors(t), l.now, append(msgs, m)...)
		want := l.truth(name, dns.TypeA)
		want.check(t, name, res)
		if name == "only.wild.example.ca." {
			require.Equal(t, dnssec.Bogus, res.Status)
		}
	}
}

// TestLabPaddedDenials fills a denial with NSEC3 records that all seem to fit
// and none of which is signed by the zone (CVE-2026-11605).
func TestLabPaddedDenials(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	c := l.gather(t, "gone.n3.ca.", dns.TypeA)
	i := slices.IndexFunc(c.msgs, func(m *dns.Msg) bool { return m.Question[0].Name == c.name && m.Question[0].Qtype == c.typ })
	m := c.msgs[i].Copy()
	var pad []dns.RR
	for n := range 300 {
		for k, rr := range m.Ns {
			nsec3, ok := rr.(*dns.NSEC3)
			if !ok {
				continue
			}
			wide := dns.Copy(nsec3).(*dns.NSEC3)
			wide.Hdr.Name = strings.Repeat("0", 29) + string([]byte{'0' + byte(n/100), '0' + byte(n/10%10), '0' + byte(n%10)}) + ".n3.ca."
			wide.NextDomain = strings.Repeat("V", 32)
			sig := dns.Copy(m.Ns[k+1]).(*dns.RRSIG)
			sig.Hdr.Name = wide.Hdr.Name
			pad = append(pad, wide, sig)
			break
		}
	}
	require.Len(t, pad, 600)
	m.Ns = append(pad, m.Ns...)
	msgs := slices.Clone(c.msgs)
	msgs[i] = m
	res := dnssec.Validate(c.question(), l.anchors(t), l.now, msgs...)
	c.want.check(t, c.name, res)
	require.LessOrEqual(t, res.Verifications, 32)
	require.LessOrEqual(t, res.Hashes, 64)
	require.ErrorIs(t, res.Reason, dnssec.ErrLimit)
	_, err := (&dnssec.Resolver{Exchanger: l, Anchors: l.anchors(t), Now: l.clock}).Lookup(context.Background(), c.name, c.typ)
	require.NoError(t, err)
}
