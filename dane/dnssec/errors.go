package dnssec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Sentinels for errors.Is: the cause inside an *Error, or an error of Lookup.
var (
	ErrNoAnchor       = errors.New("no trust anchor covers the name")
	ErrNegativeAnchor = errors.New("a negative trust anchor covers the name")
	ErrUnsigned       = errors.New("delegation to an unsigned zone")
	ErrAlgorithm      = errors.New("no supported algorithm")
	ErrNoSignature    = errors.New("signature missing")
	ErrSignature      = errors.New("signature does not verify")
	ErrExpired        = errors.New("signature expired")
	ErrNotYetValid    = errors.New("signature not yet valid")
	ErrNoKey          = errors.New("no matching key")
	ErrNoProof        = errors.New("denial not proved")
	ErrIterations     = errors.New("too many NSEC3 iterations")
	ErrOptOut         = errors.New("the name is in an opt-out span")
	ErrLimit          = errors.New("work limit exceeded")
	ErrAlias          = errors.New("broken chain of aliases")
	ErrMissing        = errors.New("records needed are not there")
	ErrUpstream       = errors.New("upstream failed")
	ErrStripped       = errors.New("upstream is not DNSSEC-aware or strips signatures; use another resolver, DNS over TLS or HTTPS")
	ErrQuestion       = errors.New("question cannot be validated")
)

// Extended DNS error codes used here (RFC 8914 section 4, RFC 9276 section 3.2).
const (
	CodeOther                 uint16 = 0
	CodeUnsupportedAlgorithm  uint16 = 1
	CodeUnsupportedDigest     uint16 = 2
	CodeIndeterminate         uint16 = 5
	CodeBogus                 uint16 = 6
	CodeSignatureExpired      uint16 = 7
	CodeSignatureNotYetValid  uint16 = 8
	CodeDNSKEYMissing         uint16 = 9
	CodeRRSIGsMissing         uint16 = 10
	CodeNSECMissing           uint16 = 12
	CodeNoReachableAuthority  uint16 = 22
	CodeNetworkError          uint16 = 23
	CodeUnsupportedIterations uint16 = 27
)

// Error is the reason for a verdict other than Secure: which zone, which
// record, which rule.
type Error struct {
	Code uint16 // extended DNS error code (RFC 8914)
	Zone string // zone whose keys or denial was concerned; may be empty
	Name string // owner name of the records concerned
	Type uint16 // their type; 0 if none in particular
	Rule string // e.g. "RFC 4035 section 5.3.1"; may be empty
	Err  error  // the cause; wraps one of the sentinels
}

// Error returns a text that starts with the package name.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("dnssec: ")
	if e.Name != "" {
		b.WriteString(e.Name)
		if e.Type != 0 {
			b.WriteString(" " + typeText(e.Type))
		}
		b.WriteString(": ")
	}
	fmt.Fprint(&b, e.Err)
	if e.Zone != "" {
		b.WriteString(" (zone " + e.Zone + ")")
	}
	if e.Rule != "" {
		b.WriteString(" [" + e.Rule + "]")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func typeText(t uint16) string {
	if s, ok := dns.TypeToString[t]; ok {
		return s
	}
	return fmt.Sprintf("TYPE%d", t)
}
