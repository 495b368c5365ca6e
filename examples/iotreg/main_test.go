package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
)

const meter = "11.1000000000000001.iotregistry.ca"

// lab is a DNS world on loopback with a running service and a meter's
// certificate, and the flags to reach it.
type lab struct {
	*danetest.World
	t       *testing.T
	dir     string
	service tls.Certificate
	target  string // parkoserv.ca:<port>, served on loopback
	owner   string // of its TLSA records
	flags   []string
	sni     atomic.Value // the name that the last client asked the service for
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{World: danetest.NewWorld(t, danetest.Config{Unsigned: []string{"plain.ca."}, TTL: 86400}), t: t, dir: t.TempDir()}
	l.service = l.mint("parkoserv.ca")
	port := l.serve()
	l.target, l.owner = "parkoserv.ca:"+port, "_"+port+"._tcp.parkoserv.ca."
	l.Add("parkoserv.ca. 300 A 127.0.0.1", "plain.ca. 300 A 127.0.0.1")
	n, err := strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	owner, err := dane.ServiceName("parkoserv.ca", uint16(n))
	require.NoError(t, err)
	tlsa, err := dane.NewTLSA(owner, 300, 3, 1, 1, l.service.Leaf)
	require.NoError(t, err)
	device := l.mint(meter)
	cert, err := dane.NewCERT(meter, 300, device.Leaf)
	require.NoError(t, err)
	l.AddRR(tlsa, cert)
	l.file("meter.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: device.Leaf.Raw}))
	l.file("meter.der", device.Leaf.Raw)
	l.file("other.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.mint(meter).Leaf.Raw}))
	l.file("anchor", []byte(l.Anchor()))
	l.flags = []string{"-server", l.Addr(), "-anchor", l.path("anchor"), "-time", l.Now().Format(time.RFC3339)}
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) file(name string, data []byte) {
	l.t.Helper()
	require.NoError(l.t, os.WriteFile(l.path(name), data, 0o600))
}

func (l *lab) mint(name string) tls.Certificate {
	l.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(l.t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test of " + name}, DNSNames: []string{name},
		NotBefore: l.Now().AddDate(-1, 0, 0), NotAfter: l.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(l.t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(l.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serve completes TLS handshakes until the test ends, and returns its port.
func (l *lab) serve() string {
	l.t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{l.service},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			l.sni.Store(hello.ServerName)
			return nil, nil
		},
	})
	require.NoError(l.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake() // the client's loss
			c.Close()
		}
	}()
	l.t.Cleanup(func() {
		ln.Close()
		<-done
	})
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(l.t, err)
	return port
}

// iotreg runs the program against the lab.
func (l *lab) iotreg(args ...string) (code int, stdout, stderr string) {
	l.t.Helper()
	var out, complaint bytes.Buffer
	code = run(l.t.Context(), append(append([]string{args[0]}, l.flags...), args[1:]...), &out, &complaint)
	return code, out.String(), complaint.String()
}

// object runs the program with -json and returns the object.
func (l *lab) object(args ...string) (code int, object map[string]any) {
	l.t.Helper()
	code, stdout, stderr := l.iotreg(append(args, "-json")...)
	require.Empty(l.t, stderr)
	require.Equal(l.t, 1, strings.Count(stdout, "\n"), "one line: %s", stdout)
	require.NoError(l.t, json.Unmarshal([]byte(stdout), &object))
	return code, object
}
