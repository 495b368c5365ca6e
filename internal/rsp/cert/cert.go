// Package cert checks the certificates of remote SIM provisioning: CI to EUM to
// eUICC, and CI to DPauth and DPpb (GSMA SGP.22 version 2.5 section 4.5.2).
//
//	v := cert.Verifier{CIs: [][]byte{ci}}
//	card, err := v.EUICC(euicc, eum, chosenKeyID)
//
// What crypto/x509 does not know is enforced here before it is asked: roles, key
// usages, the EIDs an EUM may give out. A critical extension that neither knows
// is refused. Revocation is not looked at. Keys are on P-256.
package cert

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/iotregistry/sdk/internal/rsp"
)

// maxSize bounds one certificate in bytes.
const maxSize = 16 << 10

// Why a certificate is refused. The error is always an [*Error].
var (
	ErrFormat      = errors.New("not an X.509 version 3 certificate with ECDSA on P-256")
	ErrUnknownCI   = errors.New("no trusted CI has this key ID")
	ErrValidity    = errors.New("not valid at this time")
	ErrIssuer      = errors.New("not issued by this issuer: name, key ID or signature differs")
	ErrRole        = errors.New("not the one policy of its role, marked critical")
	ErrKeyUsage    = errors.New("key usage or basic constraints are not those of its role")
	ErrCritical    = errors.New("critical extension that is not known here")
	ErrEID         = errors.New("no EID of 32 digits as the only serialNumber of its subject")
	ErrConstraints = errors.New("no limits to the EIDs of this EUM that are understood here")
	ErrRange       = errors.New("EID or organization is outside the limits of its EUM")
	ErrOID         = errors.New("not exactly one object identifier as subject alternative name")
	ErrOtherServer = errors.New("DPauth and DPpb are of different SM-DP+s or CIs")
)

// Error says which certificate is refused, and why.
type Error struct {
	Role   Role
	Status rsp.Status // what ES9+ answers
	Err    error      // wraps one of the sentinels of this package
}

// Error describes the refusal. What crypto/x509 adds may name the parties.
func (e *Error) Error() string { return fmt.Sprintf("cert: %v (%v): %v", e.Role, e.Status, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Verifier checks chains. It may be used by many goroutines at once.
type Verifier struct {
	CIs [][]byte         // DER of the root certificates that are trusted
	Now func() time.Time // nil: time.Now
}

// EUICC is a verified eUICC.
type EUICC struct {
	EID       rsp.EID
	PublicKey *ecdsa.PublicKey
	CIKeyID   []byte // subject key ID of its CI
	Leaf, EUM *x509.Certificate
}

// Server is a verified DPauth or DPpb.
type Server struct {
	Role      Role
	OID       rsp.OID
	PublicKey *ecdsa.PublicKey
	CIKeyID   []byte // subject key ID of its CI
	Leaf      *x509.Certificate
}

// EUICC checks an eUICC's chain, given in DER as the eUICC sends it. ciKeyID is the
// CI that was chosen for the session; nil accepts each of the trusted ones.
func (v *Verifier) EUICC(euicc, eum, ciKeyID []byte) (*EUICC, error) {
	now := v.now()
	middle, err := parse(RoleEUM, eum)
	if err != nil {
		return nil, err
	}
	ci, err := v.findCI(middle, ciKeyID, now)
	if err != nil {
		return nil, err
	}
	if err := middle.check(ci, now); err != nil {
		return nil, err
	}
	limits, err := middle.limits()
	if err != nil {
		return nil, middle.refuse(err)
	}
	leaf, err := parse(RoleEUICC, euicc)
	if err != nil {
		return nil, err
	}
	if err := leaf.check(middle, now); err != nil {
		if errors.Is(err, ErrValidity) { // which counts for nothing of a forged EUM
			err = cmp.Or(middle.signed(ci), err)
		}
		return nil, err
	}
	id, err := leaf.eid()
	if err != nil {
		return nil, leaf.refuse(err)
	}
	if err := limits.allow(leaf, id); err != nil {
		return nil, leaf.refuse(err)
	}
	if err := chain(leaf, middle, ci, now); err != nil {
		return nil, err
	}
	return &EUICC{EID: id, PublicKey: leaf.key, CIKeyID: ci.SubjectKeyId, Leaf: leaf.Certificate, EUM: middle.Certificate}, nil
}

// Server checks the certificate of an SM-DP+ in one role, RoleDPAuth or RoleDPPB.
// ciKeyID is the CI that was chosen for the session; nil accepts each of the
// trusted ones.
func (v *Verifier) Server(role Role, der, ciKeyID []byte) (*Server, error) {
	now := v.now()
	leaf, err := parse(role, der)
	if err != nil {
		return nil, err
	}
	if role != RoleDPAuth && role != RoleDPPB {
		return nil, leaf.refuse(fmt.Errorf("%w: %v is no role of an SM-DP+ in a session", ErrRole, role))
	}
	ci, err := v.findCI(leaf, ciKeyID, now)
	if err != nil {
		return nil, err
	}
	if err := leaf.check(ci, now); err != nil {
		return nil, err
	}
	id, err := leaf.registeredID()
	if err != nil {
		return nil, leaf.refuse(err)
	}
	if err := chain(leaf, nil, ci, now); err != nil {
		return nil, err
	}
	return &Server{Role: role, OID: id, PublicKey: leaf.key, CIKeyID: ci.SubjectKeyId, Leaf: leaf.Certificate}, nil
}

// SameServer checks that a verified DPauth and a verified DPpb belong together:
// the same object identifier, under the same CI.
func SameServer(auth, pb *Server) error {
	if auth.Role != RoleDPAuth || pb.Role != RoleDPPB || auth.OID != pb.OID || !bytes.Equal(auth.CIKeyID, pb.CIKeyID) {
		return &Error{Role: RoleDPPB, Status: RoleDPPB.status(ErrOtherServer), Err: ErrOtherServer}
	}
	return nil
}

func (v *Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

// findCI returns the trusted CI that has issued c, itself checked. Of several with
// one key, such as a CI's old and new certificate, it is the first that is good.
func (v *Verifier) findCI(c *certificate, chosen []byte, now time.Time) (*certificate, error) {
	var refusal error = &Error{Role: c.role, Status: RoleCI.status(ErrUnknownCI), Err: ErrUnknownCI}
	if len(c.AuthorityKeyId) == 0 || chosen != nil && !bytes.Equal(chosen, c.AuthorityKeyId) {
		return nil, refusal
	}
	for _, der := range v.CIs {
		ci, err := parse(RoleCI, der)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(ci.SubjectKeyId, c.AuthorityKeyId) {
			continue
		}
		if err := ci.check(ci, now); err != nil {
			refusal = err
			continue
		}
		return ci, nil
	}
	return nil, refusal
}

// certificate is a parsed certificate in the role it is used in.
type certificate struct {
	*x509.Certificate
	role Role
	key  *ecdsa.PublicKey
}

func parse(role Role, der []byte) (*certificate, error) {
	c := &certificate{role: role}
	if len(der) > maxSize {
		return nil, c.refuse(fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, len(der), maxSize))
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, c.refuse(fmt.Errorf("%w: %w", ErrFormat, err))
	}
	key, ok := parsed.PublicKey.(*ecdsa.PublicKey)
	if parsed.Version != 3 || !ok || key.Curve != elliptic.P256() || parsed.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, c.refuse(ErrFormat)
	}
	c.Certificate, c.key = parsed, key
	return c, nil
}

// refuse puts role and status to a cause.
func (c *certificate) refuse(err error) error {
	return &Error{Role: c.role, Status: c.role.status(err), Err: err}
}

// check is everything about c and its issuer that holds in each role.
func (c *certificate) check(issuer *certificate, now time.Time) error {
	for _, rule := range []func() error{c.extensions, c.policy, c.usage, func() error { return c.issued(issuer) }} {
		if err := rule(); err != nil {
			return c.refuse(err)
		}
	}
	if !now.Before(c.NotBefore) && !now.After(c.NotAfter) {
		return nil
	}
	// Expired is only what would be right else.
	return cmp.Or(c.signed(issuer), c.refuse(ErrValidity))
}

// signed checks one signature, where chain is not asked.
func (c *certificate) signed(issuer *certificate) error {
	if err := c.CheckSignatureFrom(issuer.Certificate); err != nil {
		return c.refuse(fmt.Errorf("%w: %w", ErrIssuer, err))
	}
	return nil
}

// issued checks key ID and name.
func (c *certificate) issued(issuer *certificate) error {
	root := c.role == RoleCI
	switch {
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("%w: names", ErrIssuer)
	case len(issuer.SubjectKeyId) == 0,
		!bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId) && !(root && len(c.AuthorityKeyId) == 0):
		return fmt.Errorf("%w: key IDs", ErrIssuer)
	}
	return nil // the signature is checked by chain, with the others
}

// chain lets crypto/x509 judge, signatures above all: after everything else, since
// they are what costs time.
func chain(leaf, middle, ci *certificate, now time.Time) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ci.handled())
	if middle != nil {
		others.AddCert(middle.handled())
	}
	chains, err := leaf.handled().Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: others, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	// A way from the leaf straight to the CI leaves out the EUM, whose limits were
	// looked at but whose signature then was not.
	through := func(c []*x509.Certificate) bool { return len(c) == 3 && c[1].Equal(middle.Certificate) }
	if err == nil && (middle == nil || slices.ContainsFunc(chains, through)) {
		return nil
	}
	if err == nil {
		err = errors.New("the eUICC is not of this EUM")
	}
	guilty := leaf
	if middle != nil && middle.CheckSignatureFrom(ci.Certificate) != nil {
		guilty = middle
	}
	return guilty.refuse(fmt.Errorf("%w: %w", ErrIssuer, err))
}

// handled returns a copy for crypto/x509, which refuses the critical extensions it
// does not process: the name constraints of an EUM above all. The method
// extensions has found no other than those enforced here.
func (c *certificate) handled() *x509.Certificate {
	plain := *c.Certificate
	plain.UnhandledCriticalExtensions = nil
	return &plain
}
