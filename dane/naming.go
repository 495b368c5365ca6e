package dane

import (
	"strings"

	"github.com/miekg/dns"
)

// Naming is a set of the generations in which devices of the CIRA registry
// have been published. It says which owner name and record types to ask for
// and how to read them. The zero value means Deck2020 | Dance2022.
type Naming uint8

const (
	// Deck2020 is <profileID>.<deviceID>.<zone> with CERT PKIX records that
	// hold the whole certificate (the design of January 2020), or TLSA records
	// at the same name.
	Deck2020 Naming = 1 << iota

	// Prototype2020 is the same name with CERT records whose certificate field
	// holds only the 32 octets of the SHA-256 digest of the certificate, or
	// TLSA records; the name may stand in the certificate's subject common
	// name instead of a subjectAltName. It is off unless asked for: a digest
	// in a CERT record is no RFC 4398 content.
	Prototype2020

	// Dance2022 is <deviceID>._device.<zone> with TLSA records, as
	// demonstrated to the IETF DANCE working group in 2022.
	Dance2022
)

const defaultNaming = Deck2020 | Dance2022

func (n Naming) orDefault() Naming {
	if n == 0 {
		return defaultNaming
	}
	return n
}

// Has reports whether the set contains all of g; the zero set stands for the
// default.
func (n Naming) Has(g Naming) bool { return n.orDefault()&g == g }

// Questions returns the DNS questions, in the order in which to ask them, whose
// answers can hold a device's certificate in the generations of n. Names end
// in a dot, as package dns wants them. Errors match ErrInvalid.
func (n Naming) Questions(profileID uint64, deviceID, zone string) ([]dns.Question, error) {
	var qs []dns.Question
	add := func(name string, err error) error {
		for _, t := range n.types(name) {
			qs = append(qs, dns.Question{Name: dns.Fqdn(name), Qtype: t, Qclass: dns.ClassINET})
		}
		return err
	}
	if n.orDefault()&(Deck2020|Prototype2020) != 0 {
		if err := add(DeviceName(profileID, deviceID, zone)); err != nil {
			return nil, err
		}
	}
	if n.Has(Dance2022) {
		if err := add(DanceName(deviceID, zone)); err != nil {
			return nil, err
		}
	}
	return qs, nil
}

// types returns the record types to ask for at a device's name. A name with
// the _device label never had CERT records, so asking for them would only cost
// a round trip.
func (n Naming) types(name string) []uint16 {
	dance := isDanceName(name)
	switch {
	case dance && n.Has(Dance2022):
		return []uint16{dns.TypeTLSA}
	case !dance && n.orDefault()&(Deck2020|Prototype2020) != 0:
		return []uint16{dns.TypeCERT, dns.TypeTLSA}
	}
	return nil
}

func isDanceName(name string) bool {
	_, rest, _ := strings.Cut(name, ".")
	label, _, _ := strings.Cut(rest, ".")
	return lower(label) == deviceLabel
}
