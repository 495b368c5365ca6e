package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/iotregistry/sdk/examples/internal/keys"
	"github.com/iotregistry/sdk/mno/smdp"
)

// maxPEM bounds a file of certificates in bytes.
const maxPEM = 1 << 20

// folder is where certificates and keys are. Its methods' errors name the file.
type folder string

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

// chain reads NAME.pem: DER, one certificate or more.
func (d folder) chain(name string) ([][]byte, error) { return readChain(d.path(name + ".pem")) }

func readChain(path string) (chain [][]byte, err error) {
	text, err := readBounded(path, maxPEM)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%s: no CERTIFICATE in PEM", path)
	}
	return chain, nil
}

// readBounded reads a file of at most this many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: larger than %d bytes", path, most)
	}
	return text, err
}

func pool(path string) (*x509.CertPool, error) {
	chain, err := readChain(path)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		p.AddCert(c)
	}
	return p, nil
}

func (d folder) key(ctx context.Context, name string) (crypto.Signer, error) {
	return keys.Open(ctx, d.path(name+".key"))
}

// credential reads a certificate that eUICCs are shown.
func (d folder) credential(ctx context.Context, name string) (smdp.Credential, error) {
	chain, err := d.chain(name)
	if err != nil {
		return smdp.Credential{}, err
	}
	key, err := d.key(ctx, name)
	return smdp.Credential{Certificate: chain[0], Key: key}, err
}

// tls reads a certificate for TLS.
func (d folder) tls(ctx context.Context, name string) (tls.Certificate, error) {
	chain, err := d.chain(name)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := d.key(ctx, name)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %w", d.path(name+".pem"), err)
	}
	if k, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(key.Public()) {
		return tls.Certificate{}, fmt.Errorf("%s is not the key of %s", d.path(name+".key"), d.path(name+".pem"))
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}
