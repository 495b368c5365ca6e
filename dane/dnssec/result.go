package dnssec

import (
	"context"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// Exchanger sends one query to an upstream and returns its answer. Upstreams
// may be recursive resolvers or servers with authority for all zones concerned.
// It must be safe for concurrent use and must end when ctx does.
type Exchanger interface {
	Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error)
}

// Status is the security state of an answer (RFC 4033 section 5). The zero
// value is Indeterminate, so that an unset Status never reads as a proof.
type Status int

// The four states. Only Secure is a proof.
const (
	Indeterminate Status = iota // no verdict: no anchor covers the name, or records needed could not be had
	Bogus                       // the answer fails validation
	Insecure                    // the name is provably in an unsigned part of the tree
	Secure                      // signed and validated from a trust anchor
)

// String returns the name of the state in lower case.
func (s Status) String() string {
	switch s {
	case Indeterminate:
		return "indeterminate"
	case Bogus:
		return "bogus"
	case Insecure:
		return "insecure"
	case Secure:
		return "secure"
	}
	return fmt.Sprintf("status %d", int(s))
}

// Result is the verdict on one question.
type Result struct {
	Status Status
	// Reason says why the status is not Secure, and is nil if it is. It is or
	// wraps an *Error.
	Reason error
	// Rcode is the response code that the evidence supports: NXDOMAIN only
	// when it is proved (or, in an insecure zone, claimed), else what the
	// upstream said.
	Rcode int
	// RRs are the records of the answer: aliases in the order they were
	// followed, then the records asked for. Empty unless Secure or Insecure,
	// and empty or ending in an alias for a denial. Treat them as read-only.
	RRs []dns.RR
	// Name is the name at the end of the aliases: the owner of the records
	// asked for, or the name that was denied.
	Name string
	// Expires is when the verdict should no longer be used: the earliest end
	// of a TTL or signature it rests on. Zero if there is no verdict.
	Expires time.Time
	// ValidFrom and ValidUntil is the window in which all signatures the
	// verdict rests on are valid, regardless of TTLs. Zero if there are none.
	ValidFrom, ValidUntil time.Time
	// Queries is how many queries were sent, Verifications how many signatures
	// were checked and Hashes how many NSEC3 hashes were computed for this
	// result.
	Queries, Verifications, Hashes int
	// Zones is the chain: the zones on the way, from the anchor down.
	Zones []Zone

	proof []*rrset
}

// Zone is one link of the chain of trust.
type Zone struct {
	Name   string
	Status Status
	Reason error // why not Secure, else nil
	// Anchor is true if a trust anchor vouches for the zone's keys; else DS
	// records in the zone Parent do.
	Anchor bool
	Parent string
	DS     []DS  // DS records that vouch for the zone, or the anchors
	Keys   []Key // the zone's keys
	Cached bool  // validated in an earlier look-up
	// Expires is when the keys must be fetched again.
	Expires time.Time
}

// DS says which key a parent vouches for.
type DS struct {
	KeyTag     uint16
	Algorithm  uint8
	DigestType uint8
	Matched    bool // a key of the zone has this digest and signs the key set
}

// Key names one key of a zone.
type Key struct {
	KeyTag    uint16
	Algorithm uint8
	Flags     uint16
	Used      bool // a signature by it was verified
}
