package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/examples/internal/keys"
)

// Life of the certificates that the program makes, and what is left of it when
// the next one is made.
const (
	certLife = 365 * 24 * time.Hour
	renewAt  = 30 * 24 * time.Hour
)

const tlsaTTL = 3600

// identity is the service's certificate.
type identity interface {
	certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

type given struct{ cert tls.Certificate }

func (g *given) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &g.cert, nil }

// openIdentity loads the configured certificate, or opens the key of the data
// folder, which the first start makes.
func openIdentity(ctx context.Context, cfg *settings) (identity, error) {
	if cfg.tlsCert != "" {
		cert, err := tls.LoadX509KeyPair(cfg.tlsCert, cfg.tlsKey)
		if err != nil {
			return nil, usagef("-tls-cert: %w", err)
		}
		return &given{cert}, nil
	}
	if err := makeFolder(cfg.data); err != nil {
		return nil, err
	}
	key, err := keys.OpenOrCreate(ctx, filepath.Join(cfg.data, "tls.key"), keys.P256)
	if err != nil {
		return nil, err
	}
	now := cfg.now
	if now == nil {
		now = time.Now
	}
	m := &minter{host: cfg.host, key: key, now: now}
	cert, err := m.certificate(nil)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Leaf.Raw})
	return m, os.WriteFile(filepath.Join(cfg.data, "tls.pem"), text, 0o600)
}

// makeFolder makes the data folder, or looks whether others can get into it.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o, so that others can put keys into it: chmod 700 it", dir, info.Mode().Perm())
	}
	return nil
}

// minter signs certificates for one key, which stays: so does its TLSA record.
type minter struct {
	host string
	key  crypto.Signer
	now  func() time.Time

	mu   sync.Mutex
	last *tls.Certificate
}

func (m *minter) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.last != nil && m.last.Leaf.NotAfter.Sub(now) > renewAt {
		return m.last, nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: m.host}, DNSNames: []string{m.host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(m.host) > 64 { // the most that a common name holds
		tmpl.Subject.CommonName = ""
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, m.key.Public(), m.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	m.last = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: m.key, Leaf: leaf}
	return m.last, nil
}

// tlsa returns the record by which devices know the service on a port.
func tlsa(id identity, host string, port uint16) (string, error) {
	cert, err := id.certificate(nil)
	if err != nil {
		return "", err
	}
	name, err := dane.ServiceName(host, port)
	if err != nil {
		return "", err
	}
	if cert.Leaf == nil {
		return "", errors.New("the service's certificate cannot be read")
	}
	rr, err := dane.NewTLSA(dns.Fqdn(name), tlsaTTL, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, cert.Leaf)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(rr.String(), "\t", " "), nil
}
