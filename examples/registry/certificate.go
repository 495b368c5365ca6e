package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"sync"
	"time"
)

// Lives of the certificates that the registry makes for its own API.
const (
	caLife     = 10 * 365 * day
	serverLife = 90 * day
	renewAt    = 30 * day // what is left then
)

// serverTLS is the API's certificate: the configured one, or one of the
// registry's own CA, whose fingerprint it returns.
func (s *service) serverTLS(ctx context.Context, host string) (cfg *tls.Config, fingerprint string, err error) {
	if s.cfg.TLS.Cert != "" {
		own, err := tls.LoadX509KeyPair(s.cfg.TLS.Cert, s.cfg.TLS.Key)
		if err != nil {
			return nil, "", usagef("tls: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{own}}, "", nil
	}
	key, err := s.key(ctx, "", "tls-ca")
	if err != nil {
		return nil, "", err
	}
	ca, err := s.ownCA(key)
	if err != nil {
		return nil, "", err
	}
	m := &minter{ca: ca, key: key, names: append([]string{"localhost", "127.0.0.1", "::1", host}, s.cfg.TLS.Names...)}
	if _, err := m.certificate(nil); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(ca.Raw)
	return &tls.Config{GetCertificate: m.certificate}, hex.EncodeToString(sum[:]), nil
}

func (s *service) caFile() string {
	if s.cfg.TLS.Cert != "" {
		return ""
	}
	return s.path("ca.pem")
}

// ownCA reads the CA's certificate, or makes it.
func (s *service) ownCA(key crypto.Signer) (*x509.Certificate, error) {
	chain, err := readChain(s.caFile())
	if err == nil && len(chain) == 1 {
		return x509.ParseCertificate(chain[0])
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no single certificate: %w", s.caFile(), err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "API of " + s.cfg.Zone, Organization: []string{s.cfg.Organization}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife), IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca, err := sign(tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return ca, writeFile(s.caFile(), certificates([][]byte{ca.Raw}))
}

func sign(tmpl, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	var err error
	if tmpl.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// minter makes the API's certificate anew before it ends, with a key that never
// leaves the process.
type minter struct {
	ca    *x509.Certificate
	key   crypto.Signer
	names []string

	mu  sync.Mutex
	now *tls.Certificate
}

func (m *minter) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now != nil && time.Until(m.now.Leaf.NotAfter) > renewAt {
		return m.now, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(serverLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range m.names {
		if ip := net.ParseIP(name); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else if name != "" {
			tmpl.DNSNames = append(tmpl.DNSNames, name)
		}
	}
	leaf, err := sign(tmpl, m.ca, key.Public(), m.key)
	if err != nil {
		return nil, err
	}
	m.now = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	return m.now, nil
}
