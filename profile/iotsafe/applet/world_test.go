package applet_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	zone = "iotregistry.ca"
	name = "11.1000000000000001.iotregistry.ca"

	gsmaAID   = "A0000005590010"
	ciraAID   = "A0000002480400"
	thalesAID = "A00000003053F12401770101495341"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// noSleep keeps a test from waiting.
func noSleep(context.Context, time.Duration) error { return nil }

func newCard(t testing.TB, cfg applet.Config) *applet.Applet {
	if cfg.Sleep == nil {
		cfg.Sleep = noSleep
	}
	a, err := applet.New(cfg)
	require.NoError(t, err)
	return a
}

// selected returns a card whose applet is selected on channel 0.
func selected(t testing.TB, cfg applet.Config) *applet.Applet {
	a := newCard(t, cfg)
	aid := gsmaAID
	if aids := cfg.Quirks.AIDs; len(aids) > 0 {
		aid = fmt.Sprintf("%X", aids[0])
	}
	want(t, a, fmt.Sprintf("00A40400%02X%s", len(aid)/2, aid), "9000")
	return a
}

// send sends a command and returns data and status word in hexadecimal.
func send(t testing.TB, a apdu.Transport, command string) (data []byte, sw string) {
	t.Helper()
	b, err := a.Transmit(t.Context(), unhex(t, command))
	require.NoError(t, err, command)
	require.GreaterOrEqual(t, len(b), 2)
	return b[:len(b)-2], fmt.Sprintf("%X", b[len(b)-2:])
}

// want sends a command and compares the whole response.
func want(t testing.TB, a apdu.Transport, command, response string) {
	t.Helper()
	data, sw := send(t, a, command)
	require.Equal(t, strings.ReplaceAll(response, " ", ""), fmt.Sprintf("%X", data)+sw, command)
}

// ask sends a command whose data must come with 9000.
func ask(t testing.TB, a apdu.Transport, command string) []byte {
	t.Helper()
	data, sw := send(t, a, command)
	require.Equal(t, "9000", sw, command)
	return data
}

// command writes one with Lc and Le 00.
func command(header string, data ...string) string {
	all := strings.ReplaceAll(strings.Join(data, ""), " ", "")
	return fmt.Sprintf("%s%02X%s00", header, len(all)/2, all)
}

func tlv(tag string, value []byte) string { return fmt.Sprintf("%s%02X%X", tag, len(value), value) }

// point writes public key data, in the form of PUT PUBLIC KEY.
func point(t testing.TB, key *ecdsa.PublicKey) string {
	b, err := key.Bytes()
	require.NoError(t, err)
	return fmt.Sprintf("344549438641%X", b)
}

func parsePoint(t testing.TB, b []byte) *ecdsa.PublicKey {
	require.Equal(t, "344549438641", fmt.Sprintf("%X", b[:6]))
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b[6:])
	require.NoError(t, err)
	return key
}

// verifyRaw checks r and s.
func verifyRaw(t testing.TB, key *ecdsa.PublicKey, digest, raw []byte) {
	t.Helper()
	require.Len(t, raw, 64)
	require.True(t, ecdsa.Verify(key, digest, new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])))
}

func signRaw(t testing.TB, key *ecdsa.PrivateKey, digest []byte) []byte {
	der, err := ecdsa.SignASN1(rand.Reader, key, digest)
	require.NoError(t, err)
	var v struct{ R, S *big.Int }
	_, err = asn1.Unmarshal(der, &v)
	require.NoError(t, err)
	return append(v.R.FillBytes(make([]byte, 32)), v.S.FillBytes(make([]byte, 32))...)
}

// world is a registry and a profile that it has issued.
type world struct {
	authority *profile.Authority
	issuer    *ecdsa.PrivateKey
	key       *ecdsa.PrivateKey // the device's
	profile   *profile.Profile
}

func newWorld(t testing.TB) *world {
	w := &world{issuer: ecKey(t), key: ecKey(t)}
	var err error
	w.authority, err = profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: ecKey(t), IssuerKey: w.issuer})
	require.NoError(t, err)
	w.profile = w.issue(t, w.key.Public())
	w.profile.PrivateKey, err = x509.MarshalPKCS8PrivateKey(w.key)
	require.NoError(t, err)
	return w
}

func (w *world) issue(t testing.TB, public any) *profile.Profile {
	now := time.Now().UTC().Truncate(time.Second)
	id := eid.MustParse("1000000000000001")
	der, err := w.authority.Issue(profile.Request{Name: name, Device: id, PublicKey: public, NotAfter: now.AddDate(1, 0, 0)})
	require.NoError(t, err)
	return &profile.Profile{
		ID: 11, Device: id, Registry: zone, Name: name, Host: "parkoserv.ca", Port: 443,
		Certificate: der, CACertificates: w.authority.Chain(),
		ASPCertificates: [][]byte{w.authority.Root().Raw}, // any will do
		NotBefore:       now, NotAfter: now.AddDate(1, 0, 0),
	}
}

func (w *world) objects(t testing.TB) []applet.Object {
	objects, err := applet.CIRA(w.profile, applet.CIRAOptions{Issuer: w.issuer})
	require.NoError(t, err)
	return objects
}

// readAll reads a file as the table of IoT.05 has it, until less than a chunk
// comes.
func readAll(t testing.TB, a apdu.Transport, size int, id string) []byte {
	t.Helper()
	var b []byte
	for len(b) < size {
		part := ask(t, a, command(fmt.Sprintf("00B0%04X", len(b)), fmt.Sprintf("83%02X%s", len(id)/2, id)))
		require.NotEmpty(t, part)
		require.LessOrEqual(t, len(part), 255)
		b = append(b, part...)
	}
	return b
}

func trimZeros(b []byte) []byte { return bytes.TrimRight(b, "\x00") }
