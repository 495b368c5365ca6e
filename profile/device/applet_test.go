package device_test

import (
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
