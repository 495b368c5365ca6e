package publish_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

var _ publish.Publisher = (*publish.Zone)(nil)

func text(t testing.TB, z *publish.Zone) string {
	t.Helper()
	var b bytes.Buffer
	_, err := z.WriteTo(&b)
	require.NoError(t, err)
	return b.String()
}

// records returns a zone's text without what it makes itself.
func records(t testing.TB, z *publish.Zone) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(text(t, z)) {
		rr, err := dns.NewRR(line)
		require.NoError(t, err)
		switch rr.Header().Rrtype {
		case dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY, dns.TypeRRSIG, dns.TypeNSEC:
		default:
			all = append(all, strings.ReplaceAll(strings.TrimSpace(line), "\t", " "))
		}
	}
	return all
}

func TestPublishChangeSets(t *testing.T) {
	t.Parallel()
	a, b := "a.iotregistry.ca. 60 IN A 192.0.2.1", "a.iotregistry.ca. 60 IN A 192.0.2.2"
	ab := []string{a, b}
	for _, c := range []struct {
		rule   string
		before []string
		add    []string
		remove []string
		names  []string
		after  []string
		serial uint32 // steps
	}{
		{rule: "nothing", before: ab, after: ab},
		{rule: "add", before: []string{a}, add: []string{b}, after: ab, serial: 1},
		{rule: "add what is there", before: ab, add: []string{b}, after: ab},
		{rule: "add twice", add: []string{b, a, b}, after: ab, serial: 1},
		{rule: "owner and target in other case", before: []string{"m.iotregistry.ca. 60 IN MX 1 a.ca."},
			add: []string{"M.IOTregistry.ca. 60 IN MX 1 A.CA."}, after: []string{"m.iotregistry.ca. 60 IN MX 1 a.ca."}},
		{rule: "remove", before: ab, remove: []string{a}, after: []string{b}, serial: 1},
		{rule: "remove compares no TTL", before: ab, remove: []string{"a.iotregistry.ca. 9 IN A 192.0.2.1"}, after: []string{b}, serial: 1},
		{rule: "remove in class NONE", before: ab, remove: []string{"a.iotregistry.ca. 0 NONE A 192.0.2.1"}, after: []string{b}, serial: 1},
		{rule: "remove what is not there", before: []string{a}, remove: []string{b, "x.iotregistry.ca. A 192.0.2.1"}, after: []string{a}},
		{rule: "remove the last", before: []string{a}, remove: []string{a}, serial: 1},
		{rule: "remove and add the same", before: ab, remove: []string{a}, add: []string{a}, after: ab},
		{rule: "remove a name", before: ab, names: []string{"A.iotregistry.ca"}, serial: 1},
		{rule: "remove a name that is not there", before: ab, names: []string{"b.iotregistry.ca."}, after: ab},
		{rule: "replace a name", before: ab, names: []string{"a.iotregistry.ca."}, add: []string{b}, after: []string{b}, serial: 1},
		{rule: "replace a name by the same", before: ab, names: []string{"a.iotregistry.ca."}, add: ab, after: ab},
		{rule: "clear the origin", before: []string{"iotregistry.ca. 60 IN TXT \"x\"", a}, names: []string{"iotregistry.ca."}, after: []string{a}, serial: 1},
		{rule: "new TTL for the set", before: ab, add: []string{"a.iotregistry.ca. 99 IN A 192.0.2.2"},
			after: []string{"a.iotregistry.ca. 99 IN A 192.0.2.1", "a.iotregistry.ca. 99 IN A 192.0.2.2"}, serial: 1},
		{rule: "CNAME in place of addresses", before: ab, remove: ab, add: []string{"a.iotregistry.ca. 60 IN CNAME b.ca."},
			after: []string{"a.iotregistry.ca. 60 IN CNAME b.ca."}, serial: 1},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			z := newZone(t, "iotregistry.ca.", keys15(), c.before...)
			serial, was := z.Serial(), text(t, z)
			set := publish.ChangeSet{Add: parse(t, c.add...), Remove: parse(t, c.remove...), RemoveNames: c.names}
			for range 2 { // the second time must change nothing
				receipt, err := z.Publish(t.Context(), set)
				require.NoError(t, err)
				require.Equal(t, serial+c.serial, receipt.Serial)
				require.Equal(t, receipt.Serial, z.Serial())
				require.Equal(t, c.after, records(t, z))
			}
			if c.serial == 0 {
				require.Equal(t, was, text(t, z))
			}
		})
	}
}

func TestPublishRefusals(t *testing.T) {
	t.Parallel()
	long := &dns.TXT{Hdr: dns.RR_Header{Name: "a.iotregistry.ca.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}}
	for range 250 {
		long.Txt = append(long.Txt, strings.Repeat("x", 255))
	}
	var many []dns.RR
	for i := range 200 {
		rr := certRR(i)
		rr.Header().Name = "a.iotregistry.ca."
		many = append(many, rr)
	}
	for _, c := range []struct {
		rule string
		set  publish.ChangeSet
		want error
	}{
		{"other zone", publish.ChangeSet{Add: parse(t, "a.example. A 192.0.2.1")}, publish.ErrOutOfZone},
		{"string suffix only", publish.ChangeSet{Add: parse(t, "a.eviliotregistry.ca. A 192.0.2.1")}, publish.ErrOutOfZone},
		{"remove in another zone", publish.ChangeSet{Remove: parse(t, "a.example. A 192.0.2.1")}, publish.ErrOutOfZone},
		{"name in another zone", publish.ChangeSet{RemoveNames: []string{"ca."}}, publish.ErrOutOfZone},
		{"no name", publish.ChangeSet{RemoveNames: []string{strings.Repeat("x", 64) + ".iotregistry.ca."}}, publish.ErrMalformed},
		{"nil", publish.ChangeSet{Add: []dns.RR{nil}}, publish.ErrMalformed},
		{"SOA", publish.ChangeSet{Add: parse(t, "iotregistry.ca. SOA a. b. 1 2 3 4 5")}, publish.ErrManaged},
		{"DNSKEY", publish.ChangeSet{Add: parse(t, "iotregistry.ca. DNSKEY 256 3 13 AAAA")}, publish.ErrManaged},
		{"NSEC", publish.ChangeSet{Remove: parse(t, "iotregistry.ca. NSEC a. A")}, publish.ErrManaged},
		{"OPT", publish.ChangeSet{Add: []dns.RR{&dns.OPT{Hdr: dns.RR_Header{Name: "a.iotregistry.ca.", Rrtype: dns.TypeOPT}}}}, publish.ErrMalformed},
		{"class CH", publish.ChangeSet{Add: parse(t, "a.iotregistry.ca. CH TXT x")}, publish.ErrMalformed},
		{"bad base64", publish.ChangeSet{Add: []dns.RR{&dns.CERT{Hdr: dns.RR_Header{Name: "a.iotregistry.ca.", Rrtype: dns.TypeCERT, Class: 1}, Certificate: "!"}}}, publish.ErrMalformed},
		{"cut-off RDATA in unknown form", publish.ChangeSet{Add: []dns.RR{&dns.RFC3597{Hdr: dns.RR_Header{Name: "a.iotregistry.ca.", Rrtype: dns.TypeSRV, Class: 1}, Rdata: "0001"}}}, publish.ErrMalformed},
		{"record too long", publish.ChangeSet{Add: []dns.RR{long}}, publish.ErrMalformed},
		{"set too long", publish.ChangeSet{Add: many}, publish.ErrMalformed},
		{"CNAME beside data", publish.ChangeSet{Add: parse(t, "a.iotregistry.ca. CNAME b.ca.", "a.iotregistry.ca. A 192.0.2.1")}, publish.ErrConflict},
		{"data beside CNAME", publish.ChangeSet{Add: parse(t, "alias.iotregistry.ca. A 192.0.2.1")}, publish.ErrConflict},
		{"two CNAMEs", publish.ChangeSet{Add: parse(t, "alias.iotregistry.ca. CNAME other.ca.")}, publish.ErrConflict},
		{"CNAME at the origin", publish.ChangeSet{Add: parse(t, "iotregistry.ca. CNAME other.ca.")}, publish.ErrConflict},
		{"two DNAMEs", publish.ChangeSet{Add: parse(t, "moved.iotregistry.ca. DNAME other.ca.")}, publish.ErrConflict},
		{"below a DNAME", publish.ChangeSet{Add: parse(t, "x.moved.iotregistry.ca. A 192.0.2.1")}, publish.ErrConflict},
		{"DNAME above names", publish.ChangeSet{Add: parse(t, "c.iotregistry.ca. DNAME other.ca.")}, publish.ErrConflict},
		{"DS without NS", publish.ChangeSet{Add: parse(t, "a.iotregistry.ca. DS 1 13 2 00")}, publish.ErrConflict},
		{"NS taken from under a DS", publish.ChangeSet{Remove: parse(t, "secure.iotregistry.ca. NS ns.secure.iotregistry.ca.")}, publish.ErrConflict},
		{"DS at the origin", publish.ChangeSet{Add: parse(t, "iotregistry.ca. DS 1 13 2 00")}, publish.ErrConflict},
		{"NS at a wildcard", publish.ChangeSet{Add: parse(t, "*.iotregistry.ca. NS a.ca.")}, publish.ErrConflict},
		{"no NS left at the origin", publish.ChangeSet{Remove: parse(t, "iotregistry.ca. NS ns.iotregistry.ca.")}, publish.ErrConflict},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			z := newZone(t, "iotregistry.ca.", keys15(), oddRecords...)
			was, names := text(t, z), z.Len()
			c.set.Add = append(parse(t, "good.iotregistry.ca. A 192.0.2.1"), c.set.Add...)
			_, err := z.Publish(t.Context(), c.set)
			require.ErrorIs(t, err, c.want)
			var bad *publish.RecordError
			require.ErrorAs(t, err, &bad)
			require.NotEmpty(t, bad.Name)
			require.Contains(t, err.Error(), "publish: "+bad.Name)
			require.Equal(t, was, text(t, z), "a refused change set must change nothing")
			require.Equal(t, names, z.Len())
		})
	}
}

// brokenSigner fails when told to.
type brokenSigner struct {
	crypto.Signer
	broken *atomic.Bool
	count  *atomic.Int64
}

func (s brokenSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.count.Add(1)
	if s.broken.Load() {
		return nil, errors.New("token is gone")
	}
	return s.Signer.Sign(r, digest, opts)
}

func TestSignerFailureChangesNothing(t *testing.T) {
	t.Parallel()
	s := brokenSigner{p256(t), new(atomic.Bool), new(atomic.Int64)}
	z := newZone(t, "iotregistry.ca.", []publish.Key{{Signer: s, Flags: publish.KSK, Algorithm: 13}}, "a.iotregistry.ca. A 192.0.2.1")
	s.broken.Store(true)
	_, err := z.Publish(t.Context(), publish.ChangeSet{Add: parse(t, "b.iotregistry.ca. A 192.0.2.1")})
	require.ErrorContains(t, err, "token is gone")
	require.EqualValues(t, 2, z.Serial())
	a := publish.NewAuthority(z)
	for name, rcode := range map[string]int{"a.iotregistry.ca.": dns.RcodeSuccess, "b.iotregistry.ca.": dns.RcodeServerFailure} {
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(1232, true))
		require.NoError(t, err)
		require.Equal(t, rcode, m.Rcode, "an unsigned denial must not go out")
		require.Equal(t, rcode == dns.RcodeSuccess, len(m.Answer) > 0)
		require.Empty(t, m.Ns)
	}
	s.broken.Store(false)
	_, err = z.Publish(t.Context(), publish.ChangeSet{Add: parse(t, "b.iotregistry.ca. A 192.0.2.1")})
	require.NoError(t, err)
}

// TestRenewalFailure: while old signatures are valid, a signer that is away
// harms nobody.
func TestRenewalFailure(t *testing.T) {
	t.Parallel()
	s := brokenSigner{p256(t), new(atomic.Bool), new(atomic.Int64)}
	now := epoch
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: "ca.", Keys: []publish.Key{{Signer: s, Flags: publish.KSK, Algorithm: 13}},
		Now: func() time.Time { return now },
	})
	require.NoError(t, err)
	_, err = z.Publish(t.Context(), publish.ChangeSet{Add: parse(t, "a.ca. A 192.0.2.1")})
	require.NoError(t, err)
	s.broken.Store(true)
	a := publish.NewAuthority(z)
	for days, rcode := range map[int]int{1: dns.RcodeSuccess, 12: dns.RcodeSuccess, 15: dns.RcodeServerFailure} {
		now = epoch.AddDate(0, 0, days)
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion("a.ca.", dns.TypeA).SetEdns0(1232, true))
		require.NoError(t, err)
		require.Equal(t, rcode, m.Rcode, "after %d days", days)
	}
	_, err = z.WriteTo(io.Discard)
	require.ErrorContains(t, err, "token is gone")
}

// fullDisk fails after some octets.
type fullDisk struct{ left int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestWriteToFullDisk(t *testing.T) {
	t.Parallel()
	z := newZone(t, "iotregistry.ca.", nil)
	_, err := z.Publish(t.Context(), publish.ChangeSet{Add: certs(0, 2500)})
	require.NoError(t, err)
	whole := len(text(t, z))
	for _, left := range []int{0, 100_000, whole - 1} {
		n, err := z.WriteTo(&fullDisk{left})
		require.ErrorIs(t, err, io.ErrShortWrite)
		require.LessOrEqual(t, n, int64(left))
	}
	_, err = z.WriteTo(&fullDisk{whole})
	require.NoError(t, err)
}

func TestSerialWrapsPastZero(t *testing.T) {
	t.Parallel()
	z, err := publish.NewZone(publish.ZoneConfig{Origin: "ca.", Serial: 1<<32 - 1})
	require.NoError(t, err)
	receipt, err := z.Publish(t.Context(), publish.ChangeSet{Add: parse(t, "a.ca. A 192.0.2.1")})
	require.NoError(t, err)
	require.EqualValues(t, 1, receipt.Serial)
}

func TestPublishHonoursContext(t *testing.T) {
	t.Parallel()
	z := newZone(t, "iotregistry.ca.", keys15())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := z.Publish(ctx, publish.ChangeSet{Add: []dns.RR{certRR(1)}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, z.Len())
}

func TestNames(t *testing.T) {
	t.Parallel()
	z := newZone(t, "iotregistry.ca.", keys15(), oddRecords...)
	names := slices.Collect(z.Names())
	require.Len(t, names, z.Len())
	require.True(t, slices.IsSortedFunc(names, compareNames))
	require.Equal(t, "iotregistry.ca.", names[0])
	require.Equal(t, "iotregistry.ca.", z.Origin())
	for range z.Names() {
		break
	}
}

var update = flag.Bool("update", false, "write the golden files")

// TestWriteToGolden pins the text of a zone with fixed keys and time.
func TestWriteToGolden(t *testing.T) {
	t.Parallel()
	got := text(t, newZone(t, "iotregistry.ca.", keys15(), append(oddRecords, certRR(1).String())...))
	const file = "testdata/iotregistry.ca.zone"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// TestBigZone publishes and withdraws in many orders, and checks that the chain
// of NSEC records stays whole.
func TestBigZone(t *testing.T) {
	t.Parallel()
	z := newZone(t, "iotregistry.ca.", keys15())
	have := map[string]bool{"iotregistry.ca.": true}
	seed := uint64(1)
	for range 60 {
		var c publish.ChangeSet
		for range 100 {
			seed = seed*6364136223846793005 + 1442695040888963407
			i := int(seed>>33) % 5000
			name := deviceName(i)
			if seed>>62 == 0 || (len(have) > 2000 && have[name]) {
				c.RemoveNames = append(c.RemoveNames, name)
			} else {
				c.Add = append(c.Add, parse(t, name+" TXT x")[0])
			}
		}
		for _, name := range c.RemoveNames {
			delete(have, name)
		}
		for _, rr := range c.Add {
			have[rr.Header().Name] = true
		}
		_, err := z.Publish(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, len(have), z.Len())
	}
	names := slices.Collect(z.Names())
	require.True(t, slices.IsSortedFunc(names, compareNames))
	for _, name := range names {
		require.True(t, have[name])
	}
	require.Len(t, names, len(have))
	a := publish.NewAuthority(z)
	for i := range 5000 {
		name := deviceName(i)
		m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion(name, dns.TypeTXT).SetEdns0(1232, true))
		require.NoError(t, err)
		require.Equal(t, have[name], len(m.Answer) > 0)
		require.Equal(t, !have[name], slices.ContainsFunc(nsecs(m.Ns), func(n *dns.NSEC) bool {
			return covers(n, name) && have[n.Hdr.Name] && have[n.NextDomain]
		}))
	}
	_, err := z.Publish(t.Context(), publish.ChangeSet{RemoveNames: names})
	require.NoError(t, err)
	require.Equal(t, 1, z.Len())
}

// TestConcurrentPublishAndQuery has writers and readers at it together: every
// answer must be whole and true for some moment, every receipt counted.
func TestConcurrentPublishAndQuery(t *testing.T) {
	t.Parallel()
	z := newZone(t, "iotregistry.ca.", keys13(t))
	a := publish.NewAuthority(z)
	const writers, rounds = 4, 15
	var serials sync.Map
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			for i := range rounds {
				c := publish.ChangeSet{Add: []dns.RR{certRR(w*1000 + i)}}
				if i > 0 {
					c.RemoveNames = []string{deviceName(w*1000 + i - 1)}
				}
				receipt, err := z.Publish(t.Context(), c)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := serials.LoadOrStore(receipt.Serial, true); twice {
					t.Errorf("serial %d given twice", receipt.Serial)
				}
			}
		})
	}
	for r := range 3 {
		reading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				name := deviceName((i+r)%writers*1000 + i%rounds)
				m, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion(name, dns.TypeCERT).SetEdns0(1232, true))
				if err != nil {
					t.Error(err)
					return
				}
				checkMoment(t, z, m, name)
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	require.EqualValues(t, 1+writers*rounds, z.Serial())
	require.Equal(t, 1+writers, z.Len())
}

func checkMoment(t *testing.T, z *publish.Zone, m *dns.Msg, name string) {
	sets, sigs := rrsets(append(m.Answer, m.Ns...))
	for id, set := range sets {
		if err := sigs[id][0].Verify(z.DNSKEY()[1], set); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	proof := nsecs(m.Ns)
	denied := slices.ContainsFunc(proof, func(n *dns.NSEC) bool { return covers(n, name) })
	if found := len(m.Answer) > 0; found == denied {
		t.Errorf("%s: found %v, denied %v: %v", name, found, denied, m)
	}
}
