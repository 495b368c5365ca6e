// Package rsptest has certificates of remote SIM provisioning for tests: a whole
// PKI of its own with [New], or the published one of GSMA SGP.26 with [SGP26].
// They are made by package pki. Nothing here is to be trusted by anything real.
package rsptest

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/pki"
)

// What package pki makes.
type (
	// Identity is a certificate and its key.
	Identity = pki.Identity
	// PKI is a CI and who has certificates of it.
	PKI = pki.PKI
)

// The values of SGP.26, which New takes over.
const (
	Organization = pki.Organization
	EIN          = pki.EIN // all EIDs of its EUM begin so
	EID          = pki.EID // of its eUICC
	SMDPOID      = pki.SMDPOID
)

// New makes a PKI whose certificates are valid for ten years from start.
func New(start time.Time) (*PKI, error) { return pki.New(start) }

// Issue makes a key and a certificate for it; a nil issuer is itself.
func Issue(issuer *Identity, template *x509.Certificate) (*Identity, error) {
	return pki.Issue(issuer, template)
}

// IssueFor is Issue for a key that is there already.
func IssueFor(issuer *Identity, template *x509.Certificate, key *ecdsa.PrivateKey) (*Identity, error) {
	return pki.IssueFor(issuer, template, key)
}

// Policy returns the policy of a role, marked critical.
func Policy(role cert.Role) pkix.Extension { return pki.Policy(role) }

// RegisteredID returns a subject alternative name that is an object identifier.
func RegisteredID(arcs ...int) pkix.Extension { return pki.RegisteredID(arcs...) }

// NameConstraint returns what keeps an EUM to an organization and to EIDs that
// begin with these digits, marked critical.
func NameConstraint(organization, ein string) pkix.Extension {
	return pki.NameConstraint(organization, ein)
}

// PermittedEINs returns the newer way to do it: a list of what EIDs begin with.
func PermittedEINs(eins ...string) pkix.Extension { return pki.PermittedEINs(eins...) }

// SGP26 reads the published test PKI and skips the test where it is absent. Its
// server certificates are valid until 2030-03-30.
func SGP26(t testing.TB) *PKI {
	t.Helper()
	dir := filepath.Join(sharedData(t), "sgp26")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("shared/data has no SGP.26 test PKI here")
	}
	read := func(name string) *Identity {
		id, err := load(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	return &PKI{
		CI: read("CI"), EUM: read("EUM"), DPAuth: read("S_SM_DPauth"), DPPB: read("S_SM_DPpb"),
		Start: time.Date(2020, 4, 2, 0, 0, 0, 0, time.UTC),
	}
}

// SGP26EUICC reads the published eUICC, whose EID is [EID].
func SGP26EUICC(t testing.TB) *Identity {
	t.Helper()
	SGP26(t) // or skip
	id, err := load(filepath.Join(sharedData(t), "sgp26"), "EUICC")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// sharedData is beside the module's root.
func sharedData(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared", "data")
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("shared/data is looked for beside the module, which is not here")
	return ""
}

func load(dir, name string) (*Identity, error) {
	der, err := os.ReadFile(filepath.Join(dir, "CERT_"+name+"_ECDSA_NIST.der"))
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("rsptest: %s: %w", name, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "SK_"+name+"_ECDSA_NIST.pem"))
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "EC PRIVATE KEY" { // parameters come first
			continue
		}
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("rsptest: %s: %w", name, err)
		}
		return &Identity{DER: der, Certificate: c, Key: key}, nil
	}
	return nil, fmt.Errorf("rsptest: no private key of %s", name)
}
