package publish

import (
	"context"
	"crypto"
	"errors"
	"io"
	"time"

	"github.com/miekg/dns"
)

var errTODO = errors.New("publish: not written yet")

// Key is one DNSSEC key of a zone.
type Key struct {
	Signer    crypto.Signer
	Flags     uint16
	Algorithm uint8
}

// ZoneConfig describes a zone.
type ZoneConfig struct {
	Origin      string
	NS          []string
	Mbox        string
	Keys        []Key
	TTL         uint32
	NegativeTTL uint32
	Serial      uint32
	Validity    time.Duration
	Inception   time.Duration
	Jitter      time.Duration
	Now         func() time.Time
	Workers     int
}

// Zone is a signed zone in memory.
type Zone struct{}

// NewZone makes a zone with its SOA, NS and DNSKEY records.
func NewZone(cfg ZoneConfig) (*Zone, error) { return nil, errTODO }

// Publish implements [Publisher].
func (z *Zone) Publish(ctx context.Context, c ChangeSet) (Receipt, error) {
	return Receipt{}, errTODO
}

// DS returns the DS records the parent zone must publish.
func (z *Zone) DS(digestType uint8) ([]*dns.DS, error) { return nil, errTODO }

// Origin returns the zone's name.
func (z *Zone) Origin() string { return "" }

// Serial returns the SOA serial.
func (z *Zone) Serial() uint32 { return 0 }

// Len returns the number of owner names.
func (z *Zone) Len() int { return 0 }

// WriteTo writes the whole zone, signed and sorted, as zone-file text.
func (z *Zone) WriteTo(w io.Writer) (int64, error) { return 0, errTODO }
