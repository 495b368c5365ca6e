package dnssec

import (
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// trustAnchorXML is RFC 9718 section 2.1.
type trustAnchorXML struct {
	XMLName xml.Name `xml:"TrustAnchor"`
	Zone    string   `xml:"Zone"`
	Digests []struct {
		ID         string `xml:"id,attr"`
		ValidFrom  string `xml:"validFrom,attr"`
		ValidUntil string `xml:"validUntil,attr"`
		KeyTag     uint16 `xml:"KeyTag"`
		Algorithm  uint8  `xml:"Algorithm"`
		DigestType uint8  `xml:"DigestType"`
		Digest     string `xml:"Digest"`
		PublicKey  string `xml:"PublicKey"`
		Flags      uint16 `xml:"Flags"`
	} `xml:"KeyDigest"`
}

func (b *anchorBuilder) xml(text string) error {
	var doc trustAnchorXML
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		return fmt.Errorf("dnssec: %w: %w", ErrAnchors, err)
	}
	zone := dns.Fqdn(strings.TrimSpace(doc.Zone))
	for _, d := range doc.Digests {
		from, err := anchorTime(d.ValidFrom)
		if err != nil {
			return fmt.Errorf("dnssec: %w: validFrom of %q: %w", ErrAnchors, d.ID, err)
		}
		until, err := anchorTime(d.ValidUntil)
		if err != nil {
			return fmt.Errorf("dnssec: %w: validUntil of %q: %w", ErrAnchors, d.ID, err)
		}
		header := dns.RR_Header{Name: zone, Rrtype: dns.TypeDS, Class: dns.ClassINET}
		ds := &dns.DS{Hdr: header, KeyTag: d.KeyTag, Algorithm: d.Algorithm, DigestType: d.DigestType, Digest: strings.TrimSpace(d.Digest)}
		if key := strings.Join(strings.Fields(d.PublicKey), ""); key != "" {
			if err := agrees(ds, d.Flags, key); err != nil {
				return fmt.Errorf("dnssec: %w: %q: %w", ErrAnchors, d.ID, err)
			}
		}
		if err := b.add(ds, from, until); err != nil {
			return err
		}
	}
	return nil
}

func anchorTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, s)
}

// agrees checks the digest against the public key that stands beside it.
func agrees(ds *dns.DS, flags uint16, public string) error {
	if flags == 0 {
		flags = dns.ZONE | dns.SEP
	}
	k, ok := readKey(&dns.DNSKEY{Flags: flags, Protocol: 3, Algorithm: ds.Algorithm, PublicKey: public})
	n, named := parseName(ds.Hdr.Name)
	if !ok || !named {
		return fmt.Errorf("PublicKey is malformed")
	}
	if got := k.digest(n, ds.DigestType); got != nil && !k.matches(n, ds) {
		return fmt.Errorf("PublicKey has tag %d and digest %s", k.tag, hex.EncodeToString(got))
	}
	return nil
}

// isBIND looks for a clause that BIND keeps anchors in.
func isBIND(text string) bool {
	for _, clause := range []string{"trust-anchors", "trusted-keys", "managed-keys"} {
		if _, rest, ok := strings.Cut(text, clause); ok && strings.HasPrefix(strings.TrimSpace(rest), "{") {
			return true
		}
	}
	return false
}

// bind reads BIND's trust-anchors, trusted-keys and managed-keys clauses: name,
// kind (absent in trusted-keys), three numbers, quoted data.
func (b *anchorBuilder) bind(text string) error {
	for _, statement := range strings.Split(bindBody(text), ";") {
		f := strings.Fields(strings.ReplaceAll(statement, `"`, " "))
		if len(f) == 0 {
			continue
		}
		if len(f) < 5 {
			return fmt.Errorf("dnssec: %w: %q is not an anchor", ErrAnchors, strings.TrimSpace(statement))
		}
		kind, rest := f[1], f[2:]
		if _, err := strconv.Atoi(kind); err == nil {
			kind, rest = "static-key", f[1:]
		}
		typ := "DNSKEY"
		if strings.HasSuffix(kind, "-ds") {
			typ = "DS"
		}
		rr, err := dns.NewRR(dns.Fqdn(f[0]) + " 0 IN " + typ + " " + strings.Join(rest, " "))
		if err != nil {
			return fmt.Errorf("dnssec: %w: %w", ErrAnchors, err)
		}
		if err := b.add(rr, time.Time{}, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// bindBody returns what stands between braces, without comments.
func bindBody(text string) string {
	var body strings.Builder
	inside, quoted := false, false
	for i := 0; i < len(text); i++ {
		rest, skip := text[i:], 0
		switch {
		case text[i] == '"':
			quoted = !quoted
		case quoted:
		case text[i] == '#' || strings.HasPrefix(rest, "//"):
			skip = strings.IndexByte(rest+"\n", '\n')
		case strings.HasPrefix(rest, "/*"):
			skip = strings.Index(rest+"*/", "*/") + 2
		case text[i] == '{':
			inside, skip = true, 1
		case text[i] == '}':
			inside, skip = false, 1
		}
		if skip > 0 {
			i += skip - 1
			continue
		}
		if inside {
			body.WriteByte(text[i])
		}
	}
	return body.String()
}
