package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// samples are certificate association data of the examples in RFC 6698 section
// 2.3, which get copied into real zones.
var samples = []string{
	"d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971",
	"92003ba34942dc74152e2f2c408d29eca5a520e7f2e06bb944f4dca346baf63c1b177615d466f6c4b71c216a50292bd58c9ebdd2f74e38fe51ffd48c43326cbc",
}

func (l *linter) lintTLSA(rr *dns.TLSA) {
	data, err := hex.DecodeString(rr.Certificate)
	switch {
	case err != nil:
		l.add(Fault, "tlsa-not-hex", rr, "the data is not hexadecimal", "write an even number of hexadecimal digits")
		return
	case rr.Usage > UsageDANEEE || rr.Selector > SelectorSPKI || rr.MatchingType > MatchingSHA512:
		l.add(Fault, "tlsa-unknown-parameter", rr,
			fmt.Sprintf("no verifier knows usage %d, selector %d, matching type %d", rr.Usage, rr.Selector, rr.MatchingType),
			"use 3 1 1, or other values of usage 0-3, selector 0-1, matching type 0-2")
		return
	}
	for _, s := range samples {
		if len(data) >= sha256.Size && strings.Contains(s, lower(rr.Certificate)) {
			l.add(Fault, "sample-value", rr, "the data is a sample value from RFC 6698", "publish the digest of your own certificate")
			return
		}
	}
	l.lintUsage(rr)
	if l.lintTextData(rr, data) || l.lintLength(rr, data) || l.chain == nil {
		return
	}
	l.lintMismatch(rr, data)
}

// lintUsage explains usages that rarely mean what they say.
func (l *linter) lintUsage(rr *dns.TLSA) {
	if rr.Usage > UsagePKIXEE {
		return
	}
	what := fmt.Sprintf("%d %d %d needs a path to a root of the Web PKI as well", rr.Usage, rr.Selector, rr.MatchingType)
	if rr.Usage == UsagePKIXTA && l.chain != nil && len(l.candidatesFor(rr)) == 1 && l.candidatesFor(rr)[0] == 0 {
		l.add(Fault, "usage-0-for-leaf", rr, "usage 0 names a CA, and this record holds the service's own certificate",
			"publish 3 1 1: the key of the certificate itself, with no CA involved")
		return
	}
	fix := "publish 3 1 1 for the certificate's own key, or 2 x x for a CA of your own"
	l.add(Warning, "usage-needs-webpki", rr, what, fix)
}

// candidatesFor returns the depths of chain certificates that match rr.
func (l *linter) candidatesFor(rr *dns.TLSA) []int {
	data, err := decodeTLSA(rr)
	if err != nil {
		return nil
	}
	var depths []int
	for i, c := range l.chain {
		if bytes.Equal(selected(c, rr.Selector, rr.MatchingType), data) {
			depths = append(depths, i)
		}
	}
	return depths
}

func (l *linter) lintTextData(rr *dns.TLSA, data []byte) bool {
	if rr.MatchingType != MatchingFull || !isPEM(data) {
		return false
	}
	l.add(Fault, "pem-in-record", rr, "the data is PEM text", "publish the DER bytes that the PEM text encodes")
	return true
}

func isPEM(data []byte) bool { return bytes.Contains(data, []byte("-----BEGIN")) }

func (l *linter) lintLength(rr *dns.TLSA, data []byte) bool {
	want := digestLength(rr.MatchingType)
	switch {
	case want != 0 && len(data) != want:
		fix := fmt.Sprintf("publish %d octets", want)
		for m := MatchingSHA256; m <= MatchingSHA512; m++ {
			if len(data) == digestLength(m) {
				fix += fmt.Sprintf(", or set matching type %d if this is that digest", m)
			}
		}
		if len(data) > sha512.Size {
			fix += ", or set matching type 0 if this is the certificate or key itself"
		}
		l.add(Fault, "tlsa-length", rr, fmt.Sprintf("matching type %d has %d octets, not %d", rr.MatchingType, want, len(data)), fix)
	case want == 0 && (len(data) == sha256.Size || len(data) == sha512.Size):
		l.add(Fault, "tlsa-digest-as-full", rr, fmt.Sprintf("matching type 0 means the whole certificate or key; %d octets are a digest", len(data)),
			fmt.Sprintf("set matching type %d", len(data)/sha256.Size))
	case want == 0 && rr.Selector == SelectorCert && !isCertificate(data):
		l.add(Fault, "tlsa-not-a-certificate", rr, "the data is not a DER certificate", "publish the certificate's DER bytes, or selector 1 if this is its key")
	case want == 0 && rr.Selector == SelectorSPKI && !isKey(data):
		l.add(Fault, "tlsa-not-a-key", rr, "the data is not a DER SubjectPublicKeyInfo", "publish the key's SubjectPublicKeyInfo, or selector 0 if this is a certificate")
	default:
		return false
	}
	return true
}

func isCertificate(der []byte) bool { _, err := x509.ParseCertificate(der); return err == nil }
func isKey(der []byte) bool         { _, err := x509.ParsePKIXPublicKey(der); return err == nil }

// lintMismatch explains a record that matches no certificate of the chain, or
// one at the wrong depth.
func (l *linter) lintMismatch(rr *dns.TLSA, data []byte) {
	if depths := l.candidatesFor(rr); len(depths) > 0 {
		l.lintDepth(rr, depths)
		return
	}
	for depth, c := range l.chain {
		for s := SelectorCert; s <= SelectorSPKI; s++ {
			for m := MatchingFull; m <= MatchingSHA512; m++ {
				if bytes.Equal(selected(c, s, m), data) {
					l.add(Fault, "tlsa-selector", rr, fmt.Sprintf("the data fits certificate %d of the chain as selector %d, matching type %d", depth, s, m),
						fmt.Sprintf("publish %d %d %d with the same data", rr.Usage, s, m))
					return
				}
			}
		}
		if what := digestOfText(c, data); what != "" {
			l.add(Fault, "digest-of-text", rr, "the data is the digest of "+what+" instead of DER bytes",
				"decode to DER first, for instance with openssl x509 -outform DER")
			return
		}
	}
	l.add(Warning, "tlsa-no-match", rr, "the record matches no certificate that was presented",
		"withdraw it if it belongs to an old certificate; keep it if the next one is not in use yet")
}

func (l *linter) lintDepth(rr *dns.TLSA, depths []int) {
	ta := rr.Usage == UsagePKIXTA || rr.Usage == UsageDANETA
	switch leaf := depths[0] == 0; {
	case rr.Usage == UsageDANETA && len(depths) == 1 && leaf:
		l.add(Fault, "usage-2-for-leaf", rr, "usage 2 names a CA, and this record holds the certificate itself", "publish it as usage 3")
	case !ta && !leaf:
		l.add(Fault, "usage-3-for-ca", rr, fmt.Sprintf("usage %d names the certificate itself, and this record holds a CA of its chain", rr.Usage),
			"publish it as usage 2")
	}
}

// digestOfText says of which text form of c or its key data is a digest; ""
// for none.
func digestOfText(c *x509.Certificate, data []byte) string {
	if len(data) != sha256.Size && len(data) != sha512.Size {
		return ""
	}
	for _, der := range []struct {
		typ   string
		bytes []byte
	}{{"CERTIFICATE", c.Raw}, {"PUBLIC KEY", c.RawSubjectPublicKeyInfo}} {
		for what, text := range textForms(der.typ, der.bytes) {
			for _, end := range []string{"", "\n", "\r\n"} {
				if digestIs(strings.TrimRight(text, "\n")+end, data) {
					return what
				}
			}
			if digestIs(strings.ReplaceAll(text, "\n", "\r\n"), data) {
				return what
			}
		}
	}
	return ""
}

func textForms(typ string, der []byte) map[string]string {
	h := hex.EncodeToString(der)
	return map[string]string{
		"PEM text":                    string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})),
		"hexadecimal text":            h,
		"upper-case hexadecimal text": strings.ToUpper(h),
		"base64 text":                 base64.StdEncoding.EncodeToString(der),
	}
}

func digestIs(text string, data []byte) bool {
	if len(data) == sha256.Size {
		d := sha256.Sum256([]byte(text))
		return bytes.Equal(d[:], data)
	}
	d := sha512.Sum512([]byte(text))
	return bytes.Equal(d[:], data)
}
