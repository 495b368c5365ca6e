package dnssec_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// labContents is what every leaf zone holds; @ stands for its apex.
const labContents = `
www.@ A 192.0.2.1
www.@ A 192.0.2.2
www.@ TXT "Case Kept"
_443._tcp.www.@ TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
deep.ent.er.@ TXT "under empty non-terminals"
alias.@ CNAME www.@
far.@ CNAME www.n3.ca.
out.@ CNAME www.plain.ca.
away.@ CNAME nothing.example.ca.
loop1.@ CNAME loop2.@
loop2.@ CNAME loop1.@
*.wild.@ TXT "from a wildcard"
only.wild.@ A 192.0.2.3
*.wc.@ CNAME www.@
dn.@ DNAME example.ca.
x.*.star.@ A 192.0.2.4
mail.@ MX 10 MAIL.Example.CA.
srv.@ SRV 1 2 3 Target.Example.CA.
`

func labOttawa(tb testing.TB) *lab {
	l := newLab()
	text := func(apex string) string { return strings.ReplaceAll(labContents, "@", apex) }
	l.zone(tb, ".", dns.ECDSAP256SHA256, "")
	l.zone(tb, "ca.", dns.ED25519, "")
	l.zone(tb, "example.ca.", dns.ECDSAP256SHA256, text("example.ca."))
	l.zone(tb, "n3.ca.", dns.ECDSAP256SHA256, text("n3.ca.")).nsec3 = true
	oo := l.zone(tb, "oo.ca.", dns.ED25519, text("oo.ca."))
	oo.nsec3, oo.optOut, oo.salt, oo.iter = true, true, "aabbcc", 7
	l.zone(tb, "plain.ca.", 0, text("plain.ca."))
	l.zone(tb, "sub.example.ca.", dns.ECDSAP256SHA256, text("sub.example.ca."))
	l.zone(tb, "under.plain.ca.", dns.ECDSAP256SHA256, "www.under.plain.ca. A 192.0.2.9")
	for _, apex := range []string{"example.ca.", "n3.ca.", "oo.ca.", "plain.ca.", "sub.example.ca."} {
		l.zone(tb, "cut."+apex, 0, "www.cut."+apex+" A 192.0.2.10")
		l.zone(tb, "below.er."+apex, 0, "")
	}
	l.zone(tb, "a.b.n3.ca.", dns.ECDSAP256SHA256, "www.a.b.n3.ca. A 192.0.2.11")
	ca := l.zones["ca."]
	ca.nsec3, ca.optOut = true, true
	l.sign(tb)
	return l
}

var labTypes = []uint16{dns.TypeA, dns.TypeTXT, dns.TypeCNAME, dns.TypeDS, dns.TypeNS, dns.TypeDNAME, dns.TypeSOA, dns.TypeMX, dns.TypeSRV, dns.TypeTLSA}

// labNames are the names worth asking for in a zone.
func labNames(z *labZone) []string {
	list := []string{z.apex}
	for n := range z.data {
		for ; n != z.apex; n = labParent(n) {
			list = append(list, n, "none."+n, "a.none."+n)
			if !strings.HasPrefix(n, "*") {
				list = append(list, "*."+n)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func labValid(n string) bool { _, ok := dns.IsDomainName(n); return ok && len(n) < 250 }

// check compares a verdict with the truth. A Secure verdict must be true to the
// letter; an Insecure one is only allowed where something is insecure.
func (w labTruth) check(tb testing.TB, what string, res *dnssec.Result) {
	if res.Status != dnssec.Secure && res.Status != dnssec.Insecure {
		require.Empty(tb, res.RRs, "%s: records with verdict %v", what, res.Status)
	}
	if res.Status == dnssec.Secure {
		require.NoError(tb, res.Reason, what)
		require.True(tb, w.secure, "%s: secure though a zone on the way is not", what)
		require.False(tb, w.looping, "%s: secure though the aliases never end", what)
		require.Equal(tb, w.rcode, res.Rcode, "%s: rcode", what)
		require.True(tb, labSame(w.rrs, res.RRs), "%s:\nwant %v\ngot  %v", what, w.rrs, res.RRs)
		return
	}
	require.Error(tb, res.Reason, what)
	if res.Status == dnssec.Insecure {
		require.True(tb, !w.secure || w.optOut, "%s: insecure though all is signed: %v", what, res.Reason)
	}
}

// honest says what verdict an honest upstream must lead to.
func (w labTruth) honest() []dnssec.Status {
	switch {
	case w.looping:
		return []dnssec.Status{dnssec.Bogus}
	case !w.secure:
		return []dnssec.Status{dnssec.Insecure}
	case w.optOut:
		return []dnssec.Status{dnssec.Insecure, dnssec.Secure}
	}
	return []dnssec.Status{dnssec.Secure}
}

// TestLabHonest asks for every name and type there is and many that are not,
// cold, and holds Lookup and Validate to the truth and to each other.
func TestLabHonest(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	anchors := l.anchors(t)
	warm := &dnssec.Resolver{Exchanger: l, Anchors: anchors, Now: func() time.Time { return l.now }}
	count := 0
	for _, apex := range slices.Sorted(maps.Keys(l.zones)) {
		for _, n := range labNames(l.zones[apex]) {
			if !labValid(n) {
				continue
			}
			for _, typ := range labTypes {
				if count++; count%7 != 0 {
					continue // a part is enough: every name is still asked for
				}
				what := fmt.Sprintf("%s %s", n, dns.Type(typ))
				want := l.truth(n, typ)
				rec := newRecorder(l)
				cold := &dnssec.Resolver{Exchanger: rec, Anchors: anchors, Now: warm.Now}
				res, err := cold.Lookup(context.Background(), n, typ)
				require.NoError(t, err, what)
				want.check(t, what, res)
				require.Contains(t, want.honest(), res.Status, "%s: %v\n%v", what, res.Reason, want)
				if res.Status == dnssec.Insecure {
					require.Equal(t, want.rcode, res.Rcode, what)
					require.True(t, labSame(labPlain(want.rrs), labPlain(res.RRs)), "%s:\nwant %v\ngot  %v", what, want.rrs, res.RRs)
				}

				q := dns.Question{Name: n, Qtype: typ, Qclass: dns.ClassINET}
				msgs := rec.messages()
				rand.Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
				off := dnssec.Validate(q, anchors, l.now, msgs...)
				require.Equal(t, res.Status, off.Status, "%s offline: %v; online: %v", what, off.Reason, res.Reason)
				require.Equal(t, res.Rcode, off.Rcode, "%s offline", what)
				require.True(t, labSame(res.RRs, off.RRs), "%s offline:\n%v\n%v", what, res.RRs, off.RRs)

				again, err := warm.Lookup(context.Background(), n, typ)
				require.NoError(t, err, what)
				require.Equal(t, res.Status, again.Status, "%s warm: %v", what, again.Reason)
				require.True(t, labSame(res.RRs, again.RRs), "%s warm:\n%v\n%v", what, res.RRs, again.RRs)
			}
		}
	}
	t.Logf("%d questions", count)
	require.Greater(t, count, 5000)
}

// labPlain leaves DNAME records out: where nothing is proven, the CNAME that
// came with one will do.
func labPlain(rrs []dns.RR) []dns.RR {
	return slices.DeleteFunc(slices.Clone(rrs), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDNAME })
}

// labPool collects every set that the world ever signs, with its signatures,
// as answers to all the questions worth asking.
func labPool(l *lab) [][]dns.RR {
	seen := map[string]bool{}
	var pool [][]dns.RR
	for _, z := range l.zones {
		for _, n := range labNames(z) {
			if !labValid(n) {
				continue
			}
			for _, typ := range append(labTypes, dns.TypeDNSKEY) {
				q := new(dns.Msg)
				q.SetQuestion(n, typ)
				m, _ := l.Exchange(context.Background(), q)
				for _, set := range labSets(m) {
					if id := set[0].String(); !seen[id] {
						seen[id] = true
						pool = append(pool, set)
					}
				}
			}
		}
	}
	return pool
}

// TestLabReplay gives the validator genuine records, but the wrong ones: any
// mixture that the zones ever signed, presented as the answer to another
// question. What comes out as Secure must be true all the same.
func TestLabReplay(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	anchors := l.anchors(t)
	pool := labPool(l)
	var chain, rest [][]dns.RR
	for _, set := range pool {
		if typ := set[0].Header().Rrtype; typ == dns.TypeDNSKEY || typ == dns.TypeDS {
			chain = append(chain, set)
		} else {
			rest = append(rest, set)
		}
	}
	var names []string
	for _, z := range l.zones {
		names = append(names, labNames(z)...)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !labValid(n) })
	slices.Sort(names)
	rng := rand.New(rand.NewPCG(1, 2))
	rounds, secure := 2000, 0
	if testing.Short() {
		rounds = 500
	}
	for range rounds {
		n, typ := names[rng.IntN(len(names))], labTypes[rng.IntN(len(labTypes))]
		z := l.home(n, typ)
		m := new(dns.Msg)
		m.SetQuestion(n, typ)
		m.Response = true
		if rng.IntN(2) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		for _, set := range chain {
			if rng.IntN(40) != 0 {
				m.Answer = append(m.Answer, set...)
			}
		}
		share := 1 + rng.IntN(4)
		for _, set := range rest {
			near := dns.IsSubDomain(z.apex, set[0].Header().Name)
			if near && rng.IntN(4) < share || !near && rng.IntN(30) == 0 {
				m.Ns = append(m.Ns, set...)
				if typ := set[0].Header().Rrtype; typ != dns.TypeNSEC && typ != dns.TypeNSEC3 {
					m.Answer = append(m.Answer, set...)
				}
			}
		}
		res := dnssec.Validate(m.Question[0], anchors, l.now, m)
		l.truth(n, typ).check(t, fmt.Sprintf("%s %s", n, dns.Type(typ)), res)
		if res.Status == dnssec.Secure {
			secure++
		}
	}
	t.Logf("%d of %d mixtures secure", secure, rounds)
	require.NotZero(t, secure, "the test proves nothing if nothing validates")
}

// TestLabWorlds does the same in small random zones with names from a tiny
// alphabet, where corner cases meet: wildcards, empty non-terminals, cuts and
// DNAMEs side by side.
func TestLabWorlds(t *testing.T) {
	t.Parallel()
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	total := map[dnssec.Status]int{}
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		l := labRandom(t, rng)
		anchors := l.anchors(t)
		var msgs []*dns.Msg
		for range 60 {
			n, typ := labRandomQuestion(rng)
			want := l.truth(n, typ)
			what := fmt.Sprintf("seed %d: %s %s\n%s", seed, n, dns.Type(typ), l)
			rec := newRecorder(l)
			r := &dnssec.Resolver{Exchanger: rec, Anchors: anchors, Now: func() time.Time { return l.now }}
			res, err := r.Lookup(context.Background(), n, typ)
			require.NoError(t, err, what)
			want.check(t, what, res)
			require.Contains(t, want.honest(), res.Status, "%s: %v\n%+v", what, res.Reason, want)
			total[res.Status]++

			msgs = append(msgs, rec.messages()...)
		}
		labMix(t, rng, l, anchors, msgs, 250, fmt.Sprintf("seed %d", seed))
	}
	t.Log(total)
}

func labRandomQuestion(rng *rand.Rand) (string, uint16) {
	return labRandomName(rng, 4) + "t.", []uint16{dns.TypeA, dns.TypeTXT, dns.TypeDS, dns.TypeCNAME}[rng.IntN(4)]
}

// labMix puts random parts of the answers to some questions as the answer to
// others.
func labMix(tb testing.TB, rng *rand.Rand, l *lab, anchors *dnssec.Anchors, msgs []*dns.Msg, rounds int, what string) {
	var chain, rest [][]dns.RR
	seen := map[string]bool{}
	for _, m := range msgs {
		for _, set := range labSets(m) {
			id := set[0].String()
			switch typ := set[0].Header().Rrtype; {
			case seen[id]:
			case typ == dns.TypeDNSKEY || typ == dns.TypeDS:
				chain = append(chain, set)
			default:
				rest = append(rest, set)
			}
			seen[id] = true
		}
	}
	for range rounds {
		n, typ := labRandomQuestion(rng)
		m := new(dns.Msg)
		m.SetQuestion(n, typ)
		m.Response, m.Rcode = true, []int{dns.RcodeSuccess, dns.RcodeNameError}[rng.IntN(2)]
		share := 1 + rng.IntN(8)
		for _, set := range chain {
			if rng.IntN(20) != 0 {
				m.Answer = append(m.Answer, set...)
			}
		}
		for _, set := range rest {
			if rng.IntN(8) < share {
				m.Answer, m.Ns = append(m.Answer, set...), append(m.Ns, set...)
			}
		}
		res := dnssec.Validate(m.Question[0], anchors, l.now, m)
		l.truth(n, typ).check(tb, fmt.Sprintf("%s: mixture for %s %s\n%s", what, n, dns.Type(typ), l), res)
	}
}

// labSets sorts the records of a message into sets, with their signatures.
func labSets(m *dns.Msg) [][]dns.RR {
	groups := map[string][]dns.RR{}
	var order []string
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		t := rr.Header().Rrtype
		if sig, ok := rr.(*dns.RRSIG); ok {
			t = sig.TypeCovered
		}
		id := rr.Header().Name + dns.Type(t).String()
		if groups[id] == nil {
			order = append(order, id)
		}
		groups[id] = append(groups[id], rr)
	}
	var sets [][]dns.RR
	for _, id := range order {
		sets = append(sets, groups[id])
	}
	return sets
}

func labRandomName(rng *rand.Rand, depth int) string {
	var b strings.Builder
	for range rng.IntN(depth + 1) {
		b.WriteString([]string{"a.", "b.", "*.", "c."}[rng.IntN(4)])
	}
	return b.String()
}

func labRandom(tb testing.TB, rng *rand.Rand) *lab {
	l := newLab()
	l.zone(tb, ".", dns.ED25519, "")
	t := l.zone(tb, "t.", dns.ED25519, "")
	t.nsec3 = rng.IntN(2) == 0
	t.optOut = t.nsec3 && rng.IntN(3) == 0
	l.zones["."].nsec3 = rng.IntN(2) == 0
	for range 1 + rng.IntN(7) {
		n := labRandomName(rng, 3) + "t."
		if n == "t." || t.data[n] != nil {
			continue
		}
		switch rng.IntN(8) {
		case 0:
			t.add(tb, n+" CNAME "+labRandomName(rng, 3)+"t.")
		case 1:
			if !strings.HasPrefix(n, "*") {
				t.add(tb, n+" DNAME "+labRandomName(rng, 1)+"t.")
			}
		case 2:
			if !strings.Contains(n, "*") {
				z := l.zone(tb, n, []uint8{0, dns.ED25519}[rng.IntN(2)], n+" TXT apex")
				z.add(tb, "a."+n+" A 192.0.2.7")
				z.nsec3 = rng.IntN(2) == 0
			}
		case 3:
			t.add(tb, n+" A 192.0.2.1")
			t.add(tb, n+" TXT x")
		case 4:
			t.add(tb, n+" TXT y")
		default:
			t.add(tb, n+" A 192.0.2.2")
		}
	}
	// What lies below a cut or a DNAME belongs to somebody else.
	for n := range t.data {
		if !t.visible(n) {
			delete(t.data, n)
		}
	}
	l.sign(tb)
	for apex, z := range l.zones { // zones whose delegation vanished with it
		if z.parent != nil && !z.parent.visible(apex) {
			delete(l.zones, apex)
		}
	}
	return l
}

// String shows the zones, for the report of a failure.
func (l *lab) String() string {
	var b strings.Builder
	for apex, z := range l.zones {
		fmt.Fprintf(&b, "zone %s nsec3=%v optout=%v signed=%v\n", apex, z.nsec3, z.optOut, z.keys != nil)
		for _, sets := range z.data {
			for _, set := range sets {
				for _, rr := range set {
					fmt.Fprintln(&b, "  ", rr)
				}
			}
		}
	}
	return b.String()
}
