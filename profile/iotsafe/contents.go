package iotsafe

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/iotregistry/sdk/internal/apdu"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// profileReads is how often a profile is read that changes while it is read.
const profileReads = 8

// fileReads is how often one file is read whose change is told by its reading.
const fileReads = 3

// Contents is the IoT profile as CIRA's prototype lays it out on the card.
type Contents struct {
	// Certificate is the device's, with the registry's issuer behind it and the
	// card's key as its private key.
	Certificate tls.Certificate

	Host string // where the provider (ASP) listens
	Port uint16

	Registry []*x509.Certificate // the registry's CAs: issuer first, root last
	ASP      *x509.Certificate   // the CA of the provider; nil: its TLSA records alone decide

	// The registry has signed where the provider listens, and the provider's CA.
	// What it has not signed is only as good as the path on which it came.
	EndpointSigned bool
	ASPSigned      bool
}

// Address returns "host:port" of the provider.
func (p *Contents) Address() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

// Leaf returns the device's certificate.
func (p *Contents) Leaf() *x509.Certificate { return p.Certificate.Leaf }

// TLSConfig returns a configuration for mutual TLS with the provider, whose
// certificate must chain to ASP. Without ASP nothing is trusted: hand the
// configuration to dane.Verifier.ClientConfig, which asks the DNS.
func (p *Contents) TLSConfig() *tls.Config {
	roots := x509.NewCertPool()
	if p.ASP != nil {
		roots.AddCert(p.ASP)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{p.Certificate}, RootCAs: roots, ServerName: p.Host, MinVersion: tls.VersionTLS12,
	}
}

// Profile reads the profile and checks it as far as that needs no DNS: the chain
// from the device's certificate to the registry's root and its validity now, and
// the registry's signatures over endpoint and provider where there are any. The
// error is ErrNotFound where a part is missing, as on a card that the registry has
// not reached yet, and ErrUntrusted where the parts do not fit together.
//
// A profile that changes while it is read is read again from its beginning.
func (c *Client) Profile(ctx context.Context) (*Contents, error) {
	wait := c.opts.Wait
	for n := 1; ; n++ {
		before := c.changeCount()
		p, err := c.readProfile(ctx)
		changed := errors.Is(err, ErrChanged) || c.changeCount() != before
		if !changed {
			c.mu.Lock()
			c.told = max(c.told, before)
			c.mu.Unlock()
			return p, err
		}
		if n == profileReads {
			return nil, fmt.Errorf("%w (it changed each of %d times that it was read)", ErrChanged, n)
		}
		if !errors.Is(err, ErrChanged) {
			continue // what was going on has ended while it was read
		}
		if err := c.opts.Sleep(ctx, wait); err != nil {
			return nil, fmt.Errorf("iotsafe: waiting for the profile: %w", err)
		}
		wait = min(2*wait, maxWait)
	}
}

// containers are the files of a profile as they were read; nil where missing.
type containers struct {
	leaf, asp, root, sub         []byte
	endpoint                     []byte
	endpointSigned, aspSignature []byte
}

func (c *Client) readProfile(ctx context.Context) (*Contents, error) {
	var f containers
	for _, part := range []struct {
		number   byte
		to       *[]byte
		required bool
	}{
		{words.CIRARoot, &f.root, true}, {words.CIRASub, &f.sub, false}, {words.CIRACertificate, &f.leaf, true},
		{words.CIRAASP, &f.asp, false}, {words.CIRAASPSigned, &f.aspSignature, false},
		{words.CIRAEndpoint, &f.endpoint, true}, {words.CIRAEndpointSigned, &f.endpointSigned, false},
	} {
		data, err := c.readContainer(ctx, Container(part.number))
		if err != nil && (part.required || !errors.Is(err, ErrNotFound)) {
			return nil, fmt.Errorf("iotsafe: profile, container %d: %w", part.number, err)
		}
		*part.to = data
	}
	return c.contents(&f)
}

// readContainer reads on at once where the card says that an update has ended: it
// says so of each object that was updated, once. While one is going on there is
// nothing to be read.
func (c *Client) readContainer(ctx context.Context, name Name) (data []byte, err error) {
	for range fileReads {
		err = c.quietly(ctx, true, func(ctx context.Context) error {
			data, err = c.readFile(ctx, name)
			return err
		})
		if !isStatus(err, apdu.OKAdminDone, apdu.AdminDoneFailed) {
			break
		}
	}
	return data, err
}

// contents checks what was read.
func (c *Client) contents(f *containers) (*Contents, error) {
	p := new(Contents)
	leaf, err := p.parseCertificates(f)
	if err != nil {
		return nil, err
	}
	if err := c.verifyChain(leaf, p); err != nil {
		return nil, err
	}
	if p.EndpointSigned, err = p.signed(f.endpoint, f.endpointSigned); err != nil {
		return nil, fmt.Errorf("%w: the endpoint's signature", err)
	}
	if p.ASPSigned, err = p.signed(f.asp, f.aspSignature); err != nil {
		return nil, fmt.Errorf("%w: the signature of the provider's CA", err)
	}
	if p.Host, p.Port, err = parseEndpoint(f.endpoint); err != nil {
		return nil, err
	}
	pub, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: the device's certificate is for a %T, not for a key of P-256", ErrUntrusted, leaf.PublicKey)
	}
	signer, err := c.SignerFor(Container(words.CIRAPrivateKey), pub)
	if err != nil {
		return nil, fmt.Errorf("%w: the device's certificate: %w", ErrUntrusted, err)
	}
	chain := [][]byte{leaf.Raw}
	for _, ca := range p.Registry[:len(p.Registry)-1] { // a peer has the root, or does not trust it
		chain = append(chain, ca.Raw)
	}
	p.Certificate = tls.Certificate{
		Certificate: chain, PrivateKey: signer, Leaf: leaf,
		SupportedSignatureAlgorithms: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	}
	return p, nil
}

func (p *Contents) parseCertificates(f *containers) (leaf *x509.Certificate, err error) {
	for _, part := range []struct {
		what string
		der  []byte
		keep func(*x509.Certificate)
	}{
		{"device's certificate", f.leaf, func(cert *x509.Certificate) { leaf = cert }},
		{"registry's issuer", f.sub, func(cert *x509.Certificate) { p.Registry = append(p.Registry, cert) }},
		{"registry's root", f.root, func(cert *x509.Certificate) { p.Registry = append(p.Registry, cert) }},
		{"provider's CA", f.asp, func(cert *x509.Certificate) { p.ASP = cert }},
	} {
		if part.der == nil {
			continue
		}
		cert, err := x509.ParseCertificate(part.der)
		if err != nil {
			return nil, malformed("profile", "%s: %v", part.what, err)
		}
		part.keep(cert)
	}
	return leaf, nil
}

// verifyChain checks the device's certificate up to the root that is on the card.
func (c *Client) verifyChain(leaf *x509.Certificate, p *Contents) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(p.Registry[len(p.Registry)-1])
	for _, ca := range p.Registry[:len(p.Registry)-1] {
		between.AddCert(ca)
	}
	now := c.opts.Now()
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("%w: the device's certificate: %w", ErrUntrusted, err)
	}
	if p.ASP != nil && (now.Before(p.ASP.NotBefore) || now.After(p.ASP.NotAfter)) {
		return fmt.Errorf("%w: the certificate of the provider's CA is not valid now", ErrUntrusted)
	}
	return nil
}

// signed checks the registry's issuer's signature over data, if there is one. It
// covers the bytes as they are on the card.
func (p *Contents) signed(data, signature []byte) (bool, error) {
	if signature == nil {
		return false, nil
	}
	pub, ok := p.Registry[0].PublicKey.(*ecdsa.PublicKey)
	digest := sha256.Sum256(data)
	if !ok || data == nil || !ecdsa.VerifyASN1(pub, digest[:], signature) {
		return false, fmt.Errorf("%w: %w", ErrUntrusted, ErrSignature)
	}
	return true, nil
}

// parseEndpoint reads {"url": ..., "port": ...}. The first is a host name, an
// address or a URL; the second a number, with quotation marks or without.
func parseEndpoint(b []byte) (host string, port uint16, err error) {
	var doc struct {
		URL  string      `json:"url"`
		Port json.Number `json:"port"`
	}
	if json.Unmarshal(b, &doc) != nil {
		return "", 0, malformed("profile", "the endpoint is no JSON with url and port")
	}
	host = doc.URL
	if strings.Contains(host, "://") {
		u, err := url.Parse(host)
		if err != nil {
			return "", 0, malformed("profile", "the endpoint's url is none")
		}
		host = u.Hostname()
		if doc.Port == "" {
			doc.Port = json.Number(u.Port())
		}
	}
	n, err := strconv.ParseUint(doc.Port.String(), 10, 16)
	if err != nil || n == 0 {
		return "", 0, malformed("profile", "the endpoint's port is not a number from 1 to 65535")
	}
	if !isHost(host) {
		return "", 0, malformed("profile", "the endpoint's url is neither a host name nor an address")
	}
	return host, uint16(n), nil
}

// isHost reports whether s is an address or the letters, digits, hyphens and dots
// of a host name (RFC 1123 section 2.1).
func isHost(s string) bool {
	if net.ParseIP(s) != nil {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return false
			}
		}
	}
	return true
}
