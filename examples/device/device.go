package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
)

// maxPEM bounds a file of certificates in bytes.
const maxPEM = 1 << 20

// device is the eUICC with what is around it.
type device struct {
	flags *flags
	file  *cardfile.Card
	card  *euicc.Card // nil where IoT profiles are not opened
	chip  *euicc.Chip
	kept  *kept
	lpa   *es9.LPA
	roots *x509.CertPool // of TLS

	stdin          io.Reader
	stdout, stderr io.Writer
}

// open puts the card into the device, as it was when it was last taken out.
func (f *flags) open() (*device, error) {
	d := &device{flags: f}
	var err error
	if d.file, err = cardfile.Read(f.card); err != nil {
		return nil, fmt.Errorf("-card: %w", err)
	}
	cfg := euicc.ChipConfig{
		EID: d.file.EID, Certificate: d.file.Certificate, EUM: d.file.EUM, CIs: d.file.CIs,
		DefaultSMDP: d.file.SMDP, Issuer: smdp.DefaultIssuer,
	}
	if len(d.file.EIMConfiguration) > 0 {
		cfg.EIMs = [][]byte{d.file.EIMConfiguration} // as the maker puts in; later the state has them
	}
	if cfg.Key, err = d.file.Signer(); err != nil {
		return nil, fmt.Errorf("%s: %w", f.card, err)
	}
	if cfg.State, err = readState(f.stateFile()); err != nil {
		return nil, err
	}
	if f.registry != "" {
		if err := d.opener(&cfg); err != nil {
			return nil, err
		}
	}
	if d.chip, err = euicc.NewChip(cfg); err != nil {
		return nil, d.explain(err)
	}
	if d.roots, err = f.roots(d.file.CIs); err != nil {
		return nil, err
	}
	client := d.http(f.smdp)
	d.kept = &kept{chip: d.chip, path: f.stateFile(), state: cfg.State, saved: d.chip.Changed()}
	d.lpa = &es9.LPA{Card: d.kept, Dial: func(address string) (es9.Backend, error) {
		return &es9.Client{BaseURL: "https://" + address, HTTP: client}, nil
	}}
	return d, nil
}

func (f *flags) stateFile() string { return f.card + ".state" }

// explain says which file an error of the chip is about.
func (d *device) explain(err error) error {
	if !errors.Is(err, euicc.ErrState) {
		return fmt.Errorf("%s: %w", d.flags.card, err)
	}
	if d.card == nil {
		return fmt.Errorf("%s: %w; a card that was used with -registry and -registry-ca needs them with every call", d.flags.stateFile(), err)
	}
	return fmt.Errorf("%s: %w", d.flags.stateFile(), err)
}

// opener adds what opens the IoT profiles of a registry.
func (d *device) opener(cfg *euicc.ChipConfig) error {
	key, err := d.file.Opener()
	if err != nil {
		return fmt.Errorf("%s: %w", d.flags.card, err)
	}
	if key == nil {
		return fmt.Errorf("%s has no agreementKey, so that nothing can be sealed for it: leave -registry out, or make another card", d.flags.card)
	}
	roots, err := certificates(d.flags.registryCA)
	if err != nil {
		return fmt.Errorf("-registry-ca: %w", err)
	}
	pool, found := x509.NewCertPool(), false
	for _, c := range roots {
		if bytes.Equal(c.RawIssuer, c.RawSubject) { // of a whole chain, the root alone
			pool.AddCert(c)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("-registry-ca: %s has no root certificate", d.flags.registryCA)
	}
	if d.card, err = euicc.New(euicc.Config{ID: d.file.EID, Key: key, Registry: d.flags.registry, Use: d.flags.use}); err != nil {
		return err
	}
	cfg.Card, cfg.Trust = d.card, profile.TrustRoots(x509.VerifyOptions{Roots: pool})
	return nil
}

// readState reads what the card keeps; nil where it has never kept anything.
func readState(path string) ([]byte, error) { return readPrivate(path, euicc.MaxState) }

// kept is a card that files what changes before it answers.
type kept struct {
	chip  *euicc.Chip
	path  string
	state []byte // that is filed; nil for none
	saved uint64 // what Changed was then
	stale bool   // somebody else has filed another
}

// errShared says that what this process knows of the card is out of date.
var errShared = errors.New("another process has used the card meanwhile: begin again, and let one at a time use it")

// file puts a state in the place of the one that was there before, and of no other.
func (k *kept) file(state []byte) error {
	there, err := readState(k.path)
	if err == nil && !bytes.Equal(there, k.state) {
		k.stale, err = true, errShared
	}
	if err != nil {
		return err
	}
	if err := cardfile.Replace(k.path, state); err != nil {
		return err
	}
	k.state = state
	return nil
}

// Reset takes the power away and gives it back.
func (k *kept) Reset() { k.chip.Reset() }

// Transmit carries out a command. Where its result cannot be filed there is none.
func (k *kept) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	response, err := k.chip.Transmit(ctx, command)
	n := k.chip.Changed()
	if n == k.saved {
		return response, err
	}
	state, failed := k.chip.Snapshot()
	if failed == nil {
		failed = k.file(state)
	}
	if failed != nil {
		return nil, errors.Join(err, fmt.Errorf("the card's state was not kept: %w", failed))
	}
	k.saved = n
	return response, err
}

// roots are whose servers are believed.
func (f *flags) roots(cis [][]byte) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any
	}
	for _, der := range cis {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: a CI is no certificate: %w", f.card, err)
		}
		roots.AddCert(c)
	}
	if f.ca != "" {
		more, err := certificates(f.ca)
		if err != nil {
			return nil, fmt.Errorf("-ca: %w", err)
		}
		for _, c := range more {
			roots.AddCert(c)
		}
	}
	return roots, nil
}

// http is a client for SM-DP+s or an eIM, which are all at to, unless it is empty.
func (d *device) http(to string) *http.Client {
	var dialer net.Dialer
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.roots},
		TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true, // a call or five, and the program ends or waits
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if to != "" {
				address = to
			}
			return dialer.DialContext(ctx, network, address)
		},
	}}
}

// certificates reads a PEM file of one certificate or more.
func certificates(path string) ([]*x509.Certificate, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPEM))
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no CERTIFICATE in PEM", path)
	}
	return list, nil
}
