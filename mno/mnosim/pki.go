package mnosim

import (
	"crypto"
	"crypto/x509/pkix"
	"fmt"
	"sync"
	"time"

	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/pki"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// gsma is a GSMA in a box: a CI, an SM-DP+ with certificates of it, and as many
// makers of eUICCs as there are kinds of EID.
type gsma struct {
	*pki.PKI
	mu   sync.Mutex
	eums map[string]*pki.Identity // by the first digits of their EIDs
}

// newGSMA makes one of which everything is valid for ten years.
func newGSMA(now time.Time) (*gsma, error) {
	p, err := pki.New(now.Add(-time.Hour)) // for devices whose clocks are late
	if err != nil {
		return nil, err
	}
	return &gsma{PKI: p, eums: map[string]*pki.Identity{}}, nil
}

// settings puts the SM-DP+'s certificates in.
func (p *gsma) settings(c *smdp.ServerConfig) {
	c.Auth = smdp.Credential{Certificate: p.DPAuth.DER, Key: p.DPAuth.Key}
	c.Binding = smdp.Credential{Certificate: p.DPPB.DER, Key: p.DPPB.Key}
	c.CIs = [][]byte{p.CI.DER}
}

// ein is how many digits of an EID name its eUICC's maker (GSMA SGP.29).
const ein = 8

// eum returns the maker whose EIDs begin with these digits.
func (p *gsma) eum(prefix string) (*pki.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own, ok := p.eums[prefix]; ok {
		return own, nil
	}
	template, err := p.Template(cert.RoleEUM)
	if err != nil {
		return nil, err
	}
	template.Subject.CommonName += " " + prefix
	template.ExtraExtensions = []pkix.Extension{pki.Policy(cert.RoleEUM), pki.NameConstraint(pki.Organization, prefix)}
	own, err := pki.Issue(p.CI, template)
	if err == nil {
		p.eums[prefix] = own
	}
	return own, err
}

// EUICC is what an eUICC is made with, as its maker puts it in: see ChipConfig of
// package profile/euicc.
type EUICC struct {
	EID              eid.ID
	Certificate, EUM []byte        // CERT.EUICC and CERT.EUM, DER
	Key              crypto.Signer // SK.EUICC
	CIs              [][]byte      // certificates of trusted CIs, DER
	EIMs             [][]byte      // configuration of the operator's eIM, DER
}

// EUICC certifies an eUICC that this operator's SM-DP+ will serve.
func (o *Operator) EUICC(id eid.ID) (EUICC, error) {
	if id.Kind() != eid.EID {
		return EUICC{}, fmt.Errorf("mnosim: %v is no EID: eUICCs have no other names", id)
	}
	maker, err := o.gsma.eum(id.String()[:ein])
	if err != nil {
		return EUICC{}, err
	}
	manager, err := o.eim.Configuration()
	if err != nil {
		return EUICC{}, err
	}
	template, err := o.gsma.Template(cert.RoleEUICC)
	if err != nil {
		return EUICC{}, err
	}
	template.Subject.SerialNumber = id.String()
	own, err := pki.Issue(maker, template)
	if err != nil {
		return EUICC{}, err
	}
	return EUICC{
		EID: id, Certificate: own.DER, EUM: maker.DER, Key: own.Key, CIs: [][]byte{o.gsma.CI.DER}, EIMs: [][]byte{manager},
	}, nil
}
