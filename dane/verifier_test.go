package dane_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// verifierOf returns a fresh verifier, with nothing cached, of a world.
func verifierOf(t testing.TB, w *danetest.World) *dane.Verifier {
	t.Helper()
	anchors, err := dnssec.ParseAnchors(strings.NewReader(w.Anchor()))
	require.NoError(t, err)
	return &dane.Verifier{Resolver: &dnssec.Resolver{Exchanger: w, Anchors: anchors, Now: w.Now}, Now: w.Now}
}

// publishTLSA publishes p at the service name of h, port 443.
func publishTLSA(t testing.TB, w *danetest.World, h string, usage, selector, matching uint8, p pair) {
	t.Helper()
	name, err := dane.ServiceName(h, 443)
	require.NoError(t, err)
	rr, err := dane.NewTLSA(name, 300, usage, selector, matching, p.cert)
	require.NoError(t, err)
	w.AddRR(rr)
}

func TestDevice(t *testing.T) {
	t.Parallel()
	const dance = "1000000000000001._device.iotregistry.ca"
	ca := mint(t, pair{}, authority("IoT Registry CA"))
	leaf := mint(t, ca, names(device, dance))
	renewed := mint(t, ca, names(device))
	other := mint(t, ca, names("12.1000000000000001.iotregistry.ca"))
	nameless := mint(t, ca, names("x.example"))
	cn := mint(t, ca, subject(strings.ToUpper(device)))
	old := mint(t, ca, names(device), expired)
	tlsa := func(name string, u, s, m uint8, p pair) dns.RR {
		rr, err := dane.NewTLSA(name, 300, u, s, m, p.cert)
		require.NoError(t, err)
		return rr
	}
	digest := func(p pair) dns.RR { s := sha256.Sum256(p.cert.Raw); return certOf(dns.CertPKIX, s[:]) }
	fault := func(typ uint16, e danetest.Effect) func(*danetest.World) {
		return func(w *danetest.World) { w.Inject(danetest.Fault{Type: typ, Effect: e}) }
	}
	// below spoils everything at and below the device, also the DS answers, which
	// can prove a denial as well.
	below := func(e danetest.Effect) func(*danetest.World) {
		return func(w *danetest.World) {
			w.Inject(danetest.Fault{Under: "1000000000000001.iotregistry.ca.", Effect: e})
		}
	}
	type records = []dns.RR
	tests := []struct {
		name    string
		ask     string // device if empty
		leaf    pair
		records records
		before  func(*danetest.World)
		naming  dane.Naming
		want    error
		queries []uint16 // types asked for at the device's name; nil: not checked
	}{
		{name: "CERT", leaf: leaf, records: records{certFor(t, leaf)}, queries: []uint16{dns.TypeCERT}},
		{name: "CERT, name in upper case with final dot", ask: strings.ToUpper(device) + ".", leaf: leaf, records: records{certFor(t, leaf)}},
		{name: "old and new CERT", leaf: leaf, records: records{certFor(t, renewed), certFor(t, leaf)}},
		{name: "TLSA 3 1 1 instead", leaf: leaf, records: records{tlsa(device, 3, 1, 1, leaf)}, queries: []uint16{dns.TypeCERT, dns.TypeTLSA}},
		{name: "TLSA beside another CERT", leaf: leaf, records: records{certFor(t, renewed), tlsa(device, 3, 1, 1, leaf)}},
		{name: "TLSA usage 3 needs no name", leaf: nameless, records: records{tlsa(device, 3, 1, 1, nameless)}},
		{name: "TLSA 2 0 0: anchor in the DNS", leaf: leaf, records: records{tlsa(device, 2, 0, 0, ca)}},
		{name: "TLSA 2 0 0, wrong name", leaf: nameless, records: records{tlsa(device, 2, 0, 0, ca)}, want: dane.ErrWrongName},
		{name: "TLSA 2 0 0, name in subject", leaf: cn, records: records{tlsa(device, 2, 0, 0, ca)}, want: dane.ErrWrongName},
		{name: "TLSA 2 0 0, name in subject, prototype", leaf: cn, records: records{tlsa(device, 2, 0, 0, ca)}, naming: dane.Prototype2020},
		{name: "_device name", ask: dance, leaf: leaf, records: records{tlsa(dance, 3, 1, 1, leaf)}, queries: []uint16{dns.TypeTLSA}},
		{name: "_device name under a wildcard", ask: dance, leaf: leaf, records: records{tlsa("w.iotregistry.ca", 2, 0, 0, ca)},
			before: func(w *danetest.World) {
				rr := tlsa("w.iotregistry.ca", 2, 0, 0, ca)
				rr.Header().Name = "*._device.iotregistry.ca."
				w.AddRR(rr)
			}},

		{name: "absent: nothing at the name", leaf: leaf, want: dane.ErrAbsent, queries: []uint16{dns.TypeCERT, dns.TypeTLSA}},
		{name: "absent: another type at the name", leaf: leaf, records: records{&dns.TXT{Hdr: dns.RR_Header{Name: device + ".", Rrtype: dns.TypeTXT, Class: 1, Ttl: 60}, Txt: []string{"x"}}}, want: dane.ErrAbsent},
		{name: "absent: empty non-terminal", ask: "1000000000000001.iotregistry.ca", leaf: leaf, records: records{certFor(t, leaf)}, want: dane.ErrAbsent},
		{name: "no match", leaf: renewed, records: records{certFor(t, leaf)}, want: dane.ErrNoMatch},
		{name: "no match in either", leaf: renewed, records: records{certFor(t, leaf), tlsa(device, 3, 1, 1, leaf)}, want: dane.ErrNoMatch},
		{name: "another profile's certificate", leaf: other, records: records{certFor(t, other)}, want: dane.ErrWrongName},
		{name: "expired", leaf: old, records: records{certFor(t, old)}, want: dane.ErrExpired},
		{name: "digest in CERT", leaf: leaf, records: records{digest(leaf)}, want: dane.ErrUnusable},
		{name: "digest in CERT, prototype", leaf: leaf, records: records{digest(leaf)}, naming: dane.Prototype2020},
		{name: "name in subject", leaf: cn, records: records{certFor(t, cn)}, want: dane.ErrWrongName},
		{name: "name in subject, prototype", leaf: cn, records: records{digest(cn)}, naming: dane.Prototype2020},
		{name: "name of no enabled generation", ask: dance, leaf: leaf, naming: dane.Deck2020, want: dane.ErrInvalid, queries: []uint16{}},
		{name: "bad name", ask: "a b", leaf: leaf, want: dane.ErrInvalid, queries: []uint16{}},
		{name: "no certificate", leaf: pair{}, want: dane.ErrInvalid, queries: []uint16{}},

		{name: "flipped signature", leaf: leaf, records: records{certFor(t, leaf)}, before: fault(dns.TypeCERT, danetest.FlipSignature()), want: dane.ErrBogus},
		{name: "flipped signature on the denial", leaf: leaf, before: below(danetest.FlipSignature()), want: dane.ErrBogus},
		{name: "denial stripped of its proof", leaf: leaf, before: below(danetest.Strip(dns.TypeNSEC, dns.TypeNSEC3)), want: dane.ErrBogus},
		{name: "denial claimed for a device that exists", leaf: leaf, records: records{certFor(t, leaf)}, before: below(danetest.Swap("12.1000000000000001.iotregistry.ca")), want: dane.ErrBogus},
		{name: "CERT bogus, TLSA good: still bogus", leaf: leaf, records: records{certFor(t, leaf), tlsa(device, 3, 1, 1, leaf)}, before: fault(dns.TypeCERT, danetest.FlipSignature()), want: dane.ErrBogus},
		{name: "CERT absent, TLSA bogus", leaf: leaf, records: records{tlsa(device, 3, 1, 1, leaf)}, before: fault(dns.TypeTLSA, danetest.FlipSignature()), want: dane.ErrBogus},
		{name: "lie", leaf: leaf, records: records{certFor(t, leaf)}, before: fault(dns.TypeCERT, danetest.Lie()), want: dane.ErrBogus},
		{name: "signatures expired", leaf: leaf, records: records{certFor(t, leaf)}, before: fault(dns.TypeCERT, danetest.Expire()), want: dane.ErrBogus},
		{name: "dropped", leaf: leaf, records: records{certFor(t, leaf)}, before: fault(0, drop), want: dane.ErrIndeterminate},
		{name: "SERVFAIL", leaf: leaf, records: records{certFor(t, leaf)}, before: fault(0, servfail), want: dane.ErrIndeterminate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := danetest.NewWorld(t, danetest.Config{})
			w.AddRR(tt.records...)
			if tt.before != nil {
				tt.before(w)
			}
			v := verifierOf(t, w)
			v.Naming = tt.naming
			name := tt.ask
			if name == "" {
				name = device
			}
			m, err := v.Device(t.Context(), name, tt.leaf.cert)
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				require.Nil(t, m)
				require.Equal(t, tt.want == dane.ErrAbsent, isAbsent(err))
			} else {
				require.NoError(t, err)
				require.Equal(t, strings.ToLower(strings.TrimSuffix(name, ".")), m.Name)
				require.NotNil(t, m.Record)
				require.True(t, m.Expires.After(w.Now()), m.Expires)
			}
			if tt.queries != nil {
				asked := []uint16{}
				for _, q := range w.Queries() {
					if strings.EqualFold(q.Name, dns.Fqdn(name)) && (q.Qtype == dns.TypeCERT || q.Qtype == dns.TypeTLSA) {
						asked = append(asked, q.Qtype)
					}
				}
				require.Equal(t, tt.queries, asked)
			}
		})
	}
}

func isAbsent(err error) bool {
	e, ok := err.(*dane.Error)
	return ok && e.Kind == dane.Absent
}

var drop, servfail = danetest.Drop(), danetest.ServFail()

// TestDeviceChain: a client that sends its issuer along matches a digest of it.
func TestDeviceChain(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	ca := mint(t, pair{}, authority("IoT Registry CA"))
	leaf := mint(t, ca, names(device), usage(x509.ExtKeyUsageClientAuth))
	server := mint(t, ca, names(device), usage(x509.ExtKeyUsageServerAuth))
	wild := mint(t, ca, names("*.1000000000000001.iotregistry.ca"))
	rr, err := dane.NewTLSA(device, 300, 2, 0, 1, ca.cert)
	require.NoError(t, err)
	w.AddRR(rr)
	v := verifierOf(t, w)
	m, err := v.DeviceChain(t.Context(), device, certs(leaf, ca))
	require.NoError(t, err)
	require.Equal(t, 1, m.Depth)
	_, err = v.Device(t.Context(), device, leaf.cert)
	require.ErrorIs(t, err, dane.ErrNoMatch)
	_, err = v.DeviceChain(t.Context(), device, certs(server, ca))
	require.ErrorIs(t, err, dane.ErrNoMatch)
	_, err = v.DeviceChain(t.Context(), device, certs(wild, ca))
	require.ErrorIs(t, err, dane.ErrWrongName)
}

// TestDeviceRevoked is the life of one certificate: published, cached,
// withdrawn, provably gone.
func TestDeviceRevoked(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{TTL: 60})
	leaf := mint(t, pair{}, names(device))
	w.AddCERT(device, leaf.cert.Raw)
	v := verifierOf(t, w)
	_, err := v.Device(t.Context(), device, leaf.cert)
	require.NoError(t, err)
	w.Withdraw(device)
	w.Advance(2 * time.Minute)
	_, err = v.Device(t.Context(), device, leaf.cert)
	require.ErrorIs(t, err, dane.ErrAbsent)
}

func TestDeviceInsecure(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{Zones: []string{".", "ca."}, Unsigned: []string{"iotregistry.ca."}})
	leaf := mint(t, pair{}, names(device))
	w.AddCERT(device, leaf.cert.Raw)
	v := verifierOf(t, w)
	_, err := v.Device(t.Context(), device, leaf.cert)
	require.ErrorIs(t, err, dane.ErrInsecure)
	_, err = v.Device(t.Context(), "12.1000000000000001.iotregistry.ca", leaf.cert)
	require.ErrorIs(t, err, dane.ErrInsecure) // an unsigned NXDOMAIN revokes nothing
	_, err = v.Service(t.Context(), "iotregistry.ca", 443, certs(leaf))
	require.ErrorIs(t, err, dane.ErrInsecure)
}

func TestVerifierNeedsResolver(t *testing.T) {
	t.Parallel()
	leaf := mint(t, pair{}, names(device))
	_, err := new(dane.Verifier).Device(t.Context(), device, leaf.cert)
	require.ErrorIs(t, err, dane.ErrInvalid)
}

func TestVerifierContext(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	leaf := mint(t, pair{}, names(device))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := verifierOf(t, w).Device(ctx, device, leaf.cert)
	require.ErrorIs(t, err, dane.ErrIndeterminate)
	require.ErrorIs(t, err, context.Canceled)
	_, err = verifierOf(t, w).Service(ctx, host, 443, certs(leaf))
	require.ErrorIs(t, err, dane.ErrIndeterminate)
}

func TestDeviceIPKIX(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	leaf := mint(t, pair{}, names(device))
	w.AddRR(certOf(dns.CertIPIX, []byte("https://iotregistry.ca/11.der")))
	v := verifierOf(t, w)
	_, err := v.Device(t.Context(), device, leaf.cert)
	require.ErrorIs(t, err, dane.ErrUnusable)
	v.FetchIPKIX = func(ctx context.Context, url string) ([]byte, error) {
		return leaf.cert.Raw, ctx.Err()
	}
	_, err = v.Device(t.Context(), device, leaf.cert)
	require.NoError(t, err)
}

func TestService(t *testing.T) {
	t.Parallel()
	const alias, base = "www.parkoserv.ca", "edge.carparkserv.ca"
	ca := mint(t, pair{}, authority("ParkoServ CA"))
	leaf := mint(t, ca, names(host))
	clientOnly := mint(t, ca, names(host), usage(x509.ExtKeyUsageClientAuth))
	aliasLeaf, baseLeaf := mint(t, ca, names(alias)), mint(t, ca, names(base))
	cname := func(w *danetest.World) {
		w.Add(alias+". 300 CNAME a.parkoserv.ca.", "a.parkoserv.ca. 300 CNAME "+base+".", base+". 300 A 192.0.2.1")
	}
	tests := []struct {
		name  string
		host  string
		chain []pair
		setup func(t *testing.T, w *danetest.World)
		want  error
		owner string // of the records used
	}{
		{"3 1 1", host, []pair{leaf}, func(t *testing.T, w *danetest.World) { publishTLSA(t, w, host, 3, 1, 1, leaf) }, nil, "_443._tcp.parkoserv.ca"},
		{"with an address", "ParkoServ.CA.", []pair{leaf}, func(t *testing.T, w *danetest.World) {
			w.Add("parkoserv.ca. 300 A 192.0.2.1")
			publishTLSA(t, w, host, 3, 1, 1, leaf)
		}, nil, "_443._tcp.parkoserv.ca"},
		{"2 0 1", host, []pair{leaf, ca}, func(t *testing.T, w *danetest.World) { publishTLSA(t, w, host, 2, 0, 1, ca) }, nil, "_443._tcp.parkoserv.ca"},
		{"2 0 1 for another host", host, []pair{aliasLeaf, ca}, func(t *testing.T, w *danetest.World) { publishTLSA(t, w, host, 2, 0, 1, ca) }, dane.ErrWrongName, ""},
		{"2 0 1 for clients only", host, []pair{clientOnly, ca}, func(t *testing.T, w *danetest.World) { publishTLSA(t, w, host, 2, 0, 1, ca) }, dane.ErrNoMatch, ""},
		{"absent", host, []pair{leaf}, func(*testing.T, *danetest.World) {}, dane.ErrAbsent, ""},
		{"other port", host, []pair{leaf}, func(t *testing.T, w *danetest.World) {
			rr, err := dane.NewTLSA("_444._tcp."+host, 300, 3, 1, 1, leaf.cert)
			require.NoError(t, err)
			w.AddRR(rr)
		}, dane.ErrAbsent, ""},
		{"no match", host, []pair{aliasLeaf}, func(t *testing.T, w *danetest.World) { publishTLSA(t, w, host, 3, 1, 1, leaf) }, dane.ErrNoMatch, ""},
		{"0 0 1 without roots", host, []pair{leaf}, func(t *testing.T, w *danetest.World) { publishTLSA(t, w, host, 0, 0, 1, leaf) }, dane.ErrUnusable, ""},
		{"owner name is an alias", host, []pair{leaf}, func(t *testing.T, w *danetest.World) {
			w.Add("_443._tcp.parkoserv.ca. 300 CNAME tlsa.carparkserv.ca.")
			rr, err := dane.NewTLSA("tlsa.carparkserv.ca", 300, 3, 1, 1, leaf.cert)
			require.NoError(t, err)
			w.AddRR(rr)
		}, nil, "_443._tcp.parkoserv.ca"},

		// RFC 7671 section 7.
		{"alias: records at the end", alias, []pair{baseLeaf, ca}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, base, 2, 0, 1, ca)
		}, nil, "_443._tcp." + base},
		{"alias: the end comes first", alias, []pair{aliasLeaf}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, base, 3, 1, 1, baseLeaf)
			publishTLSA(t, w, alias, 3, 1, 1, aliasLeaf)
		}, dane.ErrNoMatch, ""},
		{"alias: certificate for the first name", alias, []pair{aliasLeaf, ca}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, base, 2, 0, 1, ca)
		}, nil, "_443._tcp." + base},
		{"alias: records at the first name only", alias, []pair{aliasLeaf}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, alias, 3, 1, 1, aliasLeaf)
		}, nil, "_443._tcp." + alias},
		{"alias: the first name's certificate only", alias, []pair{baseLeaf, ca}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, alias, 2, 0, 1, ca)
		}, dane.ErrWrongName, ""},
		{"alias: absent at both", alias, []pair{aliasLeaf}, func(_ *testing.T, w *danetest.World) { cname(w) }, dane.ErrAbsent, ""},
		{"alias: bogus at the end", alias, []pair{aliasLeaf}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, base, 3, 1, 1, baseLeaf)
			publishTLSA(t, w, alias, 3, 1, 1, aliasLeaf)
			w.Inject(danetest.Fault{Name: "_443._tcp." + base + ".", Effect: danetest.FlipSignature()})
		}, dane.ErrBogus, ""},
		{"alias: bogus at the first name does not matter", alias, []pair{baseLeaf}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, base, 3, 1, 1, baseLeaf)
			w.Inject(danetest.Fault{Name: "_443._tcp." + alias + ".", Effect: danetest.FlipSignature()})
		}, nil, "_443._tcp." + base},
		{"alias itself bogus", alias, []pair{aliasLeaf}, func(t *testing.T, w *danetest.World) {
			cname(w)
			publishTLSA(t, w, alias, 3, 1, 1, aliasLeaf)
			w.Inject(danetest.Fault{Name: alias + ".", Type: dns.TypeA, Effect: danetest.FlipSignature()})
		}, dane.ErrBogus, ""},
		{"alias into an unsigned zone: first name", alias, []pair{aliasLeaf}, func(t *testing.T, w *danetest.World) {
			w.Add(alias+". 300 CNAME x.unsigned.ca.", "x.unsigned.ca. 300 A 192.0.2.1")
			publishTLSA(t, w, "x.unsigned.ca", 3, 1, 1, baseLeaf)
			publishTLSA(t, w, alias, 3, 1, 1, aliasLeaf)
		}, nil, "_443._tcp." + alias},

		{"bogus", host, []pair{leaf}, func(t *testing.T, w *danetest.World) {
			publishTLSA(t, w, host, 3, 1, 1, leaf)
			w.Inject(danetest.Fault{Type: dns.TypeTLSA, Effect: danetest.FlipSignature()})
		}, dane.ErrBogus, ""},
		{"dropped", host, []pair{leaf}, func(t *testing.T, w *danetest.World) {
			publishTLSA(t, w, host, 3, 1, 1, leaf)
			w.Inject(danetest.Fault{Type: dns.TypeTLSA, Effect: drop})
		}, dane.ErrIndeterminate, ""},
		{"an address", "192.0.2.1", []pair{leaf}, func(*testing.T, *danetest.World) {}, dane.ErrInvalid, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := danetest.NewWorld(t, danetest.Config{Unsigned: []string{"unsigned.ca."}})
			tt.setup(t, w)
			m, err := verifierOf(t, w).Service(t.Context(), tt.host, 443, certs(tt.chain...))
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				require.Nil(t, m)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.owner, m.Name)
			require.True(t, m.Expires.After(w.Now()))
		})
	}
}

func TestServiceMapPKIX(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	leaf := mint(t, pair{}, names(host))
	publishTLSA(t, w, host, 0, 0, 1, leaf) // as on the slides
	v := verifierOf(t, w)
	v.MapPKIX = true
	_, err := v.Service(t.Context(), host, 443, certs(leaf))
	require.NoError(t, err)
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	root := mint(t, pair{}, authority("IoT Registry Root CA"))
	sub := mint(t, root, authority("IoT Registry CA"))
	leaf := mint(t, sub, names(device), usage(x509.ExtKeyUsageClientAuth))
	old := mint(t, sub, names(device), expired)
	oldSub := mint(t, root, authority("old CA"), expired)
	stranger := mint(t, pair{}, authority("IoT Registry CA"))
	strangers := mint(t, stranger, names(device))
	tests := []struct {
		name    string
		usage   [3]uint8
		publish pair
		chain   []pair
		want    error
		depth   int
	}{
		{"2 0 1 of the sub CA", [3]uint8{2, 0, 1}, sub, []pair{leaf, sub}, nil, 1},
		{"2 1 1 of the root", [3]uint8{2, 1, 1}, root, []pair{leaf, sub, root}, nil, 2},
		{"2 0 0, CA not sent", [3]uint8{2, 0, 0}, sub, []pair{leaf}, nil, 1},
		{"0 0 0 as in 2022", [3]uint8{0, 0, 0}, sub, []pair{leaf}, nil, 1},
		{"0 0 1", [3]uint8{0, 0, 1}, root, []pair{leaf, sub, root}, nil, 2},
		{"the authority itself", [3]uint8{2, 0, 1}, sub, []pair{sub}, nil, 0},
		{"the authority itself, 0 0 0", [3]uint8{0, 0, 0}, root, []pair{root}, nil, 0},
		{"the authority below a published root", [3]uint8{2, 0, 1}, root, []pair{sub, root}, nil, 1},
		{"stranger of the same name", [3]uint8{2, 0, 1}, sub, []pair{strangers, stranger}, dane.ErrNoMatch, 0},
		{"stranger of the same name, key in the DNS", [3]uint8{2, 1, 0}, sub, []pair{strangers}, dane.ErrNoMatch, 0},
		{"published CA appended to a stranger's leaf", [3]uint8{2, 0, 1}, sub, []pair{strangers, sub}, dane.ErrNoMatch, 0},
		{"leaf itself", [3]uint8{2, 0, 1}, leaf, []pair{leaf, sub}, dane.ErrNoMatch, 0},
		{"expired leaf", [3]uint8{2, 0, 1}, sub, []pair{old, sub}, dane.ErrExpired, 0},
		{"expired authority", [3]uint8{2, 0, 1}, oldSub, []pair{oldSub}, dane.ErrExpired, 0},
		{"usage 3 names no authority", [3]uint8{3, 1, 1}, sub, []pair{leaf, sub}, dane.ErrUnusable, 0},
		{"usage 1 names no authority", [3]uint8{1, 1, 1}, sub, []pair{leaf, sub}, dane.ErrUnusable, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := danetest.NewWorld(t, danetest.Config{})
			rr, err := dane.NewTLSA("iotregistry.ca", 300, tt.usage[0], tt.usage[1], tt.usage[2], tt.publish.cert)
			require.NoError(t, err)
			w.AddRR(rr)
			m, err := verifierOf(t, w).Authority(t.Context(), "IoTregistry.ca.", certs(tt.chain...))
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				require.Nil(t, m)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.depth, m.Depth)
			require.Equal(t, tt.usage[0], m.Record.(*dns.TLSA).Usage, "the record as published")
			require.Equal(t, "iotregistry.ca", m.Name)
			require.Equal(t, tt.publish.cert.Raw, m.Certificate.Raw)
		})
	}
	w := danetest.NewWorld(t, danetest.Config{})
	_, err := verifierOf(t, w).Authority(t.Context(), "iotregistry.ca", certs(leaf, sub))
	require.ErrorIs(t, err, dane.ErrAbsent)
	_, err = verifierOf(t, w).Authority(t.Context(), "", certs(leaf, sub))
	require.ErrorIs(t, err, dane.ErrInvalid)
	_, err = verifierOf(t, w).Authority(t.Context(), "iotregistry.ca", nil)
	require.ErrorIs(t, err, dane.ErrInvalid)
}

// TestMutators runs every fault against a published and a withdrawn device: no
// spoilt answer may verify one or revoke the other.
func TestMutators(t *testing.T) {
	t.Parallel()
	leaf := mint(t, pair{}, names(device))
	other := "12.1000000000000001.iotregistry.ca"
	for name, effect := range map[string]danetest.Effect{
		"drop": drop, "servfail": servfail, "flip": danetest.FlipSignature(), "expire": danetest.Expire(), "not yet": danetest.NotYetValid(),
		"bogus": danetest.BogusSignatures(3), "strip": danetest.Strip(dns.TypeRRSIG), "trap": danetest.KeyTrap(8, 8),
	} {
		for target, fault := range map[string]danetest.Fault{
			"answers": {Under: "1000000000000001.iotregistry.ca."}, // with the DS answers there, which deny as well
			"DNSKEY":  {Under: "iotregistry.ca.", Type: dns.TypeDNSKEY},
			"DS":      {Under: "iotregistry.ca.", Type: dns.TypeDS},
		} {
			if name == "trap" && target == "DS" {
				continue // spoils no DS answers
			}
			t.Run(name+"/"+target, func(t *testing.T) {
				t.Parallel()
				w := danetest.NewWorld(t, danetest.Config{})
				w.AddCERT(device, leaf.cert.Raw)
				fault.Effect = effect
				w.Inject(fault)
				for _, n := range []string{device, other} {
					_, err := verifierOf(t, w).Device(t.Context(), n, leaf.cert)
					require.Error(t, err)
					require.NotErrorIs(t, err, dane.ErrAbsent, n)
					require.NotErrorIs(t, err, dane.ErrNoMatch, n)
				}
			})
		}
	}
}
