package aspd_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/examples/internal/aspd"
)

func stateOf(names ...string) tls.ConnectionState {
	return tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{{DNSNames: names}}}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		name string
		err  error
	}{
		{"profile and device below a zone", "11.1000000000000001.IoTregistry.ca", nil},
		{"below another of the zones", "7.1000000000000001.example.net", nil},
		{"foreign zone", "11.1000000000000001.example.org", dane.ErrNotAllowed},
		{"the zone itself", "iotregistry.ca", dane.ErrNotAllowed},
		{"no profile", "1000000000000001.iotregistry.ca", aspd.ErrName},
		{"profile 0", "0.1000000000000001.iotregistry.ca", aspd.ErrName},
		{"more labels", "a.11.1000000000000001.iotregistry.ca", aspd.ErrName},
		{"no device ID", "11.www.iotregistry.ca", aspd.ErrName},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			d, err := aspd.Identify(stateOf(c.name), "iotregistry.ca", "Example.net.")
			require.ErrorIs(t, err, c.err)
			if c.err != nil {
				return
			}
			require.Equal(t, strings.ToLower(c.name), d.Name)
			require.Equal(t, "1000000000000001", d.ID.String())
			require.True(t, strings.HasSuffix(d.Name, "."+d.Zone))
			require.Len(t, d.Chain, 1)
		})
	}
	_, err := aspd.Identify(tls.ConnectionState{}, "iotregistry.ca")
	require.ErrorIs(t, err, dane.ErrInvalid)
}

func TestIs(t *testing.T) {
	t.Parallel()
	d := device(1, 11)
	for text, want := range map[string]bool{
		d.ID.String(): true, d.Name: true, strings.ToUpper(d.Name) + ".": true,
		"": false, device(2, 11).ID.String(): false, device(1, 12).Name: false, d.ID.String() + " ": false,
	} {
		require.Equal(t, want, d.Is(text), text)
	}
}

func FuzzIdentify(f *testing.F) {
	for _, s := range []string{"11.1000000000000001.iotregistry.ca", "*.iotregistry.ca", "11.89999901000000000000000000000067.iotregistry.ca.", "\x00.iotregistry.ca"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		d, err := aspd.Identify(stateOf(name), "iotregistry.ca")
		if err != nil {
			return
		}
		require.True(t, d.Is(name) && d.Is(d.ID.String()))
		require.NotZero(t, d.ProfileID)
		require.False(t, strings.ContainsAny(d.ID.String(), "/+#$"), "it becomes part of a topic")
		again, err := dane.DeviceName(d.ProfileID, d.ID.String(), d.Zone)
		require.NoError(t, err)
		require.Equal(t, d.Name, again)
	})
}
