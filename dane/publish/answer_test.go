package publish_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// answerWorld is a root, ca and iotregistry.ca with one name of every kind,
// and a plain zone without keys.
func answerWorld(t testing.TB) []*publish.Zone {
	iot := newZone(t, "iotregistry.ca.", keys13(t), oddRecords...)
	_, err := iot.Publish(t.Context(), publish.ChangeSet{Add: append(parse(t,
		`chain.iotregistry.ca. 60 CNAME alias.iotregistry.ca.`,
		`away.iotregistry.ca. 60 CNAME www.example.com.`,
		`across.iotregistry.ca. 60 CNAME host.plain.ca.`,
		`dead.iotregistry.ca. 60 CNAME nothing.iotregistry.ca.`,
		`loop.iotregistry.ca. 60 CNAME loop.iotregistry.ca.`,
		`ping.iotregistry.ca. 60 CNAME pong.iotregistry.ca.`,
		`pong.iotregistry.ca. 60 CNAME ping.iotregistry.ca.`,
		`*.walias.iotregistry.ca. 60 CNAME mail.iotregistry.ca.`,
		`child.wild.iotregistry.ca. 60 A 192.0.2.9`,
	), certRR(1), certRR(2))})
	require.NoError(t, err)
	plain := newZone(t, "plain.ca.", nil, `host.plain.ca. 60 A 192.0.2.7`)
	ca := newZone(t, "ca.", keys13(t))
	root := newZone(t, ".", keys13(t))
	delegate(t, root, ca)
	delegate(t, ca, iot)
	delegate(t, ca, plain)
	return []*publish.Zone{root, ca, iot, plain}
}

func delegate(t testing.TB, parent, child *publish.Zone) {
	t.Helper()
	rrs, err := child.Delegation()
	require.NoError(t, err)
	_, err = parent.Publish(t.Context(), publish.ChangeSet{Add: rrs})
	require.NoError(t, err)
}

type kind int

const (
	positive kind = iota
	nodata
	nxdomain
	referral
	refused
	unsigned // an answer from a zone without keys
)

var answers = []struct {
	rule   string
	name   string
	qtype  uint16
	kind   kind
	answer string // types in the answer section, RRSIGs apart
	target string // name that is denied, if not the one asked for
}{
	{"device CERT", deviceName(1), dns.TypeCERT, positive, "CERT", ""},
	{"owner in upper case", strings.ToUpper(deviceName(1)), dns.TypeCERT, positive, "CERT", ""},
	{"SOA at the origin", "iotregistry.ca.", dns.TypeSOA, positive, "SOA", ""},
	{"NS at the origin", "iotregistry.ca.", dns.TypeNS, positive, "NS", ""},
	{"DNSKEY at the origin", "iotregistry.ca.", dns.TypeDNSKEY, positive, "DNSKEY DNSKEY", ""},
	{"DNSKEY of the root", ".", dns.TypeDNSKEY, positive, "DNSKEY DNSKEY", ""},
	{"NSEC asked for", "mail.iotregistry.ca.", dns.TypeNSEC, positive, "NSEC", ""},
	{"unknown type", "private.iotregistry.ca.", 65280, positive, "TYPE65280", ""},
	{"DS comes from the parent", "iotregistry.ca.", dns.TypeDS, positive, "DS", ""},
	{"DS of a top-level domain", "ca.", dns.TypeDS, positive, "DS", ""},
	{"DS of the root", ".", dns.TypeDS, nodata, "", ""},
	{"DS of an unsigned zone", "plain.ca.", dns.TypeDS, nodata, "", ""},
	{"DS at a signed cut", "secure.iotregistry.ca.", dns.TypeDS, positive, "DS", ""},
	{"DS at an unsigned cut", "insecure.iotregistry.ca.", dns.TypeDS, nodata, "", ""},
	{"DS at a name without cut", "mail.iotregistry.ca.", dns.TypeDS, nodata, "", ""},
	{"type absent", deviceName(1), dns.TypeTLSA, nodata, "", ""},
	{"type absent at the origin", "iotregistry.ca.", dns.TypeTLSA, nodata, "", ""},
	{"empty non-terminal of a device", strings.SplitN(deviceName(1), ".", 2)[1], dns.TypeCERT, nodata, "", ""},
	{"empty non-terminal, two deep", "c.iotregistry.ca.", dns.TypeTXT, nodata, "", ""},
	{"empty non-terminal above a wildcard", "walias.iotregistry.ca.", dns.TypeA, nodata, "", ""},
	{"no such name", "nothing.iotregistry.ca.", dns.TypeA, nxdomain, "", ""},
	{"no such device", "99." + strings.SplitN(deviceName(1), ".", 2)[1], dns.TypeCERT, nxdomain, "", ""},
	{"before the first name", "!.iotregistry.ca.", dns.TypeA, nxdomain, "", ""},
	{"after the last name", "zzzz.iotregistry.ca.", dns.TypeA, nxdomain, "", ""},
	{"after glue", "insecurf.iotregistry.ca.", dns.TypeA, nxdomain, "", ""},
	{"below an existing name", "x.y.mail.iotregistry.ca.", dns.TypeA, nxdomain, "", ""},
	{"no such top-level domain", "com.", dns.TypeA, nxdomain, "", ""},
	{"wildcard", "any.wild.iotregistry.ca.", dns.TypeTXT, positive, "TXT", ""},
	{"wildcard, two labels", "one.two.wild.iotregistry.ca.", dns.TypeTXT, positive, "TXT", ""},
	{"the wildcard itself", "*.wild.iotregistry.ca.", dns.TypeTXT, positive, "TXT", ""},
	{"wildcard without the type", "any.wild.iotregistry.ca.", dns.TypeA, nodata, "", ""},
	{"name beside a wildcard", "child.wild.iotregistry.ca.", dns.TypeTXT, nodata, "", ""},
	{"name below one beside a wildcard", "x.child.wild.iotregistry.ca.", dns.TypeTXT, nxdomain, "", ""},
	{"wildcard CNAME", "any.walias.iotregistry.ca.", dns.TypeA, positive, "CNAME A", ""},
	{"CNAME", "alias.iotregistry.ca.", dns.TypeA, positive, "CNAME A", ""},
	{"CNAME of CNAME", "chain.iotregistry.ca.", dns.TypeAAAA, positive, "CNAME CNAME AAAA", ""},
	{"CNAME asked for", "alias.iotregistry.ca.", dns.TypeCNAME, positive, "CNAME", ""},
	{"CNAME to a name without the type", "alias.iotregistry.ca.", dns.TypeTLSA, nodata, "CNAME", "mail.iotregistry.ca."},
	{"CNAME to nothing", "dead.iotregistry.ca.", dns.TypeA, nxdomain, "CNAME", "nothing.iotregistry.ca."},
	{"CNAME to nothing in another zone", "away.iotregistry.ca.", dns.TypeA, nxdomain, "CNAME", "www.example.com."},
	{"CNAME to itself", "loop.iotregistry.ca.", dns.TypeA, positive, "CNAME", ""},
	{"CNAMEs in a circle", "ping.iotregistry.ca.", dns.TypeA, positive, "CNAME CNAME", ""},
	{"DNAME asked for", "moved.iotregistry.ca.", dns.TypeDNAME, positive, "DNAME", ""},
	{"below a DNAME", "child.moved.iotregistry.ca.", dns.TypeA, positive, "DNAME CNAME A", ""},
	{"below a DNAME, then a wildcard", "x.moved.iotregistry.ca.", dns.TypeTXT, positive, "DNAME CNAME TXT", ""},
	{"at a signed cut", "secure.iotregistry.ca.", dns.TypeA, referral, "", ""},
	{"below a signed cut", "a.secure.iotregistry.ca.", dns.TypeCERT, referral, "", ""},
	{"glue", "ns.secure.iotregistry.ca.", dns.TypeA, referral, "", ""},
	{"below an unsigned cut", "a.insecure.iotregistry.ca.", dns.TypeA, referral, "", ""},
	{"DS below a cut", "a.insecure.iotregistry.ca.", dns.TypeDS, referral, "", ""},
	{"unsigned zone", "host.plain.ca.", dns.TypeA, unsigned, "A", ""},
	{"unsigned zone, no such name", "x.plain.ca.", dns.TypeA, unsigned, "", ""},
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	zones := answerWorld(t)
	a := publish.NewAuthority(zones...)
	for _, c := range answers {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			q := new(dns.Msg).SetQuestion(c.name, c.qtype).SetEdns0(1232, true)
			q.CheckingDisabled = true
			m, err := a.Exchange(t.Context(), q)
			require.NoError(t, err)
			require.Equal(t, q.Id, m.Id)
			require.Equal(t, q.Question, m.Question)
			require.True(t, m.Response && m.RecursionDesired && m.CheckingDisabled && !m.RecursionAvailable && !m.AuthenticatedData)
			require.NotNil(t, m.IsEdns0())
			require.True(t, m.IsEdns0().Do())
			require.Equal(t, c.kind != referral, m.Authoritative)
			require.Equal(t, c.answer, types(m.Answer))
			judge(t, zones, m, c.kind, c.target)
		})
	}
}

// judge checks an answer by its kind.
func judge(t *testing.T, zones []*publish.Zone, m *dns.Msg, k kind, target string) {
	t.Helper()
	name, qtype := m.Question[0].Name, m.Question[0].Qtype
	if target == "" {
		target = name
	}
	proof := nsecs(m.Ns)
	for _, n := range proof {
		require.NotRegexp(t, `\.(in)?secure\.iotregistry\.ca\.$`, n.Hdr.Name, "NSEC at glue")
	}
	switch k {
	case unsigned:
		require.Empty(t, proof)
		verifySets(t, append(m.Answer, m.Ns...), epoch, zones, ids(append(m.Answer, m.Ns...))...)
		return
	case referral:
		require.Equal(t, dns.RcodeSuccess, m.Rcode)
		cut := m.Ns[0].Header().Name
		verifySets(t, m.Ns, epoch, zones, cut+" NS")
		require.True(t, dns.IsSubDomain(cut, name))
		if len(proof) > 0 {
			requireNODATA(t, proof, cut, dns.TypeDS)
			require.Equal(t, []uint16{dns.TypeNS, dns.TypeRRSIG, dns.TypeNSEC}, proof[0].TypeBitMap)
		} else {
			require.Equal(t, "NS DS", types(m.Ns))
		}
		require.NotEmpty(t, m.Extra[:len(m.Extra)-1], "glue")
		return
	}
	bare := []string{}
	if strings.HasPrefix(types(m.Answer), "DNAME CNAME") {
		bare = append(bare, strings.ToLower(name)+" CNAME")
	}
	for _, owner := range verifySets(t, m.Answer, epoch, zones, bare...) {
		require.True(t, slices.ContainsFunc(proof, func(n *dns.NSEC) bool { return covers(n, owner) }), "nothing proves that %s is not closer", owner)
	}
	require.Empty(t, verifySets(t, m.Ns, epoch, zones), "denial out of a wildcard")
	switch k {
	case nodata:
		require.Equal(t, dns.RcodeSuccess, m.Rcode)
		require.Contains(t, types(m.Ns), "SOA")
		requireNODATA(t, proof, target, qtype)
	case nxdomain:
		require.Equal(t, dns.RcodeNameError, m.Rcode)
		require.Contains(t, types(m.Ns), "SOA")
		requireNXDOMAIN(t, proof, target)
	case positive:
		require.Equal(t, dns.RcodeSuccess, m.Rcode)
	}
}

// types lists the types of a section, RRSIGs apart.
func types(rrs []dns.RR) string {
	var all []string
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeRRSIG {
			all = append(all, dns.Type(rr.Header().Rrtype).String())
		}
	}
	return strings.Join(all, " ")
}

func ids(rrs []dns.RR) []string {
	sets, _ := rrsets(rrs)
	var all []string
	for id := range sets {
		all = append(all, id)
	}
	return all
}

// TestDenialsFollowChanges checks that a denial that was made once is not
// given again when it has ceased to be true.
func TestDenialsFollowChanges(t *testing.T) {
	t.Parallel()
	z := newZone(t, "ca.", keys13(t), "b.ca. A 192.0.2.1", "y.ca. A 192.0.2.1")
	zones := []*publish.Zone{z}
	a := publish.NewAuthority(z)
	deny := func(name string, qtype uint16, k kind) {
		t.Helper()
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true))
		require.NoError(t, err)
		judge(t, zones, m, k, "")
		for _, n := range nsecs(m.Ns) {
			for name := range z.Names() {
				require.False(t, covers(n, name), "%v denies %s", n, name)
			}
		}
	}
	change := func(c publish.ChangeSet) {
		t.Helper()
		_, err := z.Publish(t.Context(), c)
		require.NoError(t, err)
	}
	deny("c.ca.", dns.TypeA, nxdomain)
	deny("b.ca.", dns.TypeTXT, nodata)
	change(publish.ChangeSet{Add: parse(t, "m.ca. A 192.0.2.1")})
	deny("c.ca.", dns.TypeA, nxdomain)
	deny("n.ca.", dns.TypeA, nxdomain)
	change(publish.ChangeSet{Add: parse(t, "b.ca. TXT x")})
	deny("b.ca.", dns.TypeTLSA, nodata)
	m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion("b.ca.", dns.TypeNSEC).SetEdns0(1232, true))
	require.NoError(t, err)
	require.Equal(t, []uint16{dns.TypeA, dns.TypeTXT, dns.TypeRRSIG, dns.TypeNSEC}, nsecs(m.Answer)[0].TypeBitMap)
	change(publish.ChangeSet{RemoveNames: []string{"m.ca.", "y.ca."}})
	deny("m.ca.", dns.TypeA, nxdomain)
	deny("z.ca.", dns.TypeA, nxdomain)
}

// TestAnswersWithoutDO checks that clients who do not ask get no DNSSEC
// records.
func TestAnswersWithoutDO(t *testing.T) {
	t.Parallel()
	a := publish.NewAuthority(answerWorld(t)...)
	for _, c := range answers {
		if c.qtype == dns.TypeNSEC {
			continue
		}
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion(c.name, c.qtype))
		require.NoError(t, err)
		require.Nil(t, m.IsEdns0())
		for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
			require.NotContains(t, []uint16{dns.TypeRRSIG, dns.TypeNSEC}, rr.Header().Rrtype, c.rule)
		}
		require.Equal(t, c.answer, types(m.Answer), c.rule)
	}
}

// TestMetaQueries: ANY and RRSIG get one RRset, or its signatures (RFC 8482).
func TestMetaQueries(t *testing.T) {
	t.Parallel()
	zones := answerWorld(t)
	a := publish.NewAuthority(zones...)
	for _, c := range []struct {
		name   string
		qtype  uint16
		answer string
		sigs   int
	}{
		{"mail.iotregistry.ca.", dns.TypeANY, "A", 1},
		{"alias.iotregistry.ca.", dns.TypeANY, "CNAME", 1},
		{"mail.iotregistry.ca.", dns.TypeRRSIG, "", 1},
		{"host.plain.ca.", dns.TypeANY, "A", 0},
		{"host.plain.ca.", dns.TypeRRSIG, "", 0},
	} {
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion(c.name, c.qtype).SetEdns0(1232, true))
		require.NoError(t, err)
		require.Equal(t, c.answer, types(m.Answer))
		_, sigs := rrsets(m.Answer)
		require.Len(t, sigs, c.sigs)
	}
}

// TestDNAMEOverflow: a name that grows too long is YXDOMAIN, with the DNAME
// that says so (RFC 6672 s3.1).
func TestDNAMEOverflow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(strings.Repeat("x", 60)+".", 3)
	z := newZone(t, "ca.", keys13(t), "d.ca. DNAME "+long+"ca.")
	m, err := publish.NewAuthority(z).Exchange(t.Context(), new(dns.Msg).SetQuestion(long+"d.ca.", dns.TypeA).SetEdns0(1232, true))
	require.NoError(t, err)
	require.Equal(t, dns.RcodeYXDomain, m.Rcode)
	require.Equal(t, "DNAME", types(m.Answer))
	verifySets(t, m.Answer, epoch, []*publish.Zone{z})
}

// TestGlueIsLeftOutWhenFull: glue that does not fit makes no truncation.
func TestGlueIsLeftOutWhenFull(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := range 30 {
		lines = append(lines, fmt.Sprintf("sub.ca. NS ns%d.sub.ca.", i), fmt.Sprintf("ns%d.sub.ca. A 192.0.2.1", i))
	}
	a := publish.NewAuthority(newZone(t, "ca.", nil, lines...))
	q, err := new(dns.Msg).SetQuestion("x.sub.ca.", dns.TypeA).SetEdns0(1232, true).Pack()
	require.NoError(t, err)
	var m dns.Msg
	require.NoError(t, m.Unpack(a.Respond(nil, q, true)))
	require.False(t, m.Truncated)
	require.Len(t, m.Ns, 30)
	require.NotEmpty(t, m.Extra)
	require.Less(t, len(m.Extra), 31)
}

// TestQueryWithOtherRecords: records behind the question are passed over, but
// must be whole.
func TestQueryWithOtherRecords(t *testing.T) {
	t.Parallel()
	a := publish.NewAuthority(answerWorld(t)...)
	q := new(dns.Msg).SetQuestion("iotregistry.ca.", dns.TypeSOA)
	q.Compress = true
	q.Ns = parse(t, "iotregistry.ca. SOA a. b. 1 2 3 4 5")
	q.Extra = parse(t, "iotregistry.ca. A 192.0.2.1")
	wire, err := q.SetEdns0(1232, true).Pack()
	require.NoError(t, err)
	for cut := range len(wire) {
		out := a.Respond(nil, wire[:cut], true)
		if cut < 12 {
			require.Nil(t, out)
			continue
		}
		require.EqualValues(t, dns.RcodeFormatError, out[3]&0xf)
	}
	require.EqualValues(t, dns.RcodeFormatError, a.Respond(nil, append(wire, 0), true)[3]&0xf)
	var m dns.Msg
	require.NoError(t, m.Unpack(a.Respond(nil, wire, true)))
	require.Equal(t, "SOA", types(m.Answer))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	zones := answerWorld(t)
	a := publish.NewAuthority(zones[1:]...) // without the root
	for _, c := range []struct {
		rule  string
		rcode int
		edit  func(*dns.Msg)
	}{
		{"outside all zones", dns.RcodeRefused, func(m *dns.Msg) { m.Question[0].Name = "example.com." }},
		{"evil suffix", dns.RcodeRefused, func(m *dns.Msg) { m.Question[0].Name = "eviliotregistry.cb." }},
		{"zone transfer", dns.RcodeRefused, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }},
		{"class CH", dns.RcodeRefused, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }},
		{"MAILB", dns.RcodeNotImplemented, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMAILB }},
		{"OPT as type", dns.RcodeFormatError, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeOPT }},
		{"no question", dns.RcodeFormatError, func(m *dns.Msg) { m.Question = nil }},
		{"two questions", dns.RcodeFormatError, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }},
		{"update", dns.RcodeNotImplemented, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }},
		{"notify", dns.RcodeNotImplemented, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }},
		{"EDNS version 1", dns.RcodeBadVers, func(m *dns.Msg) { m.SetEdns0(1232, true).IsEdns0().SetVersion(1) }},
		{"two OPT records", dns.RcodeFormatError, func(m *dns.Msg) { m.SetEdns0(1232, true).SetEdns0(1232, true) }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			q := new(dns.Msg).SetQuestion("iotregistry.ca.", dns.TypeSOA)
			c.edit(q)
			m, err := a.Exchange(t.Context(), q)
			require.NoError(t, err)
			require.Equal(t, c.rcode, m.Rcode)
			require.Empty(t, m.Answer)
			require.Empty(t, m.Ns)
			require.False(t, m.Authoritative)
		})
	}
	t.Run("an answer is not answered", func(t *testing.T) {
		q := new(dns.Msg).SetQuestion("iotregistry.ca.", dns.TypeSOA)
		q.Response = true
		_, err := a.Exchange(t.Context(), q)
		require.Error(t, err)
	})
	t.Run("context ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := a.Exchange(ctx, new(dns.Msg).SetQuestion("ca.", dns.TypeSOA))
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("no zones", func(t *testing.T) {
		m, err := new(publish.Authority).Exchange(t.Context(), new(dns.Msg).SetQuestion("ca.", dns.TypeSOA))
		require.NoError(t, err)
		require.Equal(t, dns.RcodeRefused, m.Rcode)
	})
	t.Run("CNAME out of all zones", func(t *testing.T) {
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion("away.iotregistry.ca.", dns.TypeA))
		require.NoError(t, err)
		require.Equal(t, dns.RcodeSuccess, m.Rcode)
		require.Equal(t, "CNAME", types(m.Answer))
		require.Empty(t, m.Ns)
	})
	t.Run("DS of the topmost zone is denied by itself", func(t *testing.T) {
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion("ca.", dns.TypeDS).SetEdns0(1232, true))
		require.NoError(t, err)
		judge(t, zones, m, nodata, "")
	})
}
