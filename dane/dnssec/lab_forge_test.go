package dnssec_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// labCase is a question with the messages an honest world answers it by.
type labCase struct {
	name string
	typ  uint16
	msgs []*dns.Msg
	want labTruth
}

var labQuestions = []struct {
	name string
	typ  uint16
}{
	{"www.example.ca.", dns.TypeA},
	{"_443._tcp.www.example.ca.", dns.TypeTLSA},
	{"alias.example.ca.", dns.TypeTXT},
	{"far.example.ca.", dns.TypeA},
	{"a.b.wild.example.ca.", dns.TypeTXT},
	{"x.wild.n3.ca.", dns.TypeTXT},
	{"x.wc.n3.ca.", dns.TypeA},
	{"www.dn.n3.ca.", dns.TypeA},
	{"gone.example.ca.", dns.TypeA},
	{"gone.n3.ca.", dns.TypeA},
	{"ent.er.example.ca.", dns.TypeTXT},
	{"ent.er.n3.ca.", dns.TypeTXT},
	{"www.example.ca.", dns.TypeMX},
	{"www.n3.ca.", dns.TypeMX},
	{"x.wild.example.ca.", dns.TypeA},
	{"x.wild.n3.ca.", dns.TypeA},
	{"away.example.ca.", dns.TypeA},
	{"www.a.b.n3.ca.", dns.TypeA},
	{"www.example.ca.", dns.TypeDS},
	{"cut.n3.ca.", dns.TypeDS},
	{"www.cut.example.ca.", dns.TypeA},
	{"www.oo.ca.", dns.TypeA},
}

func (l *lab) gather(t testing.TB, name string, typ uint16) labCase {
	rec := newRecorder(l)
	r := &dnssec.Resolver{Exchanger: rec, Anchors: l.anchors(t), Now: func() time.Time { return l.now }}
	_, err := r.Lookup(context.Background(), name, typ)
	require.NoError(t, err)
	msgs := rec.messages()
	slices.SortFunc(msgs, func(a, b *dns.Msg) int { return strings.Compare(a.Question[0].String(), b.Question[0].String()) })
	return labCase{name, typ, msgs, l.truth(name, typ)}
}

func (c labCase) question() dns.Question {
	return dns.Question{Name: c.name, Qtype: c.typ, Qclass: dns.ClassINET}
}

func labCopy(msgs []*dns.Msg) []*dns.Msg {
	out := make([]*dns.Msg, len(msgs))
	for i, m := range msgs {
		out[i] = m.Copy()
	}
	return out
}

// labMutators change one record in place, or return what to put in its stead.
// Each returns nil if it has nothing to do to the record.
var labMutators = map[string]func(l *lab, rr dns.RR) []dns.RR{
	"drop": func(_ *lab, rr dns.RR) []dns.RR { return []dns.RR{} },
	"flip signature": labOnSig(func(s *dns.RRSIG) {
		raw, _ := base64.StdEncoding.DecodeString(s.Signature)
		raw[len(raw)/3] ^= 4
		s.Signature = base64.StdEncoding.EncodeToString(raw)
	}),
	"empty signature": labOnSig(func(s *dns.RRSIG) { s.Signature = "" }),
	"half signature":  labOnSig(func(s *dns.RRSIG) { s.Signature = s.Signature[:len(s.Signature)/8*4] }),
	"odd base64":      labOnSig(func(s *dns.RRSIG) { s.Signature = "!" + s.Signature[1:] }),
	"labels down": labOnSig(func(s *dns.RRSIG) {
		if s.Labels > 0 {
			s.Labels--
		} else {
			s.Labels = 1
		}
	}),
	"labels up":       labOnSig(func(s *dns.RRSIG) { s.Labels++ }),
	"labels zero":     labOnSig(func(s *dns.RRSIG) { s.Labels = 255 - s.Labels }),
	"signer root":     labOnSig(func(s *dns.RRSIG) { s.SignerName = labOther(s.SignerName, ".") }),
	"signer deeper":   labOnSig(func(s *dns.RRSIG) { s.SignerName = s.Hdr.Name + "x" }),
	"signer parent":   labOnSig(func(s *dns.RRSIG) { s.SignerName = labOther(labParent(s.SignerName), "x.") }),
	"key tag":         labOnSig(func(s *dns.RRSIG) { s.KeyTag++ }),
	"algorithm":       labOnSig(func(s *dns.RRSIG) { s.Algorithm ^= 7 }),
	"covered":         labOnSig(func(s *dns.RRSIG) { s.TypeCovered++ }),
	"longer life":     labOnSig(func(s *dns.RRSIG) { s.Expiration += 86400 }),
	"earlier start":   labOnSig(func(s *dns.RRSIG) { s.Inception -= 86400 }),
	"original ttl":    labOnSig(func(s *dns.RRSIG) { s.OrigTtl++ }),
	"unsigned fields": labOnSig(func(s *dns.RRSIG) { s.Expiration, s.Inception = s.Inception, s.Expiration }),
	"rdata": func(l *lab, rr dns.RR) []dns.RR {
		if _, ok := rr.(*dns.RRSIG); ok {
			return nil
		}
		return []dns.RR{labFlip(rr)}
	},
	"second record": func(l *lab, rr dns.RR) []dns.RR {
		if _, ok := rr.(*dns.RRSIG); ok {
			return nil
		}
		return []dns.RR{rr, labFlip(rr)}
	},
	"other owner": func(l *lab, rr dns.RR) []dns.RR {
		rr.Header().Name = "x" + strings.TrimPrefix(rr.Header().Name, ".")
		return []dns.RR{rr}
	},
	"other class": func(l *lab, rr dns.RR) []dns.RR {
		rr.Header().Class = dns.ClassCHAOS
		return []dns.RR{rr}
	},
	"forged sibling": func(l *lab, rr dns.RR) []dns.RR {
		// Same type, other owner, broken signature (reference section 3, defect 3).
		c := dns.Copy(rr)
		c.Header().Name = "sibling." + strings.TrimPrefix(c.Header().Name, ".")
		return []dns.RR{rr, labFlip(c)}
	},
	"iterations": func(l *lab, rr dns.RR) []dns.RR {
		n, ok := rr.(*dns.NSEC3)
		if !ok {
			return nil
		}
		n.Iterations = 2500
		return []dns.RR{n}
	},
	"opt-out flag": func(l *lab, rr dns.RR) []dns.RR {
		n, ok := rr.(*dns.NSEC3)
		if !ok {
			return nil
		}
		n.Flags ^= 1
		return []dns.RR{n}
	},
	"mixed parameters": func(l *lab, rr dns.RR) []dns.RR {
		n, ok := rr.(*dns.NSEC3)
		if !ok {
			return nil
		}
		c := dns.Copy(n).(*dns.NSEC3)
		c.Salt, c.SaltLength = "ff00", 2
		c.Hdr.Name = "0" + c.Hdr.Name[1:]
		return []dns.RR{n, c}
	},
	"wide NSEC": func(l *lab, rr dns.RR) []dns.RR {
		n, ok := rr.(*dns.NSEC)
		if !ok {
			return nil
		}
		n.NextDomain = "zzz." + strings.TrimPrefix(labParent(n.Hdr.Name), ".")
		return []dns.RR{n}
	},
	"NSEC out of zone": func(l *lab, rr dns.RR) []dns.RR {
		n, ok := rr.(*dns.NSEC)
		if !ok {
			return nil
		}
		n.NextDomain = "zzz."
		return []dns.RR{n}
	},
	"no types": func(l *lab, rr dns.RR) []dns.RR {
		switch n := rr.(type) {
		case *dns.NSEC:
			n.TypeBitMap = nil
		case *dns.NSEC3:
			n.TypeBitMap = nil
		default:
			return nil
		}
		return []dns.RR{rr}
	},
	"strange digest": func(l *lab, rr dns.RR) []dns.RR {
		ds, ok := rr.(*dns.DS)
		if !ok {
			return nil
		}
		ds.DigestType = 3 // made nsmithuk/resolver panic
		return []dns.RR{ds}
	},
	"strange algorithm": func(l *lab, rr dns.RR) []dns.RR {
		switch rr := rr.(type) {
		case *dns.DS:
			rr.Algorithm = dns.ED448
		case *dns.DNSKEY:
			rr.Algorithm = dns.ED448
		default:
			return nil
		}
		return []dns.RR{rr}
	},
	"broken key": func(l *lab, rr dns.RR) []dns.RR {
		k, ok := rr.(*dns.DNSKEY)
		if !ok {
			return nil
		}
		k.PublicKey = k.PublicKey[:4]
		return []dns.RR{k}
	},
	"revoked key": func(l *lab, rr dns.RR) []dns.RR {
		k, ok := rr.(*dns.DNSKEY)
		if !ok {
			return nil
		}
		k.Flags |= dns.REVOKE
		return []dns.RR{k}
	},
	"no zone key": func(l *lab, rr dns.RR) []dns.RR {
		k, ok := rr.(*dns.DNSKEY)
		if !ok {
			return nil
		}
		k.Flags &^= dns.ZONE
		return []dns.RR{k}
	},
}

func labOther(s, alternative string) string {
	if s == alternative {
		return "x."
	}
	return alternative
}

func labOnSig(f func(*dns.RRSIG)) func(*lab, dns.RR) []dns.RR {
	return func(_ *lab, rr dns.RR) []dns.RR {
		s, ok := rr.(*dns.RRSIG)
		if !ok || len(s.Signature) < 32 || s.Signature[0] == '!' {
			return nil // no signature, or broken already
		}
		f(s)
		return []dns.RR{s}
	}
}

// labFlip changes a bit of the data and keeps the record well-formed.
func labFlip(rr dns.RR) dns.RR {
	buf := make([]byte, dns.Len(rr)+64)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return rr
	}
	_, head, _ := dns.UnpackDomainName(buf, 0)
	for i := n - 1; i >= head+10; i-- {
		buf[i] ^= 1
		if got, _, err := dns.UnpackRR(buf[:n], 0); err == nil && !dns.IsDuplicate(got, rr) {
			return got
		}
		buf[i] ^= 1
	}
	return dns.Copy(rr)
}

// TestLabMutations breaks each record of each message in every way above. No
// verdict may be Secure unless the answer is still the truth, and then only
// because the broken record was not needed.
func TestLabMutations(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	anchors := l.anchors(t)
	tried, count, survived := 0, 0, map[string]int{}
	for _, q := range labQuestions {
		c := l.gather(t, q.name, q.typ)
		for what, mutate := range labMutators {
			c.each(func(i, section, k int) {
				if tried++; testing.Short() && tried%3 != 0 {
					return
				}
				msgs := slices.Clone(c.msgs)
				msgs[i] = msgs[i].Copy()
				list := labSection(msgs[i], section)
				changed := mutate(l, (*list)[k])
				if changed == nil {
					return
				}
				where := fmt.Sprintf("%s %s: %s of %v in the answer to %s", c.name, dns.Type(c.typ), what,
					labSection2(c.msgs[i], section)[k], &c.msgs[i].Question[0])
				*list = slices.Replace(*list, k, k+1, changed...)
				res := dnssec.Validate(c.question(), anchors, l.now, msgs...)
				c.want.check(t, where, res)
				count++
				if res.Status == dnssec.Secure {
					survived[what]++
				}
			})
		}
	}
	t.Logf("%d mutations, still provable: %v", count, survived)
	require.Greater(t, count, 2000)
}

func labSection(m *dns.Msg, section int) *[]dns.RR {
	if section == 0 {
		return &m.Answer
	}
	return &m.Ns
}

func labSection2(m *dns.Msg, section int) []dns.RR { return *labSection(m, section) }

func (c labCase) each(f func(message, section, record int)) {
	for i, m := range c.msgs {
		for section := range 2 {
			for k := range labSection2(m, section) {
				f(i, section, k)
			}
		}
	}
}

// TestLabNeeded drops every record of the chain of an answer that has no
// record to spare: nothing but the whole is Secure.
func TestLabNeeded(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	anchors := l.anchors(t)
	c := l.gather(t, "www.n3.ca.", dns.TypeTXT)
	require.Equal(t, dnssec.Secure, dnssec.Validate(c.question(), anchors, l.now, c.msgs...).Status)
	c.each(func(i, section, k int) {
		q := c.msgs[i].Question[0]
		rr := labSection2(c.msgs[i], section)[k]
		if q.Name == c.name && q.Qtype != c.typ || section == 1 {
			return // asked on suspicion: it is no zone
		}
		msgs := labCopy(c.msgs)
		list := labSection(msgs[i], section)
		*list = slices.Delete(*list, k, k+1)
		res := dnssec.Validate(c.question(), anchors, l.now, msgs...)
		require.NotEqual(t, dnssec.Secure, res.Status, "without %v", rr)
		require.NotEqual(t, dnssec.Insecure, res.Status, "without %v", rr)
	})
}

// TestLabTimes moves the clock past both ends of the signatures.
func TestLabTimes(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	anchors := l.anchors(t)
	start, end := l.now.Add(-time.Hour), l.now.Add(10*24*time.Hour)
	for _, q := range labQuestions {
		c := l.gather(t, q.name, q.typ)
		honest := dnssec.Validate(c.question(), anchors, l.now, c.msgs...)
		for _, at := range []struct {
			when time.Time
			ok   bool
			err  error
		}{
			{start, true, nil}, {end, true, nil},
			{start.Add(-time.Second), false, dnssec.ErrNotYetValid}, {end.Add(time.Second), false, dnssec.ErrExpired},
			{start.AddDate(-30, 0, 0), false, dnssec.ErrNotYetValid}, {end.AddDate(30, 0, 0), false, dnssec.ErrExpired},
		} {
			res := dnssec.Validate(c.question(), anchors, at.when, c.msgs...)
			if at.ok {
				require.Equal(t, honest.Status, res.Status, "%s at %s: %v", c.name, at.when, res.Reason)
				continue
			}
			require.Equal(t, dnssec.Bogus, res.Status, "%s at %s", c.name, at.when)
			require.ErrorIs(t, res.Reason, at.err)
		}
	}
}

// TestLabCase answers in other letter case than was signed: names compare
// without it (RFC 4343), so this alone may change nothing.
func TestLabCase(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	anchors := l.anchors(t)
	for _, q := range labQuestions {
		c := l.gather(t, q.name, q.typ)
		honest := dnssec.Validate(c.question(), anchors, l.now, c.msgs...)
		msgs := labCopy(c.msgs)
		for _, m := range msgs {
			for _, rr := range slices.Concat(m.Answer, m.Ns) {
				rr.Header().Name = strings.ToUpper(rr.Header().Name)
				switch rr := rr.(type) {
				case *dns.RRSIG:
					rr.SignerName = strings.ToUpper(rr.SignerName)
				case *dns.CNAME:
					rr.Target = strings.ToUpper(rr.Target)
				}
			}
		}
		res := dnssec.Validate(dns.Question{Name: strings.ToUpper(c.name), Qtype: c.typ, Qclass: dns.ClassINET}, anchors, l.now, msgs...)
		require.Equal(t, honest.Status, res.Status, "%s: %v", c.name, res.Reason)
	}
}

// TestLabIsland pins an anchor below an unsigned zone and below an opt-out
// span. Nothing that those above say may weaken it: the longest match counts.
func TestLabIsland(t *testing.T) {
	t.Parallel()
	for _, parent := range []string{"plain.ca.", "ca."} {
		l := newLab()
		l.zone(t, ".", dns.ECDSAP256SHA256, "")
		ca := l.zone(t, "ca.", dns.ED25519, "")
		ca.nsec3, ca.optOut = true, true
		l.zone(t, "plain.ca.", 0, "")
		apex := "island." + parent
		island := l.zone(t, apex, dns.ECDSAP256SHA256, "www."+apex+" A 192.0.2.1")
		ds := island.keys[0].rr.ToDS(dns.SHA256)
		l.sign(t)
		delete(l.zones[parent].data[apex], dns.TypeDS) // no chain from above
		for _, z := range l.zones {
			z.chain = nil
			z.sign(t, l.now)
		}
		text := l.zones["."].keys[0].rr.ToDS(dns.SHA256).String() + "\n" + ds.String() + "\n"
		anchors, err := dnssec.ParseAnchors(strings.NewReader(text))
		require.NoError(t, err)
		name := "www." + apex
		r := &dnssec.Resolver{Exchanger: l, Anchors: anchors, Now: func() time.Time { return l.now }}
		res, err := r.Lookup(context.Background(), name, dns.TypeA)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)

		// All that those above can say, and a forged answer.
		var msgs []*dns.Msg
		for _, q := range []dns.Question{{Name: ".", Qtype: dns.TypeDNSKEY}, {Name: "ca.", Qtype: dns.TypeDNSKEY}, {Name: "ca.", Qtype: dns.TypeDS}, {Name: "plain.ca.", Qtype: dns.TypeDS}, {Name: "plain.ca.", Qtype: dns.TypeDNSKEY}, {Name: apex, Qtype: dns.TypeDS}, {Name: apex, Qtype: dns.TypeDNSKEY}} {
			ask := new(dns.Msg)
			ask.SetQuestion(q.Name, q.Qtype)
			m, err := l.Exchange(context.Background(), ask)
			require.NoError(t, err)
			msgs = append(msgs, m)
		}
		forged := new(dns.Msg)
		forged.SetQuestion(name, dns.TypeA)
		forged.Response = true
		question := forged.Question[0]
		absent := forged.Copy()
		absent.Rcode = dns.RcodeNameError
		absent.Ns = append(absent.Ns, msgs[5].Ns...)
		rr, _ := dns.NewRR(name + " 300 IN A 203.0.113.66")
		forged.Answer = []dns.RR{rr}
		for _, signer := range []string{"", ".", "ca.", "plain.ca.", apex, name} {
			m := forged.Copy()
			gone := absent.Copy()
			if signer != "" && dns.IsSubDomain(signer, name) {
				sig := &dns.RRSIG{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: 300},
					TypeCovered: dns.TypeA, Algorithm: 13, Labels: 3, OrigTtl: 300, Inception: uint32(l.now.Unix() - 60), Expiration: uint32(l.now.Unix() + 60),
					KeyTag: 1, SignerName: signer, Signature: base64.StdEncoding.EncodeToString(make([]byte, 64))}
				m.Answer = append(m.Answer, sig)
				nsec, _ := dns.NewRR("www." + apex + " 300 IN NSEC " + apex + " RRSIG NSEC")
				c := dns.Copy(sig).(*dns.RRSIG)
				c.TypeCovered = dns.TypeNSEC
				gone.Ns = append(gone.Ns, nsec, c)
			}
			for what, m := range map[string]*dns.Msg{"forged answer": m, "forged denial": gone} {
				res := dnssec.Validate(question, anchors, l.now, append(slices.Clone(msgs), m)...)
				require.NotContains(t, []dnssec.Status{dnssec.Secure, dnssec.Insecure}, res.Status,
					"%s below %s, signer %q: %v %v", what, parent, signer, res.Reason, res.RRs)
				require.Empty(t, res.RRs)
			}
		}
	}
}
