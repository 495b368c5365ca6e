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
	"encoding/base64"
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
// list, and the claims that a maker signs. The eUICCs' private keys are thrown
// away, so that no device can ever open what is sealed to it: this is for trying
// out. With csr there is a signing key for each card, too: kept in a file, to
// connect with, where a real one never leaves its card.
func playMaker(list, out string, csr bool, stdout io.Writer) error {
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
	cards := ""
	if csr {
		cards = filepath.Join(out, "cards")
		if err := os.MkdirAll(cards, 0o700); err != nil {
			return err
		}
	}
	claims, err := claimsOf(rows, cards)
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

// claimsOf writes the list of claims. Where cards is a folder, it has a certificate
// request for each device, whose signing key is put there.
func claimsOf(rows []registry.Row, cards string) ([]byte, error) {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	header := []string{"Device ID", "Public Key", "Model"}
	if cards != "" {
		header = append(header, "CSR")
	}
	_ = w.Write(header) // a Buffer takes everything
	for _, row := range rows {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		card, err := hpke.NewDHKEMPrivateKey(key)
		if err != nil {
			return nil, err
		}
		cells := []string{row.ID.String(), profile.FormatPublicKey(card.PublicKey()), row.Model}
		if cards != "" {
			csr, err := requestOf(filepath.Join(cards, row.ID.String()+".pem"))
			if err != nil {
				return nil, err
			}
			cells = append(cells, base64.StdEncoding.EncodeToString(csr))
		}
		_ = w.Write(cells)
	}
	w.Flush()
	return text.Bytes(), w.Error()
}

// requestOf makes a signing key, as a card would, and its certificate request. A
// real card keeps the key.
func requestOf(path string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return csr, writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
