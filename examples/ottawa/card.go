package main

import (
	"context"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// Where meters keep their profiles and keys.
const (
	cardApplet = "iotsafe" // an IoT SAFE applet that makes the meter's key, beside the eUICC
	cardSoft   = "soft"    // the eUICC alone, with the key that the registry makes
	cardTPM    = "tpm"     // a TPM 2.0 has the keys of the meter and of its eUICC
)

// factory makes cards of one kind.
type factory struct {
	kind string
	tpm  *tpmkeys.TPM
}

// newFactory opens the TPM where one is needed.
func newFactory(kind, tpm string) (*factory, error) {
	k := &factory{kind: kind}
	if kind != cardTPM {
		return k, nil
	}
	var err error
	if k.tpm, err = tpmkeys.OpenDevice(tpm, tpmkeys.Options{}); err != nil {
		return nil, fmt.Errorf("-card tpm: %w", err)
	}
	return k, nil
}

func (k *factory) close() error {
	if k.tpm == nil {
		return nil
	}
	return k.tpm.Close()
}

// fitting is what a card is made with.
type fitting struct {
	agreement hpke.PrivateKey // that profiles are sealed to
	request   []byte          // PKCS #10 for the key of the meter's certificates; nil: the registry makes it
	use       func(*profile.Profile)
}

// fit makes the keys of a meter and what is beside its eUICC.
func (k *factory) fit(ctx context.Context, m *meter) (*fitting, error) {
	switch k.kind {
	case cardApplet:
		return m.fitApplet(ctx)
	case cardTPM:
		return m.fitTPM(k.tpm)
	}
	agreement, err := newKey()
	return &fitting{agreement: agreement}, err
}

// fitApplet puts an IoT SAFE applet on the card, which makes the meter's key and
// takes the profiles that the eUICC opens.
func (m *meter) fitApplet(ctx context.Context) (*fitting, error) {
	agreement, err := newKey()
	if err != nil {
		return nil, err
	}
	security, err := applet.New(applet.Config{})
	if err != nil {
		return nil, err
	}
	container := []byte{1}
	pub, err := security.GenerateKey(ctx, container)
	if err != nil {
		return nil, err
	}
	request, err := security.CSR(container, m.id.String())
	if err != nil {
		return nil, err
	}
	client, err := iotsafe.Open(ctx, security, iotsafe.Options{})
	if err != nil {
		return nil, err
	}
	if m.key, err = client.SignerFor(iotsafe.Container(1), pub); err != nil {
		return nil, err
	}
	m.device.Source = device.FromApplet(client, registryZone)
	return &fitting{agreement, request, func(p *profile.Profile) {
		if p == nil {
			return // between two profiles: the applet has the former until it gets the next
		}
		objects, err := applet.CIRA(p, applet.CIRAOptions{Card: security})
		m.unfit = errors.Join(err, security.Update(objects...))
	}}, nil
}

// fitTPM has a TPM make the meter's keys. They leave it wrapped only, and would be
// kept so in a real meter.
func (m *meter) fitTPM(tpm *tpmkeys.TPM) (*fitting, error) {
	exchanger, err := tpm.NewAgreement()
	if err != nil {
		return nil, err
	}
	agreement, err := hpke.NewDHKEMPrivateKey(exchanger)
	if err != nil {
		return nil, err
	}
	signer, err := tpm.NewSigner()
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, signer)
	m.key = signer
	return &fitting{agreement: agreement, request: request}, err
}
