package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// ChangeSet is one change to a zone: names to clear, records to remove and
// records to add, done in that order and all at once, so that a set which
// removes and adds the same record leaves it in place.
//
// It is idempotent: adding what is there and removing what is not are no
// errors. The zero ChangeSet changes nothing.
type ChangeSet struct {
	// Add lists records to put in the zone. A TTL of zero means the zone's
	// own default; the records of one RRset take the TTL of the one added
	// last (RFC 2181 s5.2).
	Add []dns.RR
	// Remove lists records to take out, compared by owner, type and RDATA.
	Remove []dns.RR
	// RemoveNames lists owner names whose every record is taken out. At the
	// origin the SOA, NS and DNSKEY records stay.
	RemoveNames []string
}

// Receipt confirms a change set.
type Receipt struct {
	// Serial is the SOA serial from which the change is visible. A change
	// set that changed nothing returns the serial of before.
	Serial uint32
}

// Publisher applies change sets to a zone, wherever that zone is kept.
//
// Publish is atomic and idempotent, and costs one serial per change set. When
// it returns without error, the change is visible to queries at the primary.
// After an error of unknown outcome the same change set may be sent again.
type Publisher interface {
	Publish(ctx context.Context, c ChangeSet) (Receipt, error)
}

// Reasons for which a record is refused; a [*RecordError] wraps one of them.
var (
	// ErrOutOfZone marks a record whose owner is not at or below the origin.
	ErrOutOfZone = errors.New("owner name is outside the zone")
	// ErrManaged marks a record the zone makes itself: SOA, DNSKEY, RRSIG,
	// NSEC, NSEC3 and NSEC3PARAM.
	ErrManaged = errors.New("the zone makes records of this type itself")
	// ErrConflict marks a record that may not stand beside another one: a
	// CNAME with other data, a name below a DNAME, a DS without NS.
	ErrConflict = errors.New("record conflicts with another one")
	// ErrMalformed marks a record that has no wire form, is not of class IN,
	// or makes an RRset too large for one message.
	ErrMalformed = errors.New("record is malformed")
)

// RecordError says which record of a change set was refused, and why. Err
// wraps one of the sentinels of this package.
type RecordError struct {
	Name string // owner name as given
	Type uint16 // RR type, 0 when unknown
	Err  error
}

// Error implements error.
func (e *RecordError) Error() string {
	return fmt.Sprintf("publish: %s %s: %v", e.Name, dns.Type(e.Type), e.Err)
}

// Unwrap returns the reason.
func (e *RecordError) Unwrap() error { return e.Err }
