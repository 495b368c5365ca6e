package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// Role is what a certificate is for. Its number ends the object identifier of its
// policy, 2.23.146.1.2.1.
type Role int

// The roles of certificates (SGP.22 section 4.5.2.1).
const (
	RoleCI Role = iota
	RoleEUICC
	RoleEUM
	RoleDPTLS
	RoleDPAuth
	RoleDPPB
	RoleDSTLS
	RoleDSAuth
)

// String returns the role's name.
func (r Role) String() string {
	names := []string{"CI", "eUICC", "EUM", "DPtls", "DPauth", "DPpb", "DStls", "DSauth"}
	if r < 0 || int(r) >= len(names) {
		return fmt.Sprintf("role %d", int(r))
	}
	return names[r]
}

// status returns what ES9+ answers when a certificate in this role is refused.
func (r Role) status(err error) rsp.Status {
	reason := "6.1"
	if errors.Is(err, ErrValidity) {
		reason = "6.3"
	}
	switch r {
	case RoleCI:
		return rsp.Status{Subject: "8.11.1", Reason: "3.9"}
	case RoleEUICC:
		return rsp.Status{Subject: "8.1.3", Reason: reason}
	case RoleEUM:
		return rsp.Status{Subject: "8.1.2", Reason: reason}
	}
	return rsp.Status{Subject: "8.8.4", Reason: reason}
}

// Identifiers of extensions, policies and attributes.
const (
	oidKeyUsage         = "2.5.29.15"
	oidSubjectAltName   = "2.5.29.17"
	oidBasicConstraints = "2.5.29.19"
	oidNameConstraints  = "2.5.29.30"
	oidPolicies         = "2.5.29.32"
	oidPermittedEINs    = "2.23.146.1.2.2.0"
	oidRoles            = "2.23.146.1.2.1." // and the role's number
	oidSerialNumber     = "2.5.4.5"
	oidOrganization     = "2.5.4.10"
)

// extensions refuses every critical extension whose meaning is not enforced here.
func (c *certificate) extensions() error {
	known := []string{oidKeyUsage, oidSubjectAltName, oidBasicConstraints, oidPolicies}
	if c.role == RoleEUM {
		known = append(known, oidNameConstraints, oidPermittedEINs)
	}
	for _, e := range c.Extensions {
		id := e.Id.String()
		if e.Critical && !slices.Contains(known, id) {
			return fmt.Errorf("%w: %v", ErrCritical, id)
		}
		if c.role != RoleEUM && (id == oidNameConstraints || id == oidPermittedEINs) {
			return fmt.Errorf("%w: %v is an EUM's", ErrCritical, id)
		}
	}
	for _, e := range c.UnhandledCriticalExtensions {
		id := e.String()
		if !slices.Contains(known, id) || id == oidSubjectAltName && !c.hasRegisteredID() {
			return fmt.Errorf("%w: %v", ErrCritical, id)
		}
	}
	return nil
}

func (c *certificate) hasRegisteredID() bool {
	_, err := c.registeredID()
	return err == nil
}

// extension returns the extension with this identifier; crypto/x509 has refused
// certificates with two of them.
func (c *certificate) extension(id string) (value []byte, critical, ok bool) {
	for _, e := range c.Extensions {
		if e.Id.String() == id {
			return e.Value, e.Critical, true
		}
	}
	return nil, false, false
}

// policy checks that the certificate is for this role and for no other.
func (c *certificate) policy() error {
	_, critical, _ := c.extension(oidPolicies)
	n := 0
	for _, policy := range c.PolicyIdentifiers {
		role, ok := strings.CutPrefix(policy.String(), oidRoles)
		if !ok {
			continue
		}
		if role != strconv.Itoa(int(c.role)) {
			return fmt.Errorf("%w: it has the one of another role", ErrRole)
		}
		n++
	}
	if n != 1 || !critical {
		return ErrRole
	}
	return nil
}

// usage checks what the key may do: sign certificates, or anything else that is
// signed, never both.
func (c *certificate) usage() error {
	_, usageCritical, _ := c.extension(oidKeyUsage)
	_, basicCritical, _ := c.extension(oidBasicConstraints)
	ca := c.BasicConstraintsValid && c.IsCA && basicCritical &&
		c.KeyUsage|x509.KeyUsageCRLSign == x509.KeyUsageCertSign|x509.KeyUsageCRLSign // EUMs in the field may sign CRLs
	good := usageCritical
	switch c.role {
	case RoleCI:
		good = good && ca
	case RoleEUM:
		good = good && ca && c.MaxPathLen == 0 && c.MaxPathLenZero
	default:
		good = good && !c.IsCA && c.KeyUsage == x509.KeyUsageDigitalSignature
	}
	if !good {
		return ErrKeyUsage
	}
	return nil
}

// tagRegisteredID is [8] of GeneralName.
const tagRegisteredID bertlv.Tag = 0x88

// registeredID returns the object identifier among the subject's alternative
// names, which must be the only one of its kind.
func (c *certificate) registeredID() (rsp.OID, error) {
	value, _, ok := c.extension(oidSubjectAltName)
	if !ok {
		return "", ErrOID
	}
	names, err := children(value, 0x30)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOID, err)
	}
	var found rsp.OID
	for _, name := range names {
		if name.Tag != tagRegisteredID {
			continue
		}
		id, err := rsp.DecodeOID(name.Value)
		if err != nil || found != "" {
			return "", ErrOID
		}
		found = id
	}
	if found == "" {
		return "", ErrOID
	}
	return found, nil
}

// children reads value as one object with this tag.
func children(value []byte, tag bertlv.Tag) ([]bertlv.TLV, error) {
	t, err := bertlv.Parse(value)
	if err != nil {
		return nil, err
	}
	if t.Tag != tag {
		return nil, fmt.Errorf("tag %v instead of %v", t.Tag, tag)
	}
	return t.Children()
}
