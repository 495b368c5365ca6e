package cert

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// An EUM's certificate says which EIDs it may give out, in one of two ways: as a
// name constraint with organization and the first digits of the EID (the variant
// of SGP.26's test certificates), or as a list of such digits in an extension of
// GSMA's. Where both are there, both hold.
//
// RFC 5280 would compare whole names in their order, by which SGP.26's own eUICC
// does not fit its EUM; SGP.22 means the attributes one by one.

// limits are what an EUM's certificate allows.
type limits struct {
	names []pkix.RDNSequence // one of them must fit; nil: no name constraint
	eins  []string           // one of them must be the EID's beginning; nil: no list
}

// Limits of what is understood.
const (
	minPrefix   = 8 // digits
	maxPrefix   = 30
	maxSubtrees = 64
)

func (c *certificate) limits() (*limits, error) {
	var l limits
	if value, critical, ok := c.extension(oidNameConstraints); ok {
		names, err := nameConstraints(value)
		if err != nil {
			return nil, err
		}
		if !critical {
			return nil, fmt.Errorf("%w: name constraints are not marked critical", ErrConstraints)
		}
		l.names = names
	}
	if value, _, ok := c.extension(oidPermittedEINs); ok {
		eins, err := permittedEINs(value)
		if err != nil {
			return nil, err
		}
		l.eins = eins
	}
	if l.names == nil && l.eins == nil {
		return nil, ErrConstraints
	}
	return &l, nil
}

// nameConstraints reads permitted subtrees that are directory names, and refuses
// everything else: excluded subtrees, other forms of name, distances.
func nameConstraints(value []byte) ([]pkix.RDNSequence, error) {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrConstraints, what) }
	parts, err := children(value, 0x30)
	if err != nil || len(parts) != 1 || parts[0].Tag != 0xA0 {
		return nil, bad("wants permitted subtrees alone")
	}
	subtrees, err := parts[0].Children()
	if err != nil || len(subtrees) == 0 || len(subtrees) > maxSubtrees {
		return nil, bad("wants 1 to 64 subtrees")
	}
	var names []pkix.RDNSequence
	for _, subtree := range subtrees {
		name, err := directoryName(subtree)
		if err != nil {
			return nil, bad("wants directory names with an organization and a serialNumber of 8 to 30 digits")
		}
		names = append(names, name)
	}
	return names, nil
}

func directoryName(subtree bertlv.TLV) (pkix.RDNSequence, error) {
	members, err := children(subtree.Raw, 0x30)
	if err != nil || len(members) != 1 || members[0].Tag != 0xA4 {
		return nil, ErrConstraints
	}
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(members[0].Value, &name); err != nil || len(rest) != 0 {
		return nil, ErrConstraints
	}
	serial, err := single(name, oidSerialNumber)
	if err != nil || !isPrefix(serial) {
		return nil, ErrConstraints
	}
	if _, err := single(name, oidOrganization); err != nil {
		return nil, ErrConstraints
	}
	return name, nil
}

func permittedEINs(value []byte) ([]string, error) {
	list, err := children(value, 0x30)
	if err != nil || len(list) == 0 || len(list) > maxSubtrees {
		return nil, fmt.Errorf("%w: wants a list of 1 to 64 EINs", ErrConstraints)
	}
	var eins []string
	for _, t := range list {
		if t.Tag != asn1.TagPrintableString || !isPrefix(string(t.Value)) {
			return nil, fmt.Errorf("%w: an EIN has 8 to 30 digits", ErrConstraints)
		}
		eins = append(eins, string(t.Value))
	}
	return eins, nil
}

func isPrefix(s string) bool {
	return len(s) >= minPrefix && len(s) <= maxPrefix && strings.Trim(s, "0123456789") == ""
}

// single returns the value of an attribute that a name has exactly once.
func single(name pkix.RDNSequence, id string) (string, error) {
	var found string
	n := 0
	for _, rdn := range name {
		for _, a := range rdn {
			if a.Type.String() == id {
				found, _ = a.Value.(string)
				n++
			}
		}
	}
	if n != 1 || found == "" {
		return "", fmt.Errorf("%v is there %d times", id, n)
	}
	return found, nil
}

func (c *certificate) subject() (pkix.RDNSequence, error) {
	var name pkix.RDNSequence
	rest, err := asn1.Unmarshal(c.RawSubject, &name)
	if err != nil || len(rest) != 0 {
		return nil, ErrEID
	}
	return name, nil
}

// eid returns the EID in the subject of an eUICC.
func (c *certificate) eid() (rsp.EID, error) {
	name, err := c.subject()
	if err != nil {
		return rsp.EID{}, err
	}
	serial, err := single(name, oidSerialNumber)
	if err != nil {
		return rsp.EID{}, fmt.Errorf("%w: %w", ErrEID, err)
	}
	id, err := rsp.ParseEID(serial)
	if err != nil {
		return rsp.EID{}, ErrEID
	}
	return id, nil
}

// allow checks an eUICC against its EUM's limits.
func (l *limits) allow(leaf *certificate, id rsp.EID) error {
	name, err := leaf.subject()
	if err != nil {
		return err
	}
	if l.names != nil && !slices.ContainsFunc(l.names, func(want pkix.RDNSequence) bool { return within(name, want) }) {
		return ErrRange
	}
	if l.eins != nil && !slices.ContainsFunc(l.eins, func(ein string) bool { return strings.HasPrefix(id.String(), ein) }) {
		return ErrRange
	}
	return nil
}

// within reports whether name has every attribute of want once: the serialNumber
// as its beginning, the others as they are.
func within(name, want pkix.RDNSequence) bool {
	for _, rdn := range want {
		for _, a := range rdn {
			text, ok := a.Value.(string)
			got, err := single(name, a.Type.String())
			if !ok || err != nil {
				return false
			}
			if got != text && !(a.Type.String() == oidSerialNumber && strings.HasPrefix(got, text)) {
				return false
			}
		}
	}
	return true
}

// Prefixes returns what EIDs of an EUM begin with, 8 to 30 digits each, as its
// certificate (DER) says. Who makes eUICCs chooses one; whether the result is
// within all limits, [Verifier.EUICC] says.
func Prefixes(eum []byte) ([]string, error) {
	c, err := parse(RoleEUM, eum)
	if err != nil {
		return nil, err
	}
	l, err := c.limits()
	if err != nil {
		return nil, c.refuse(err)
	}
	if l.eins != nil {
		return l.eins, nil
	}
	var list []string
	for _, name := range l.names {
		serial, err := single(name, oidSerialNumber)
		if err != nil {
			return nil, c.refuse(ErrConstraints)
		}
		list = append(list, serial)
	}
	return list, nil
}
