package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
)

// target is a name as people write it: an owner name, or HOST:PORT for the
// service there.
type target struct {
	owner string // with its final dot
	host  string // of HOST:PORT; else empty
	port  uint16
}

func parseTarget(s string) (target, error) {
	if strings.Contains(s, ":") {
		return parseService(s)
	}
	if _, ok := dns.IsDomainName(s); !ok || s == "" {
		return target{}, usagef("%q is neither a domain name nor HOST:PORT", s)
	}
	return target{owner: dns.CanonicalName(s)}, nil
}

func parseService(s string) (target, error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return target{}, usagef("want HOST:PORT: %w", err)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return target{}, usagef("%q: the port must be a number from 1 to 65535", s)
	}
	owner, err := dane.ServiceName(host, uint16(port))
	if err != nil {
		return target{}, usageError{err}
	}
	return target{dns.Fqdn(owner), strings.TrimSuffix(host, "."), uint16(port)}, nil
}

// types returns the record types that speak of certificates at the name.
func (t target) types() []uint16 {
	switch labels := dns.SplitDomainName(t.owner); {
	case strings.HasPrefix(t.owner, "_"), len(labels) > 1 && labels[1] == "_device":
		return []uint16{dns.TypeTLSA}
	default:
		return []uint16{dns.TypeCERT, dns.TypeTLSA}
	}
}

// isDevice reports whether the name has the form <profileID>.<deviceID>.<zone>
// or <deviceID>._device.<zone>.
func (t target) isDevice() bool {
	labels := dns.SplitDomainName(t.owner)
	if len(labels) < 3 {
		return false
	}
	_, err := strconv.ParseUint(labels[0], 10, 64)
	return err == nil || labels[1] == "_device"
}

// service takes HOST:PORT, or an owner name of the form _port._tcp.host, apart.
func (t target) service() (host string, port uint16, ok bool) {
	if t.host != "" {
		return t.host, t.port, true
	}
	label, host, ok := strings.Cut(strings.TrimPrefix(t.owner, "_"), "._tcp.")
	n, err := strconv.ParseUint(label, 10, 16)
	return host, uint16(n), ok && err == nil && strings.HasPrefix(t.owner, "_")
}

// maxCertificates bounds what is read from a certificate file.
const maxCertificates = 1 << 20

// readChain reads certificates, leaf first: PEM with any number, or DER with
// one.
func readChain(path string) ([]*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCertificates+1))
	if err == nil && len(data) > maxCertificates {
		err = errors.New("larger than 1 MiB")
	}
	var chain []*x509.Certificate
	if err == nil {
		chain, err = parseChain(data)
	}
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return chain, nil
}

func parseChain(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	blocks := false
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks = true
		if block.Type != "CERTIFICATE" {
			continue // such as the key beside it, which is not looked at
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	switch {
	case len(chain) > 0:
		return chain, nil
	case blocks:
		return nil, errors.New("the PEM text holds no CERTIFICATE")
	}
	c, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("neither PEM nor a DER certificate: %w", err)
	}
	return []*x509.Certificate{c}, nil
}
