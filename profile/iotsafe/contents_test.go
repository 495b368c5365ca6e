package iotsafe_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

func TestProfileThatDoesNotHoldTogether(t *testing.T) {
	t.Parallel()
	file := func(id byte, data []byte) applet.Object { return applet.File{ID: []byte{id}, Data: data} }
	for name, row := range map[string]struct {
		change func(t *testing.T, w *world) applet.Object
		want   error
	}{
		"no certificate yet":   {func(*testing.T, *world) applet.Object { return applet.Removal{Object: applet.File{ID: []byte{2}}} }, iotsafe.ErrNotFound},
		"no root":              {func(*testing.T, *world) applet.Object { return applet.Removal{Object: applet.File{ID: []byte{6}}} }, iotsafe.ErrNotFound},
		"no endpoint":          {func(*testing.T, *world) applet.Object { return applet.Removal{Object: applet.File{ID: []byte{8}}} }, iotsafe.ErrNotFound},
		"nonsense certificate": {func(*testing.T, *world) applet.Object { return file(2, []byte{0x30, 3, 1, 2, 3}) }, iotsafe.ErrMalformed},
		"random bytes":         {func(*testing.T, *world) applet.Object { return file(2, []byte{7, 3, 1, 2, 3}) }, iotsafe.ErrMalformed},
		"another's root":       {func(t *testing.T, w *world) applet.Object { return file(6, w.aspCA.Raw) }, iotsafe.ErrUntrusted},
		"no issuer":            {func(*testing.T, *world) applet.Object { return applet.Removal{Object: applet.File{ID: []byte{7}}} }, iotsafe.ErrUntrusted},
		"endpoint not signed":  {func(*testing.T, *world) applet.Object { return file(8, []byte(`{"url":"evil.example","port":1}`)) }, iotsafe.ErrSignature},
		"provider not signed":  {func(t *testing.T, w *world) applet.Object { return file(3, w.authority.Root().Raw) }, iotsafe.ErrUntrusted},
		"signature, no file":   {func(*testing.T, *world) applet.Object { return applet.Removal{Object: applet.File{ID: []byte{3}}} }, iotsafe.ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, applet.StandardCard())
			require.NoError(t, w.card.Put(row.change(t, w)))
			c, _ := w.open(t, iotsafe.Options{})
			_, err := c.Profile(t.Context())
			require.ErrorIs(t, err, row.want)
		})
	}
	w := newWorld(t, applet.StandardCard())
	c, _ := w.open(t, iotsafe.Options{Now: func() time.Time { return time.Now().Add(48 * time.Hour) }})
	_, err := c.Profile(t.Context())
	require.ErrorIs(t, err, iotsafe.ErrUntrusted, "expired")
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"url":"parkoserv.ca","port":8883}`:               "parkoserv.ca:8883",
		`{"url":"parkoserv.ca","port":"8883"}`:             "parkoserv.ca:8883",
		`{"port":443,"url":"mqtts://parkoserv.ca","x":[]}`: "parkoserv.ca:443",
		`{"url":"mqtts://parkoserv.ca:8883/path"}`:         "parkoserv.ca:8883",
		`{"url":"192.0.2.1","port":1}`:                     "192.0.2.1:1",
		`{"url":"2001:db8::1","port":1}`:                   "[2001:db8::1]:1",
		`{"url":"parkoserv.ca"}`:                           "",
		`{"url":"","port":1}`:                              "",
		`{"url":"a b","port":1}`:                           "",
		`{"url":"-a.ca","port":1}`:                         "",
		`{"url":"a..ca","port":1}`:                         "",
		`{"url":"a.ca","port":0}`:                          "",
		`{"url":"a.ca","port":65536}`:                      "",
		`{"url":"a.ca","port":1.5}`:                        "",
		`{"url":"a.ca","port":-1}`:                         "",
		`{"url":"://","port":1}`:                           "",
		`{"url":1,"port":1}`:                               "",
	} {
		w := newWorld(t, applet.StandardCard())
		require.NoError(t, w.card.Put(applet.File{ID: []byte{8}, Data: []byte(text)}, applet.Removal{Object: applet.File{ID: []byte{9}}}))
		c, _ := w.open(t, iotsafe.Options{})
		p, err := c.Profile(t.Context())
		if want == "" {
			require.ErrorIs(t, err, iotsafe.ErrMalformed, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, p.Address())
		require.False(t, p.EndpointSigned)
	}
}

// The registry pushes a new profile while the device runs.
func TestProfileIsReadAgainAfterAnUpdate(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]applet.Quirks{"63CF": {}, "6989": {FailAfterUpdate: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quirks)
			var told atomic.Int32
			c, _ := w.open(t, iotsafe.Options{OnChange: func() { told.Add(1) }})
			old, err := c.Profile(t.Context())
			require.NoError(t, err)
			key := newKey(t)
			w.profile = w.issue(t, 16, key)
			update, err := w.card.BeginUpdate(w.objects(t, w.profile)...)
			require.NoError(t, err)
			digest := sha256.Sum256([]byte("x"))
			_, err = old.Certificate.PrivateKey.(crypto.Signer).Sign(nil, digest[:], crypto.SHA256)
			require.ErrorIs(t, err, iotsafe.ErrChanged, "while it is going on")
			_, err = c.Profile(t.Context())
			require.ErrorIs(t, err, iotsafe.ErrChanged)
			require.NoError(t, c.Changed(t.Context()))
			require.NoError(t, update.End())
			_, err = old.Certificate.PrivateKey.(crypto.Signer).Sign(nil, digest[:], crypto.SHA256)
			require.ErrorIs(t, err, iotsafe.ErrChanged, "once after it")
			require.NoError(t, c.Changed(t.Context()))
			require.Equal(t, int32(2), told.Load(), "not by Profile")

			wantProfile(t, w, c)
			_, err = old.Certificate.PrivateKey.(crypto.Signer).Sign(nil, digest[:], crypto.SHA256)
			require.ErrorIs(t, err, iotsafe.ErrSignature, "the old certificate's key is gone")
			w.key = key
			_, err = c.PublicKey(t.Context(), iotsafe.Container(1))
			require.ErrorIs(t, err, iotsafe.ErrChanged, "the public key says so too, once")
			require.NoError(t, c.Changed(t.Context()))
			wantSignatures(t, w, c)
			ended, end := context.WithCancel(t.Context())
			end()
			require.ErrorIs(t, c.Changed(ended), context.Canceled, "each change is told once")
		})
	}
}

func TestChangedWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.StandardCard())
	c, _ := w.open(t, iotsafe.Options{})
	result := make(chan error)
	go func() { result <- c.Changed(t.Context()) }()
	require.NoError(t, w.card.Update(applet.File{ID: []byte{22}, Data: []byte("new")}))
	_, err := c.ReadFile(t.Context(), iotsafe.Container(22))
	require.ErrorIs(t, err, iotsafe.ErrChanged)
	require.NoError(t, <-result)
}

func TestConcurrentSigning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, applet.CIRACard())
	c, _ := w.open(t, iotsafe.Options{})
	signer, err := c.Signer(t.Context(), iotsafe.Container(1))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			digest := sha256.Sum256([]byte{byte(i)})
			for range 5 {
				signature, err := signer.Sign(nil, digest[:], crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(&w.key.PublicKey, digest[:], signature) {
					t.Error("wrong signature", err)
				}
				if _, err := c.Random(t.Context(), 32); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// The card's key takes part in mutual TLS, at both versions that are in use.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"1.3": tls.VersionTLS13, "1.2": tls.VersionTLS12} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, applet.ThalesCard())
			c, _ := w.open(t, iotsafe.Options{})
			p, err := c.Profile(t.Context())
			require.NoError(t, err)
			device, cloud := net.Pipe()
			result := make(chan error, 1)
			go func() {
				conn := tls.Server(cloud, w.serverConfig(t, version))
				err := conn.HandshakeContext(t.Context())
				if err == nil {
					_, err = conn.Write([]byte(conn.ConnectionState().PeerCertificates[0].Subject.CommonName))
				}
				result <- err
			}()
			conn := tls.Client(device, p.TLSConfig())
			b := make([]byte, 100)
			n, err := conn.Read(b)
			require.NoError(t, err)
			require.Equal(t, w.profile.Name, string(b[:n]))
			require.Equal(t, version, conn.ConnectionState().Version)
			require.NoError(t, <-result)
		})
	}
}

func (w *world) serverConfig(t testing.TB, version uint16) *tls.Config {
	key := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: provider}, DNSNames: []string{provider},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, w.aspCA, key.Public(), w.asp)
	require.NoError(t, err)
	clients := x509.NewCertPool()
	clients.AddCert(w.authority.Root())
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
}
