package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// head is what every report begins with.
type head struct {
	Command string    `json:"command"`
	Subject string    `json:"subject"` // what was asked about, as given
	OK      bool      `json:"ok"`
	Verdict string    `json:"verdict"` // one of the words of verdictOf, or of dnssec.Status
	Reason  *reason   `json:"reason,omitempty"`
	Time    time.Time `json:"time"` // the time that was judged by
}

func (h *head) ok() bool { return h.OK }

// conclude sets the verdict: verified without an error.
func (h *head) conclude(err error) {
	h.OK, h.Verdict, h.Reason = err == nil, verdictOf(err), newReason(err)
}

const verified = "verified"

// verdictOf says an outcome in one word that does not change between versions.
func verdictOf(err error) string {
	var de *dane.Error
	switch {
	case err == nil:
		return verified
	case !errors.As(err, &de):
		return "indeterminate"
	}
	return map[dane.Kind]string{
		dane.Bogus: "bogus", dane.Insecure: "insecure", dane.Absent: "absent", dane.NoMatch: "no-match",
		dane.Unusable: "unusable", dane.Expired: "expired", dane.WrongName: "wrong-name",
		dane.NotAllowed: "not-allowed", dane.Invalid: "invalid", dane.Indeterminate: "indeterminate",
	}[de.Kind]
}

// reason is an error taken apart: which zone, which record, which rule.
type reason struct {
	Text string  `json:"text"`
	Zone string  `json:"zone,omitempty"`
	Name string  `json:"name,omitempty"`
	Type string  `json:"type,omitempty"`
	Rule string  `json:"rule,omitempty"`
	EDE  *uint16 `json:"ede,omitempty"` // RFC 8914
}

func newReason(err error) *reason {
	if err == nil {
		return nil
	}
	r := &reason{Text: err.Error()}
	var e *dnssec.Error
	if errors.As(err, &e) {
		r.Zone, r.Name, r.Rule, r.EDE = e.Zone, e.Name, e.Rule, &e.Code
		if e.Type != 0 {
			r.Type = dns.Type(e.Type).String()
		}
	}
	return r
}

// text prints the parts on a line each.
func (r *reason) text(w io.Writer) {
	fmt.Fprintf(w, "  reason       %s\n", r.Text)
	if r.Zone != "" {
		fmt.Fprintf(w, "  zone         %s\n", r.Zone)
	}
	if r.Name != "" {
		fmt.Fprintf(w, "  record       %s\n", strings.TrimSpace(r.Name+" "+r.Type))
	}
	if r.Rule != "" {
		fmt.Fprintf(w, "  rule         %s\n", r.Rule)
	}
	if r.EDE != nil {
		fmt.Fprintf(w, "  EDE          %d, %s (RFC 8914)\n", *r.EDE, dns.ExtendedErrorCodeToString[*r.EDE])
	}
}

// certificate describes a certificate for people.
type certificate struct {
	Subject   string    `json:"subject"`
	Names     []string  `json:"names"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256"`      // of the whole certificate: TLSA 3 0 1
	SPKI      string    `json:"spki_sha256"` // of its public key: TLSA 3 1 1
}

func describe(c *x509.Certificate) *certificate {
	cert, key := sha256.Sum256(c.Raw), sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return &certificate{
		Subject: c.Subject.String(), Names: append([]string{}, c.DNSNames...),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		SHA256: hex.EncodeToString(cert[:]), SPKI: hex.EncodeToString(key[:]),
	}
}

// String quotes what the certificate's maker chose: it must not move the cursor.
func (c *certificate) String() string {
	names := "no names"
	if len(c.Names) > 0 {
		names = fmt.Sprintf("names %q", c.Names)
	}
	return fmt.Sprintf("%q, %s, valid %s to %s", c.Subject, names, stamp(c.NotBefore), stamp(c.NotAfter))
}

// stamp prints a time the same way everywhere.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// line is a record on one line, cut to what a terminal bears.
func line(record string) string {
	const most = 160
	record = strings.ReplaceAll(record, "\t", " ")
	if len(record) > most {
		return fmt.Sprintf("%s... (%d characters)", record[:most], len(record))
	}
	return record
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// list joins a set in order.
func list(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}

// count says how many there are of a thing.
func count(n int, thing string) string {
	switch stem, y := strings.CutSuffix(thing, "y"); {
	case n == 1:
		return "1 " + thing
	case y:
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// sorted returns the names in a map in order.
func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
