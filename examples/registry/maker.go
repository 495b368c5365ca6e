package main

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/csv"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
)

// playMaker is the command maker: an eUICC key for each device of an owner's
// list, and the claims that a maker signs. The private keys are thrown away, so
// that no device can ever open what is sealed to it: this is for trying out.
func playMaker(list, out string, stdout io.Writer) error {
	f, err := os.Open(list)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	rows, bad, err := registry.ReadCSV(f)
	if err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s: %d rows are wrong: %w", list, len(bad), bad[0])
	}
	claims, err := claimsOf(rows)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(claims)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"claims.csv": claims, "claims.csv.sig": signature,
		"maker.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	} {
		if err := writeFile(filepath.Join(out, name), data); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(stdout, "claims for %d devices are in %s, signed by the key of maker.pem\n", len(rows), filepath.Join(out, "claims.csv"))
	return err
}

func claimsOf(rows []registry.Row) ([]byte, error) {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	_ = w.Write([]string{"Device ID", "Public Key", "Model"}) // a Buffer takes everything
	for _, row := range rows {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		card, err := hpke.NewDHKEMPrivateKey(key)
		if err != nil {
			return nil, err
		}
		_ = w.Write([]string{row.ID.String(), profile.FormatPublicKey(card.PublicKey()), row.Model})
	}
	w.Flush()
	return text.Bytes(), w.Error()
}
