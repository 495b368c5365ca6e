package profile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	p := newProfile(t, a)
	p.ASPCertificates = [][]byte{a.Root().Raw}
	b, err := p.Encode()
	require.NoError(t, err)
	again, err := p.Encode()
	require.NoError(t, err)
	require.Equal(t, b, again)
	got, err := profile.Decode(b)
	require.NoError(t, err)
	require.Equal(t, p, got)
	require.True(t, p.Equal(got))
	got.Port++
	require.False(t, p.Equal(got))
	require.False(t, p.Equal(nil))
	require.False(t, new(profile.Profile).Equal(new(profile.Profile)))

	// A later version may add members.
	more := append([]byte(`{"later":{"x":[1]},`), b[1:]...)
	got, err = profile.Decode(more)
	require.NoError(t, err)
	require.Equal(t, p, got)

	// But no other format, and not without end.
	_, err = profile.Decode(bytes.Replace(b, []byte("iot-profile/1"), []byte("iot-profile/2"), 1))
	require.ErrorIs(t, err, profile.ErrInvalid)
	_, err = profile.Decode(append(bytes.Clone(b), bytes.Repeat([]byte(" "), profile.MaxEncoded)...))
	require.ErrorIs(t, err, profile.ErrInvalid)
}

func TestChecks(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	other := newProfile(t, a)
	for name, change := range map[string]func(*profile.Profile){
		"no ID":               func(p *profile.Profile) { p.ID = 0 },
		"no device":           func(p *profile.Profile) { p.Device = eid.ID{} },
		"bad registry":        func(p *profile.Profile) { p.Registry = "not a zone" },
		"bad host":            func(p *profile.Profile) { p.Host = "a b" },
		"no port":             func(p *profile.Profile) { p.Port = 0 },
		"no time":             func(p *profile.Profile) { p.NotAfter = p.NotBefore },
		"less than a second":  func(p *profile.Profile) { p.NotAfter = p.NotBefore.Add(time.Second - 1) },
		"year 10000":          func(p *profile.Profile) { p.NotAfter = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"year 0":              func(p *profile.Profile) { p.NotBefore = time.Time{}.Add(-time.Second) },
		"no certificate":      func(p *profile.Profile) { p.Certificate = nil },
		"another name":        func(p *profile.Profile) { p.Name = "12." + name[3:] },
		"no name":             func(p *profile.Profile) { p.Name = "" },
		"another key":         func(p *profile.Profile) { p.PrivateKey = other.PrivateKey },
		"no key at all":       func(p *profile.Profile) { p.PrivateKey = []byte("nonsense") },
		"bad CA":              func(p *profile.Profile) { p.CACertificates = [][]byte{{1}} },
		"bad ASP CA":          func(p *profile.Profile) { p.ASPCertificates = [][]byte{{1}} },
		"too large":           func(p *profile.Profile) { p.CACertificates = make([][]byte, 200); fill(p.CACertificates, a.Root().Raw) },
		"host of many labels": func(p *profile.Profile) { p.Host = strings.Repeat("a.", 130) + "ca" },
	} {
		p := newProfile(t, a)
		change(p)
		_, err := p.Encode()
		require.ErrorIs(t, err, profile.ErrInvalid, name)
	}
	p := newProfile(t, a)
	p.Host = "192.0.2.1"
	_, err := p.Encode()
	require.NoError(t, err, "an address is a host")
}

func fill(s [][]byte, v []byte) {
	for i := range s {
		s[i] = v
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	secret := base64.StdEncoding.EncodeToString([]byte("a very private key"))
	for _, in := range []string{
		"", "{}", "null", "[]", `{"format":"iot-profile/2"}`, `{"format":"iot-profile/1"}`,
		`{"format":"iot-profile/1","key":"` + secret + `","port":"x"}`,
		strings.Repeat(" ", profile.MaxEncoded+1),
	} {
		p, err := profile.Decode([]byte(in))
		require.ErrorIs(t, err, profile.ErrInvalid)
		require.Nil(t, p)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestTLSCertificate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	p := newProfile(t, a)
	c, err := p.TLSCertificate(nil)
	require.NoError(t, err)
	require.Equal(t, [][]byte{p.Certificate, a.Issuer().Raw}, c.Certificate)
	require.NotNil(t, c.Leaf)
	require.IsType(t, tls.Certificate{}, c)

	// Made on the card: the profile has no key, the card signs.
	card := ecKey(t)
	p = profileFor(t, a, card.Public(), nil)
	_, err = p.Encode()
	require.NoError(t, err)
	_, err = p.TLSCertificate(nil)
	require.ErrorIs(t, err, profile.ErrInvalid)
	c, err = p.TLSCertificate(card)
	require.NoError(t, err)
	require.Equal(t, card, c.PrivateKey)
	_, err = p.TLSCertificate(ecKey(t))
	require.ErrorIs(t, err, profile.ErrInvalid, "another card")
	other := newProfile(t, a)
	other.PrivateKey = newProfile(t, a).PrivateKey
	_, err = other.TLSCertificate(nil)
	require.ErrorIs(t, err, profile.ErrInvalid, "another key")

	p.Certificate = []byte("x")
	_, err = p.Leaf()
	require.ErrorIs(t, err, profile.ErrInvalid)
	_, err = p.TLSCertificate(card)
	require.ErrorIs(t, err, profile.ErrInvalid)
	cas, err := p.CAs()
	require.NoError(t, err)
	require.Len(t, cas, 2)
}

// Nothing that prints or encodes may show a private key.
func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	b, p := sealed(t, a, key.PublicKey())
	s, err := profile.ParseSealed(b)
	require.NoError(t, err)
	var shown bytes.Buffer
	for _, v := range []any{p, *p, p.PrivateKey, s, *s} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&shown, verb, v)
		}
		slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "v", v)
		js, err := json.Marshal(v)
		require.NoError(t, err)
		shown.Write(js)
	}
	der := p.PrivateKey.Reveal()
	secret := der[36:68] // the scalar in the PKCS #8 of a P-256 key
	text := shown.String()
	for _, form := range []string{
		string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		base64.StdEncoding.EncodeToString(der)[48:88], strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
	} {
		require.False(t, strings.Contains(text, form), "a private key is shown")
	}
	scalar, err := x509.ParsePKCS8PrivateKey(der)
	require.NoError(t, err)
	raw, err := scalar.(*ecdsa.PrivateKey).Bytes()
	require.NoError(t, err)
	require.Equal(t, secret, raw)
	require.Contains(t, text, "*****")
	require.Equal(t, "IoT profile 11 of device 1000000000000001 for parkoserv.ca:443", p.String())
	require.Contains(t, s.String(), "sealed profile 11 of device 1000000000000001 by iotregistry.ca")
}

func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.Document))
	}
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := profile.Decode(in)
		if err != nil {
			require.ErrorIs(t, err, profile.ErrInvalid)
			return
		}
		out, err := p.Encode()
		require.NoError(t, err)
		again, err := profile.Decode(out)
		require.NoError(t, err)
		require.True(t, p.Equal(again))
	})
}

func TestTrustRootsHonoursTime(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.Root())
	chain := []*x509.Certificate{a.Issuer(), a.Root()}
	require.NoError(t, profile.TrustRoots(x509.VerifyOptions{Roots: roots})(chain))
	late := x509.VerifyOptions{Roots: roots, CurrentTime: time.Now().AddDate(50, 0, 0)}
	require.Error(t, profile.TrustRoots(late)(chain))
}
