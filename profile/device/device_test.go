package device_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
)

func TestDeviceAndProviderKnowEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.device(t, w.serve(t, "parkoserv.ca", nil))
	p, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	id, err := d.Verify(t.Context())
	require.NoError(t, err)
	require.Equal(t, p.ID, id.Credentials.ProfileID)
	require.IsType(t, new(dns.CERT), id.Device.Record)
	require.True(t, w.authority.Root().Equal(id.Registry.Certificate))
	name, err := greeting(t, d)
	require.NoError(t, err)
	require.Equal(t, "11.1000000000000001.iotregistry.ca", name)
}

// After a transfer the device serves another provider under another name, and
// the first one's profile cannot come back.
func TestTransfer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.device(t, w.serve(t, "carparkserv.ca", nil))
	first := w.order(t, d, 11, "parkoserv.ca")
	_, err := d.Install(t.Context(), first)
	require.NoError(t, err)
	_, err = d.Install(t.Context(), w.order(t, d, 16, "carparkserv.ca"))
	require.NoError(t, err)
	w.Withdraw("11.1000000000000001.iotregistry.ca.")
	name, err := greeting(t, d)
	require.NoError(t, err)
	require.Equal(t, "16.1000000000000001.iotregistry.ca", name)
	_, err = d.Install(t.Context(), first)
	require.ErrorIs(t, err, profile.ErrReplayed)
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*testing.T, *world, *meter) []byte // returns the profile
		want  []error
	}{
		"nonsense": {func(*testing.T, *world, *meter) []byte { return []byte("x") }, []error{profile.ErrMalformed}},
		"an authority of its own": {func(t *testing.T, w *world, d *meter) []byte {
			thief := newAuthority(t, w)
			b, err := thief.Seal(d.Card.PublicKey(), w.profile(t, thief, 11, "evil.example"))
			require.NoError(t, err)
			return b
		}, []error{profile.ErrUntrusted, dane.ErrNoMatch}},
		"an issuer that a device certified": {func(t *testing.T, w *world, d *meter) []byte {
			return sealByDevice(t, w, d)
		}, []error{profile.ErrUntrusted}},
		"no authority published": {func(t *testing.T, w *world, d *meter) []byte {
			w.RemoveRR(authorityRecord(t, w.authority))
			return w.order(t, d, 11, "parkoserv.ca")
		}, []error{profile.ErrUntrusted, dane.ErrAbsent}},
		"no DNS": {func(t *testing.T, w *world, d *meter) []byte {
			w.Inject(danetest.Fault{Effect: danetest.ServFail()})
			return w.order(t, d, 11, "parkoserv.ca")
		}, []error{profile.ErrUntrusted, dane.ErrIndeterminate}},
		"a lie about the authority": {func(t *testing.T, w *world, d *meter) []byte {
			w.Inject(danetest.Fault{Name: zone + ".", Type: dns.TypeTLSA, Effect: danetest.Lie()})
			return w.order(t, d, 11, "parkoserv.ca")
		}, []error{profile.ErrUntrusted, dane.ErrBogus}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.device(t, "")
			p, err := d.Install(t.Context(), c.spoil(t, w, d))
			for _, want := range c.want {
				require.ErrorIs(t, err, want)
			}
			require.Nil(t, p)
			_, err = d.Verify(t.Context())
			require.ErrorIs(t, err, device.ErrNoProfile, "nothing was installed")
		})
	}
}

// sealByDevice seals as one who has got hold of a device's key would: with an
// issuer's certificate, in form, that the device's key has signed.
func sealByDevice(t *testing.T, w *world, d *meter) []byte {
	p := w.profile(t, w.authority, 11, "evil.example")
	deviceKey, err := x509.ParsePKCS8PrivateKey(p.PrivateKey.Reveal())
	require.NoError(t, err)
	leaf, err := p.Leaf()
	require.NoError(t, err)
	key := newKey(t)
	tmpl := *w.authority.Issuer()
	tmpl.MaxPathLen, tmpl.MaxPathLenZero = -1, false
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, leaf, key.Public(), deviceKey)
	require.NoError(t, err)
	b, err := profile.Seal(d.Card.PublicKey(), p, profile.Signer{
		Key: key, Chain: append([][]byte{der, p.Certificate}, w.authority.Chain()...),
	})
	require.NoError(t, err)
	return b
}

// A device connects when the DNS confirms it and not otherwise; only a proof of
// absence reads as a withdrawal.
func TestVerifyFailsClosed(t *testing.T) {
	t.Parallel()
	const name = "11.1000000000000001.iotregistry.ca."
	for what, c := range map[string]struct {
		spoil func(*testing.T, *world)
		want  error
	}{
		"withdrawn":     {func(_ *testing.T, w *world) { w.Withdraw(name) }, dane.ErrAbsent},
		"another's":     {func(_ *testing.T, w *world) { w.Withdraw(name); w.AddCERT(name, w.authority.Root().Raw) }, dane.ErrNoMatch},
		"servfail":      {func(_ *testing.T, w *world) { w.Inject(danetest.Fault{Name: name, Effect: danetest.ServFail()}) }, dane.ErrIndeterminate},
		"dropped":       {func(_ *testing.T, w *world) { w.Inject(danetest.Fault{Name: name, Effect: danetest.Drop()}) }, dane.ErrIndeterminate},
		"unsigned":      {func(_ *testing.T, w *world) { w.Inject(danetest.Fault{Name: name, Effect: danetest.Strip()}) }, dane.ErrBogus},
		"forged denial": {func(_ *testing.T, w *world) { w.Inject(danetest.Fault{Name: name, Effect: deny}) }, dane.ErrBogus},
		"authority gone": {func(t *testing.T, w *world) {
			w.RemoveRR(authorityRecord(t, w.authority))
		}, dane.ErrAbsent},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.device(t, "")
			_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
			require.NoError(t, err)
			_, err = d.Verify(t.Context())
			require.NoError(t, err)
			d.Verifier = w.verifier() // forgets what was confirmed
			c.spoil(t, w)
			id, err := d.Verify(t.Context())
			require.ErrorIs(t, err, c.want)
			require.Nil(t, id)
			if !errors.Is(c.want, dane.ErrAbsent) {
				require.NotErrorIs(t, err, dane.ErrAbsent)
			}
			_, err = d.Dial(t.Context())
			require.ErrorIs(t, err, c.want)
		})
	}
}

// deny says that the name does not exist, without a proof.
var deny = danetest.Mutate(func(m *dns.Msg) { m.Rcode, m.Answer, m.Ns = dns.RcodeNameError, nil, nil })

func TestDialRefuses(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		spoil func(*testing.T, *world, *meter)
		want  error
	}{
		"a provider with another certificate": {func(t *testing.T, w *world, d *meter) {
			d.DialContext = to(w.serve(t, "parkoserv.ca", w.authority.Root()))
		}, dane.ErrNoMatch},
		"a provider that publishes nothing": {func(t *testing.T, w *world, d *meter) {
			d.DialContext = to(w.serve(t, "carparkserv.ca", nil))
		}, dane.ErrAbsent},
		"nobody there": {func(t *testing.T, w *world, d *meter) {
			d.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
		}, io.ErrClosedPipe},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.device(t, "")
			_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
			require.NoError(t, err)
			c.spoil(t, w, d)
			_, err = d.Dial(t.Context())
			require.ErrorIs(t, err, c.want)
		})
	}
	w := newWorld(t)
	d := w.device(t, "")
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	d.Verifier = w.verifier()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Dial(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, dane.ErrAbsent)
}

// What the device has in its cache the provider may know better: a withdrawn
// profile is refused although its device has not heard of it.
func TestProviderRefusesWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.device(t, w.serve(t, "parkoserv.ca", nil))
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	_, err = d.Verify(t.Context())
	require.NoError(t, err)
	w.Withdraw("11.1000000000000001.iotregistry.ca.")
	name, err := greeting(t, d)
	require.Error(t, err)
	require.Empty(t, name)

	w.Advance(2 * time.Hour) // longer than the records live in caches
	_, err = d.Dial(t.Context())
	require.ErrorIs(t, err, dane.ErrAbsent)
}

// A profile whose key is in the card cannot be used before the card can sign.
func TestKeyInTheCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.device(t, w.serve(t, "parkoserv.ca", nil))
	p := w.profile(t, w.authority, 11, "parkoserv.ca")
	key, err := x509.ParsePKCS8PrivateKey(p.PrivateKey.Reveal())
	require.NoError(t, err)
	p.PrivateKey = nil
	sealed, err := w.authority.Seal(d.Card.PublicKey(), p)
	require.NoError(t, err)
	w.AddCERT(p.Name+".", p.Certificate)
	_, err = d.Install(t.Context(), sealed)
	require.NoError(t, err)

	_, err = d.Verify(t.Context())
	require.ErrorIs(t, err, profile.ErrInvalid)
	d.Source = device.FromEUICC(d.Card, newKey(t))
	_, err = d.Verify(t.Context())
	require.ErrorIs(t, err, profile.ErrInvalid, "another key")
	d.Source = device.FromEUICC(d.Card, key.(crypto.Signer))
	name, err := greeting(t, d)
	require.NoError(t, err)
	require.Equal(t, p.Name, name)
}

func TestTLSConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.device(t, "")
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	c, err := d.Source.Load(t.Context())
	require.NoError(t, err)
	cfg := d.TLSConfig(c)
	require.Len(t, cfg.Certificates, 1)
	require.GreaterOrEqual(t, cfg.MinVersion, uint16(tls.VersionTLS13))
}

// A profile may demand that the provider is certified by a CA besides what it
// publishes.
func TestProviderOfACA(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{"its own": true, "another": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			address, own := w.serveCertified(t, "parkoserv.ca")
			d := w.device(t, address)
			p := w.profile(t, w.authority, 11, "parkoserv.ca")
			p.ASPCertificates = [][]byte{w.authority.Root().Raw}
			if good {
				p.ASPCertificates = append(p.ASPCertificates, own)
			}
			sealed, err := w.authority.Seal(d.Card.PublicKey(), p)
			require.NoError(t, err)
			w.AddCERT(p.Name+".", p.Certificate)
			_, err = d.Install(t.Context(), sealed)
			require.NoError(t, err)
			_, err = d.Dial(t.Context())
			if good {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, device.ErrProvider)
			}
		})
	}
}
