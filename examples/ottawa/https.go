package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/iotregistry/sdk/examples/internal/keys"
)

// selfSigned makes the certificate of one server or client of the story. Who
// trusts it has been given it, or finds it by TLSA.
func selfSigned(ctx context.Context, keyDir, name string) (tls.Certificate, error) {
	key, err := keys.OpenOrCreate(ctx, filepath.Join(keyDir, name+".tls.pem"), keys.P256)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func poolOf(certs ...tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c.Leaf)
	}
	return pool
}

// mutual is a server's configuration that lets only peer in.
func mutual(own, peer tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: poolOf(peer),
	}
}

// client is an HTTP client that trusts only the server named, and presents own
// where there is one.
func client(server tls.Certificate, own *tls.Certificate) *http.Client {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: poolOf(server), ServerName: server.Leaf.DNSNames[0]}
	if own != nil {
		cfg.Certificates = []tls.Certificate{*own}
	}
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: cfg, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second},
	}
}

// httpsServer is one of the story's HTTPS servers on a port of its own.
type httpsServer struct {
	http.Server
	addr *net.TCPAddr
	done chan struct{}
}

func serveHTTPS(h http.Handler, cfg *tls.Config) (*httpsServer, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return serveOn(ln, h, cfg), nil
}

func serveOn(ln net.Listener, h http.Handler, cfg *tls.Config) *httpsServer {
	s := &httpsServer{addr: ln.Addr().(*net.TCPAddr), done: make(chan struct{})}
	s.Handler = h
	s.ReadHeaderTimeout = 10 * time.Second
	s.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are part of the story
	go func() {
		defer close(s.done)
		_ = s.Serve(tls.NewListener(ln, cfg))
	}()
	return s
}

func (s *httpsServer) url() string { return "https://" + s.addr.String() }

// stop closes the server and waits for it.
func (s *httpsServer) stop() {
	_ = s.Close()
	<-s.done
}
