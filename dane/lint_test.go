package dane_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

func pemOf(p pair) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

func TestLint(t *testing.T) {
	t.Parallel()
	const service = "_443._tcp.parkoserv.ca"
	w := newWorld(t)
	dev := mint(t, w.sub, names(device))
	devRenewed := mint(t, w.sub, names(device))
	devOld := mint(t, w.sub, names(device), expired)
	dev12 := mint(t, w.sub, names("12.1000000000000001.iotregistry.ca"))
	bareCN := mint(t, w.sub, subject(device))
	chain, devChain := certs(w.leaf, w.sub), certs(dev, w.sub)

	at := func(owner string, rr dns.RR) dns.RR { rr.Header().Name = dns.Fqdn(owner); return rr }
	tlsa := func(u, s, m uint8, hexData string) dns.RR {
		return &dns.TLSA{Hdr: dns.RR_Header{Name: service + ".", Rrtype: dns.TypeTLSA, Class: dns.ClassINET},
			Usage: u, Selector: s, MatchingType: m, Certificate: hexData}
	}
	of := func(u, s, m uint8, p pair) dns.RR { return tlsaFor(t, u, s, m, p) }
	sha := func(b []byte) string { d := sha256.Sum256(b); return hex.EncodeToString(d[:]) }
	sha2 := func(b []byte) string { d := sha512.Sum512(b); return hex.EncodeToString(d[:]) }
	hash := func(p pair) dns.RR { d := sha256.Sum256(p.cert.Raw); return certOf(dns.CertPKIX, d[:]) }
	wrongTag := func(p pair) dns.RR { r := certFor(t, p); r.KeyTag++; return r }
	deckTag := func(p pair) dns.RR { r := certFor(t, p); r.KeyTag, r.Algorithm = 1, 8; return r }
	hexText := hex.EncodeToString(w.leaf.cert.Raw)

	tests := []struct {
		name  string
		owner string
		rrs   []dns.RR
		chain []*x509.Certificate
		want  []string // codes
		fix   string   // part of the first fix
	}{
		{"good 3 1 1", service, []dns.RR{of(3, 1, 1, w.leaf)}, chain, nil, ""},
		{"good 2 0 1", service, []dns.RR{of(2, 0, 1, w.sub)}, chain, nil, ""},
		{"good without a chain", service, []dns.RR{of(3, 1, 1, w.leaf)}, nil, nil, ""},
		{"other owner ignored", "_444._tcp.parkoserv.ca", []dns.RR{tlsa(9, 9, 9, "zz")}, nil, nil, ""},

		{"digest of PEM", service, []dns.RR{tlsa(3, 0, 1, sha(pemOf(w.leaf)))}, chain, []string{"digest-of-text"}, "DER"},
		{"digest of PEM with CRLF", service, []dns.RR{tlsa(3, 0, 1, sha([]byte(strings.ReplaceAll(string(pemOf(w.leaf)), "\n", "\r\n"))))}, chain, []string{"digest-of-text"}, ""},
		{"digest of PEM without the final newline", service, []dns.RR{tlsa(3, 0, 2, sha2([]byte(strings.TrimSpace(string(pemOf(w.leaf))))))}, chain, []string{"digest-of-text"}, ""},
		{"digest of hexadecimal text", service, []dns.RR{tlsa(3, 0, 1, sha([]byte(hexText)))}, chain, []string{"digest-of-text"}, ""},
		{"digest of upper-case hexadecimal text and newline", service, []dns.RR{tlsa(3, 0, 1, sha([]byte(strings.ToUpper(hexText)+"\n")))}, chain, []string{"digest-of-text"}, ""},
		{"digest of a CA's PEM", service, []dns.RR{tlsa(2, 0, 1, sha(pemOf(w.sub)))}, chain, []string{"digest-of-text"}, ""},
		{"PEM in the record", service, []dns.RR{tlsa(3, 0, 0, hex.EncodeToString(pemOf(w.leaf)))}, chain, []string{"pem-in-record"}, "DER"},

		{"key digest as certificate digest", service, []dns.RR{tlsa(3, 0, 1, sha(w.leaf.cert.RawSubjectPublicKeyInfo))}, chain, []string{"tlsa-selector"}, "3 1 1"},
		{"certificate digest as key digest", service, []dns.RR{tlsa(3, 1, 1, sha(w.leaf.cert.Raw))}, chain, []string{"tlsa-selector"}, "3 0 1"},
		{"0 0 1 meant as 3 1 1", service, []dns.RR{of(0, 0, 1, w.leaf)}, chain, []string{"usage-0-for-leaf"}, "3 1 1"},
		{"0 0 1 of a CA", service, []dns.RR{of(0, 0, 1, w.sub)}, chain, []string{"usage-needs-webpki"}, "2 x x"},
		{"1 1 1", service, []dns.RR{of(1, 1, 1, w.leaf)}, chain, []string{"usage-needs-webpki"}, "3 1 1"},
		{"3 for a CA", service, []dns.RR{of(3, 1, 1, w.sub)}, chain, []string{"usage-3-for-ca"}, "usage 2"},
		{"2 for the leaf", service, []dns.RR{of(2, 0, 1, w.leaf)}, chain, []string{"usage-2-for-leaf"}, "usage 3"},
		{"no match", service, []dns.RR{of(3, 1, 1, w.other)}, chain, []string{"tlsa-no-match"}, ""},
		{"sample value", service, []dns.RR{tlsa(3, 0, 1, "D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971")}, nil, []string{"sample-value"}, ""},
		{"part of a sample value", service, []dns.RR{tlsa(3, 0, 1, "eca5a520e7f2e06bb944f4dca346baf63c1b177615d466f6c4b71c216a50292b")}, nil, []string{"sample-value"}, ""},

		{"not hexadecimal", service, []dns.RR{tlsa(3, 1, 1, "abc")}, nil, []string{"tlsa-not-hex"}, ""},
		{"unknown parameter", service, []dns.RR{tlsa(3, 1, 3, "abcd")}, nil, []string{"tlsa-unknown-parameter"}, ""},
		{"short", service, []dns.RR{tlsa(3, 1, 1, "abcd")}, nil, []string{"tlsa-length"}, "32 octets"},
		{"SHA-512 under type 1", service, []dns.RR{tlsa(3, 1, 1, sha2([]byte("x")))}, nil, []string{"tlsa-length"}, "matching type 2"},
		{"certificate under type 1", service, []dns.RR{tlsa(3, 0, 1, hexText)}, nil, []string{"tlsa-length"}, "matching type 0"},
		{"digest under type 0", service, []dns.RR{tlsa(3, 1, 0, sha([]byte("x")))}, nil, []string{"tlsa-digest-as-full"}, "matching type 1"},
		{"garbage under 0 0", service, []dns.RR{tlsa(3, 0, 0, "abcdef")}, nil, []string{"tlsa-not-a-certificate"}, ""},
		{"certificate under 1 0", service, []dns.RR{tlsa(3, 1, 0, hexText)}, nil, []string{"tlsa-not-a-key"}, "selector 0"},
		{"weaker digest", service, []dns.RR{of(3, 1, 1, w.leaf), of(3, 1, 2, w.leaf)}, chain, []string{"weaker-digest-ignored"}, ""},
		{"usage 2 without the host name", service, []dns.RR{of(2, 1, 1, w.sub)}, certs(w.wrongName, w.sub), []string{"san-missing"}, "dNSName"},
		{"expired", service, []dns.RR{of(2, 1, 1, w.sub)}, certs(w.old, w.sub), []string{"dates"}, ""},

		{"good CERT", device, []dns.RR{certFor(t, dev)}, devChain, nil, ""},
		{"good CERT without a chain", device, []dns.RR{certFor(t, dev)}, nil, nil, ""},
		{"CERT of the deck: tag 1, RSASHA256", device, []dns.RR{deckTag(dev)}, devChain, []string{"cert-key-tag"}, "PKIX 0 0"},
		{"CERT with the wrong tag", device, []dns.RR{wrongTag(dev)}, devChain, []string{"cert-key-tag"}, ""},
		{"CERT with a digest", device, []dns.RR{hash(dev)}, devChain, []string{"cert-digest"}, "TLSA 3 0 1"},
		{"CERT with PEM", device, []dns.RR{certOf(dns.CertPKIX, pemOf(dev))}, devChain, []string{"cert-pem"}, ""},
		{"CERT with garbage", device, []dns.RR{certOf(dns.CertPKIX, []byte("x"))}, devChain, []string{"cert-not-der"}, ""},
		{"CERT of type PGP", device, []dns.RR{certOf(dns.CertPGP, dev.cert.Raw)}, devChain, []string{"cert-type"}, ""},
		{"CERT not base64", device, []dns.RR{&dns.CERT{Hdr: dns.RR_Header{Name: device}, Type: 1, Certificate: "*"}}, nil, []string{"cert-not-base64"}, ""},
		{"CERT of another device", device, []dns.RR{certFor(t, dev12)}, devChain, []string{"cert-no-match"}, "withdraw"},
		{"CERT of the CA", device, []dns.RR{certFor(t, w.sub)}, devChain, []string{"cert-no-match"}, "apex"},
		{"CERT with the wrong name", device, []dns.RR{certFor(t, dev12)}, nil, []string{"cert-name"}, ""},
		{"CERT expired", device, []dns.RR{certFor(t, devOld)}, nil, []string{"dates"}, ""},
		{"two profiles", device, []dns.RR{certFor(t, dev), certFor(t, dev12)}, devChain, []string{"cert-no-match", "several-certs", "two-profiles"}, ""},
		{"renewal overlap", device, []dns.RR{certFor(t, dev), certFor(t, devRenewed)}, devChain, []string{"cert-no-match", "several-certs"}, ""},
		{"name in the subject", device, []dns.RR{certFor(t, bareCN)}, certs(bareCN), []string{"name-in-cn"}, "dNSName"},
		{"SAN without _device", "1000000000000001._device.iotregistry.ca",
			[]dns.RR{at("1000000000000001._device.iotregistry.ca", of(2, 1, 1, w.sub))}, devChain, []string{"san-without-device"}, "_device"},
		{"authority at the apex", "iotregistry.ca", []dns.RR{at("iotregistry.ca", of(2, 0, 1, w.sub))}, devChain, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := dane.Lint(tt.owner+".", tt.rrs, dane.LintOptions{Chain: tt.chain, Zone: "iotregistry.ca", Now: atEpoch})
			var codes []string
			for _, f := range found {
				codes = append(codes, f.Code)
				require.NotEmpty(t, f.Text)
				require.NotEmpty(t, f.Fix)
				require.Contains(t, f.String(), f.Severity.String()+": ")
			}
			require.ElementsMatch(t, tt.want, codes, "%v", found)
			if tt.fix != "" {
				require.Contains(t, found[0].Fix, tt.fix)
			}
		})
	}
}

// TestLintSeverity: usage 3 alone matches without the name, so its absence is
// only a warning there.
func TestLintSeverity(t *testing.T) {
	t.Parallel()
	leaf := mint(t, pair{}, names("x.example"))
	for usage, want := range map[uint8]dane.Severity{3: dane.Warning, 2: dane.Fault} {
		rr, err := dane.NewTLSA(device, 60, usage, 1, 1, leaf.cert)
		require.NoError(t, err)
		for _, f := range dane.Lint(device, []dns.RR{rr}, dane.LintOptions{Chain: certs(leaf), Now: atEpoch}) {
			if f.Code == "san-missing" {
				require.Equal(t, want, f.Severity)
				want = -1
			}
		}
		require.EqualValues(t, -1, want, "san-missing found")
	}
	require.Equal(t, []string{"note", "warning", "fault"}, []string{dane.Note.String(), dane.Warning.String(), dane.Fault.String()})
}

func TestLintSurvivesAnything(t *testing.T) {
	t.Parallel()
	rrs := []dns.RR{nil, &dns.TLSA{}, &dns.CERT{}, &dns.A{}}
	require.NotPanics(t, func() {
		dane.Lint("", rrs, dane.LintOptions{Chain: []*x509.Certificate{nil}})
		dane.Lint(".", make([]dns.RR, 1000), dane.LintOptions{})
	})
}
