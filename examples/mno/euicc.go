package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"time"

	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/pki"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// makeEUICC makes the identity of an eUICC under the folder's EUM.
func (f *flags) makeEUICC(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	dir := folder(f.certs)
	made, err := ensurePKI(f.certs, f.hosts(), time.Now())
	if err != nil {
		return err
	}
	if made {
		log.Info("a private PKI was made", "certificates", f.certs)
	}
	cis, err := dir.cis(f.testCI)
	if err != nil {
		return err
	}
	eum, err := dir.eum(ctx)
	if err != nil {
		return err
	}
	id, err := f.newEID(eum)
	if err != nil {
		return err
	}
	c := &cardfile.Card{EID: id, EUM: eum.DER, CIs: cis, SMDP: f.fqdn}
	if err := certify(c, eum); err != nil {
		return err
	}
	if err := f.associate(ctx, c); err != nil {
		return err
	}
	file := f.out
	if file == "" {
		file = id.String() + ".json"
	}
	if err := c.Create(file); err != nil {
		return err
	}
	return printCard(stdout, c, file, f.json)
}

// associate makes the card obey the eIM, if there is one.
func (f *flags) associate(ctx context.Context, c *cardfile.Card) error {
	if f.esipa == "" {
		return nil
	}
	manager, err := f.newEIM(ctx, eim.Config{})
	if err != nil {
		return err
	}
	c.EIM = f.eimFQDN
	c.EIMConfiguration, err = manager.Configuration()
	return err
}

// eum is the EUM with its key.
func (d folder) eum(ctx context.Context) (*pki.Identity, error) {
	chain, err := d.chain("eum")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path("eum.pem"), err)
	}
	signer, err := d.key(ctx, "eum")
	if err != nil {
		return nil, err
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(c.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", d.path("eum.key"), d.path("eum.pem"))
	}
	return &pki.Identity{DER: chain[0], Certificate: c, Key: key}, nil
}

// newEID is the EID of the flag, or a random one of those that the EUM may give.
func (f *flags) newEID(eum *pki.Identity) (eid.ID, error) {
	if f.eid != "" {
		id, err := eid.Parse(f.eid)
		if err == nil && id.Kind() != eid.EID {
			err = errors.New("it is not 32 digits")
		}
		if err != nil {
			return eid.ID{}, usagef("-eid: %w", err)
		}
		return id, nil
	}
	prefixes, err := cert.Prefixes(eum.DER)
	if err != nil {
		return eid.ID{}, fmt.Errorf("eum.pem: %w", err)
	}
	first := prefixes[0]
	for len(first) < 30 {
		digit, err := rand.Int(rand.Reader, big.NewInt(10))
		if err != nil {
			return eid.ID{}, err
		}
		first += digit.String()
	}
	return eid.New(first)
}

// certify gives the card its keys and its certificate, which must be one that
// SM-DP+s of the CIs accept.
func certify(c *cardfile.Card, eum *pki.Identity) error {
	leaf, err := (&pki.PKI{EUM: eum, Start: time.Now().Add(-time.Hour)}).EUICC(c.EID.String())
	if err != nil {
		return err
	}
	if _, err := (&cert.Verifier{CIs: c.CIs}).EUICC(leaf.DER, eum.DER, nil); err != nil {
		return fmt.Errorf("no SM-DP+ would accept it: %w", err)
	}
	agreement, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c.Certificate = leaf.DER
	if c.Key, err = x509.MarshalPKCS8PrivateKey(leaf.Key); err != nil {
		return err
	}
	c.Agreement, err = x509.MarshalPKCS8PrivateKey(agreement)
	return err
}

// printCard says what was made. The public key is for the device's maker to file
// at a registry.
func printCard(out io.Writer, c *cardfile.Card, file string, asJSON bool) error {
	opener, err := c.Opener()
	if err != nil {
		return err
	}
	key := profile.FormatPublicKey(opener.PublicKey())
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]string{"eid": c.EID.String(), "file": file, "public_key": key})
	}
	_, err = fmt.Fprintf(out, "eUICC %s: %s, whoever has it is this eUICC; public key for its maker %s\n", c.EID, file, key)
	return err
}
