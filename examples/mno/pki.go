package main

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/rsp/pki"
)

// eumRange is what the EIDs of the private PKI begin with, which is no
// manufacturer's: there is no country 999.
const eumRange = "89999901"

// ensurePKI makes a private PKI where the folder has nothing in it. It is made
// beside and moved there, so that there is never half of one.
func ensurePKI(dir string, names hosts, now time.Time) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if len(entries) > 0 {
		return false, nil
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return false, err
	}
	tmp, err := os.MkdirTemp(parent, ".certs-*") // mode 0700
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	if err := makePKI(tmp, names, now); err != nil {
		return false, fmt.Errorf("private PKI: %w", err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, os.Rename(tmp, dir)
}

// hosts are the names of what is served; eim is empty where there is no eIM.
type hosts struct{ smdp, eim string }

func makePKI(dir string, names hosts, now time.Time) error {
	fqdn := names.smdp
	p, err := pki.NewNamed(now.Add(-time.Hour), pki.Names{
		CI: "Private CI of " + fqdn, EUM: "Private EUM of " + fqdn, EIN: eumRange, SMDP: fqdn,
	})
	if err != nil {
		return err
	}
	ca, err := issue(p.CI, &x509.Certificate{
		Subject: pkix.Name{CommonName: "TLS of " + fqdn}, NotBefore: p.Start, NotAfter: p.CI.Certificate.NotAfter,
		IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	})
	if err != nil {
		return err
	}
	server, err := issue(ca, serverTemplate(names, p.Start))
	if err != nil {
		return err
	}
	files := map[string]*pki.Identity{"ci": p.CI, "eum": p.EUM, "dpauth": p.DPAuth, "dppb": p.DPPB, "tls-ca": ca, "server": server}
	for name, subject := range map[string]string{"es2-client": "registry", "progress-client": fqdn} {
		files[name], err = issue(ca, &x509.Certificate{
			Subject: pkix.Name{CommonName: subject}, NotBefore: p.Start, NotAfter: p.Start.AddDate(10, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return err
		}
	}
	// Of the CI, and of no use for TLS: it has no host name.
	if files["eim"], err = issue(p.CI, &x509.Certificate{
		Subject: pkix.Name{CommonName: cmp.Or(names.eim, "eIM of "+fqdn)}, NotBefore: p.Start, NotAfter: p.Start.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}); err != nil {
		return err
	}
	for name, id := range files {
		chain := [][]byte{id.DER}
		if bytes.Equal(id.Certificate.RawIssuer, ca.Certificate.RawSubject) {
			chain = append(chain, ca.DER) // for who trusts the CI alone
		}
		if err := writeIdentity(dir, name, chain, id.Key); err != nil {
			return err
		}
	}
	return nil
}

func serverTemplate(names hosts, start time.Time) *x509.Certificate {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: names.smdp}, NotBefore: start, NotAfter: start.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, name := range []string{names.smdp, names.eim, "localhost"} {
		host := hostOf(name)
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else if host != "" && !slices.Contains(c.DNSNames, host) {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	return c
}

// hostOf is a name without the port that test networks have in it.
func hostOf(name string) string {
	host, _, _ := strings.Cut(name, ":")
	return host
}

func issue(issuer *pki.Identity, c *x509.Certificate) (*pki.Identity, error) {
	var err error
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	c.BasicConstraintsValid = true
	return pki.Issue(issuer, c)
}

func writeIdentity(dir, name string, chain [][]byte, key crypto.PrivateKey) error {
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".pem"), text, 0o644); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
