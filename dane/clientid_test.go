package dane_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

func TestClientID(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"_smtp-client.device1.example.com", "sensor7._device.example.com", "device73.example.com",
		"1.8912230200031060003F.iotregistry.ca", "a", strings.Repeat("a.", 126) + "a",
	} {
		v, err := dane.ClientIDValue(name)
		require.NoError(t, err, name)
		require.Equal(t, append([]byte{byte(len(name))}, name...), v)
		got, err := dane.ParseClientID(v)
		require.NoError(t, err)
		require.Equal(t, name, got) // verbatim, case kept
	}
	for _, name := range []string{
		"", ".", "a.", "a..b", ".a", "*._device.example.com", `a\046b.example`, "a b", "münchen.de", "-a.example",
		strings.Repeat("a.", 127), strings.Repeat("a", 64), "a\x00b",
	} {
		_, err := dane.ClientIDValue(name)
		require.ErrorIs(t, err, dane.ErrInvalid, "%q", name)
		if len(name) < 256 {
			_, err = dane.ParseClientID(append([]byte{byte(len(name))}, name...))
			require.ErrorIs(t, err, dane.ErrInvalid, "%q", name)
		}
	}
	for _, v := range [][]byte{nil, {}, {0}, {1}, {2, 'a'}, {1, 'a', 'b'}, {255}} {
		_, err := dane.ParseClientID(v)
		require.ErrorIs(t, err, dane.ErrInvalid, "%v", v)
	}
}

func TestClientIDRequest(t *testing.T) {
	t.Parallel()
	require.Equal(t, []byte{0}, dane.ClientIDRequest())
	require.NoError(t, dane.ParseClientIDRequest(dane.ClientIDRequest()))
	for _, v := range [][]byte{nil, {1}, {0, 0}, {1, 'a'}} {
		require.ErrorIs(t, dane.ParseClientIDRequest(v), dane.ErrInvalid)
	}
}

func FuzzClientID(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte("\x1bsensor7._device.example.com"))
	f.Add([]byte("\x02a."))
	f.Fuzz(func(t *testing.T, value []byte) {
		name, err := dane.ParseClientID(value)
		if err != nil {
			return
		}
		again, err := dane.ClientIDValue(name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(value, again))
		_, ok := dns.IsDomainName(name)
		require.True(t, ok)
	})
}
