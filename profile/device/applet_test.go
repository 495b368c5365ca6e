package device_test

import (
	"context"
	"crypto/x509"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// fill puts a profile into an applet, as the card does with what its registry
// sends.
func fill(t testing.TB, card *applet.Applet, p *profile.Profile) {
	objects, err := applet.CIRA(p, applet.CIRAOptions{Card: card})
	require.NoError(t, err)
	require.NoError(t, card.Update(objects...))
}

// The same runtime runs on an IoT SAFE applet: the key stays on the card, and what
// the registry puts there counts at once.
func TestApplet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	card, err := applet.New(applet.Config{})
	require.NoError(t, err)
	client, err := iotsafe.Open(t.Context(), card, iotsafe.Options{Now: w.Now})
	require.NoError(t, err)
	address, _ := w.serving(t, "parkoserv.ca", nil, hold)
	source := device.FromApplet(client, zone)
	source.Every = time.Millisecond
	d := &meter{Device: &device.Device{Source: source, Verifier: w.verifier(), DialContext: to(address)}}

	_, err = d.Verify(t.Context())
	require.ErrorIs(t, err, device.ErrNoProfile)
	r := run(t, w, d)
	r.next(device.NoProfile)
	first := w.profile(t, w.authority, 11, "parkoserv.ca")
	w.AddCERT(first.Name+".", first.Certificate)
	fill(t, card, first)
	r.connected(11)
	second := w.profile(t, w.authority, 16, "parkoserv.ca")
	w.AddCERT(second.Name+".", second.Certificate)
	fill(t, card, second)
	r.connected(16)

	elsewhere := device.FromApplet(client, "registry.example")
	_, err = elsewhere.Load(t.Context())
	require.ErrorContains(t, err, "another registry's card")
}

// connected waits for a connection with this profile. The card says that its
// contents have changed whenever it is asked next, once or twice.
func (r *running) connected(profileID uint64) {
	r.t.Helper()
	for e := range r.events {
		if e.Kind == device.Connected && e.ProfileID == profileID {
			return
		}
		require.Equal(r.t, device.Changed, e.Kind, "%v", e.Err)
	}
}

// What the registry has not signed whoever can write to the card may have written.
func TestAppletSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := newKey(t)
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: newKey(t), IssuerKey: issuer, Now: w.Now})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		endpoint, asp bool // signed by the issuer
		withASP       bool
		want          error
	}{
		"nothing":                {want: device.ErrUnsigned},
		"the endpoint":           {endpoint: true},
		"both":                   {endpoint: true, asp: true, withASP: true},
		"the endpoint of a CA's": {endpoint: true, withASP: true, want: device.ErrUnsigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			card, err := applet.New(applet.Config{})
			require.NoError(t, err)
			client, err := iotsafe.Open(t.Context(), card, iotsafe.Options{Now: w.Now})
			require.NoError(t, err)
			p := w.profile(t, authority, 11, "parkoserv.ca")
			if c.withASP {
				p.ASPCertificates = [][]byte{authority.Root().Raw}
			}
			objects, err := applet.CIRA(p, applet.CIRAOptions{Issuer: issuer})
			require.NoError(t, err)
			for i, signed := range []bool{c.endpoint, c.asp} {
				if file, ok := objects[len(objects)-2+i].(applet.File); ok && !signed {
					objects[len(objects)-2+i] = applet.Removal{Object: file}
				}
			}
			require.NoError(t, card.Put(objects...))
			source := device.FromApplet(client, zone)
			_, err = source.Load(t.Context())
			require.NoError(t, err)
			source.Signed = true
			_, err = source.Load(t.Context())
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
		})
	}
}

// What is on the card instead of the profile in use ends its use, whatever it is.
func TestAppletReplaced(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *world, *profile.Profile) *profile.Profile{
		"another registry's": func(t *testing.T, w *world, _ *profile.Profile) *profile.Profile {
			other := w.profile(t, w.authority, 11, "parkoserv.ca")
			key := newKey(t)
			a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: "evil." + zone, RootKey: newKey(t), IssuerKey: newKey(t), Now: w.Now})
			require.NoError(t, err)
			other.Name = "11.1000000000000001.evil." + zone
			other.Certificate, err = a.Issue(profile.Request{Name: other.Name, Device: id, PublicKey: key.Public(), NotAfter: other.NotAfter})
			require.NoError(t, err)
			other.PrivateKey, err = x509.MarshalPKCS8PrivateKey(key)
			require.NoError(t, err)
			other.CACertificates = a.Chain()
			return other
		},
		"the CA of its provider": func(_ *testing.T, w *world, p *profile.Profile) *profile.Profile {
			other := *p
			other.ASPCertificates = [][]byte{w.authority.Root().Raw}
			return &other
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			card, err := applet.New(applet.Config{})
			require.NoError(t, err)
			client, err := iotsafe.Open(t.Context(), card, iotsafe.Options{Now: w.Now})
			require.NoError(t, err)
			p := w.profile(t, w.authority, 11, "parkoserv.ca")
			fill(t, card, p)
			source := device.FromApplet(client, zone)
			source.Every = time.Millisecond
			c, err := source.Load(t.Context())
			require.NoError(t, err)
			fill(t, card, change(t, w, p))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			require.NoError(t, source.Wait(ctx, c))
		})
	}
}

// Reading takes a card seconds: who waits after a look does not look again at once.
func TestAppletWaitsWithoutReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	card, err := applet.New(applet.Config{})
	require.NoError(t, err)
	counted := &counting{Transport: card}
	client, err := iotsafe.Open(t.Context(), counted, iotsafe.Options{Now: w.Now})
	require.NoError(t, err)
	source := device.FromApplet(client, zone)
	_, err = source.Load(t.Context())
	require.ErrorIs(t, err, device.ErrNoProfile)
	fill(t, card, w.profile(t, w.authority, 11, "parkoserv.ca"))
	c, err := source.Load(t.Context())
	require.NoError(t, err)

	before := counted.n.Load()
	ended, stop := context.WithCancel(t.Context())
	stop()
	require.ErrorIs(t, source.Wait(ended, c), context.Canceled)
	require.Equal(t, before, counted.n.Load())
	require.NoError(t, source.Wait(t.Context(), nil), "another one than none is there")
	require.Equal(t, before, counted.n.Load())

	fill(t, card, w.profile(t, w.authority, 16, "parkoserv.ca"))
	_, err = client.Random(t.Context(), 8) // any command tells
	require.NoError(t, err)
	_, err = client.ReadFile(t.Context(), iotsafe.Container(2))
	require.ErrorIs(t, err, iotsafe.ErrChanged)
	require.NoError(t, source.Wait(t.Context(), c))
	require.Greater(t, counted.n.Load(), before)
}

type counting struct {
	iotsafe.Transport
	n atomic.Int64
}

func (c *counting) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.n.Add(1)
	return c.Transport.Transmit(ctx, command)
}
