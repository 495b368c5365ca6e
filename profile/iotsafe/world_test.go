package iotsafe_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	zone     = "iotregistry.ca"
	name     = "11.1000000000000001.iotregistry.ca"
	provider = "parkoserv.ca"
)

// world is a registry, a provider and a device's profile that is on a card.
type world struct {
	authority *profile.Authority
	issuer    *ecdsa.PrivateKey
	key       *ecdsa.PrivateKey // the device's
	asp       *ecdsa.PrivateKey // of the provider's CA
	aspCA     *x509.Certificate
	profile   *profile.Profile
	card      *applet.Applet
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func newWorld(t testing.TB, quirks applet.Quirks) *world {
	w := &world{issuer: newKey(t), key: newKey(t), asp: newKey(t)}
	var err error
	w.authority, err = profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: newKey(t), IssuerKey: w.issuer})
	require.NoError(t, err)
	w.aspCA = newCA(t, w.asp)
	w.profile = w.issue(t, 11, w.key)
	w.card, err = applet.New(applet.Config{Quirks: quirks, Sleep: noSleep})
	require.NoError(t, err)
	require.NoError(t, w.card.Put(w.objects(t, w.profile)...))
	return w
}

func newCA(t testing.TB, key *ecdsa.PrivateKey) *x509.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Provider CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// issue makes a profile for a device key.
func (w *world) issue(t testing.TB, id uint64, key *ecdsa.PrivateKey) *profile.Profile {
	device := fmt.Sprintf("%d.1000000000000001.%s", id, zone)
	der, err := w.authority.Issue(profile.Request{Name: device, PublicKey: key.Public(), NotAfter: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return &profile.Profile{
		ID: id, Device: eid.MustParse("1000000000000001"), Registry: zone, Name: device, Host: provider, Port: 8883,
		Certificate: der, PrivateKey: pkcs8, CACertificates: w.authority.Chain(), ASPCertificates: [][]byte{w.aspCA.Raw},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
}

// objects is a profile as it lies on the card, with a secret and a label beside it.
func (w *world) objects(t testing.TB, p *profile.Profile) []applet.Object {
	objects, err := applet.CIRA(p, applet.CIRAOptions{Issuer: w.issuer})
	require.NoError(t, err)
	return append(objects,
		applet.Secret{ID: []byte{20}, Key: []byte("a secret of the card")},
		applet.PublicKey{ID: []byte{21}, Label: "issuer", Key: &w.issuer.PublicKey},
		applet.File{ID: []byte{22}, Label: "notes", Data: []byte("not a structure at all")},
		applet.PrivateKey{ID: []byte{23}, Functions: applet.CanSign | applet.CanAgree | applet.CanGenerate},
	)
}

func noSleep(context.Context, time.Duration) error { return nil }

// transport counts what goes to a card and can be told to interfere.
type transport struct {
	card iotsafe.Transport

	mu     sync.Mutex
	count  int
	log    [][]byte
	before func(n int, command []byte) (response []byte, err error) // nil, nil: goes on to the card
	after  func(command, response []byte) ([]byte, error)
}

func (x *transport) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	x.mu.Lock()
	x.count++
	n, before, after := x.count, x.before, x.after
	x.log = append(x.log, append([]byte{}, command...))
	x.mu.Unlock()
	if before != nil {
		if r, err := before(n, command); r != nil || err != nil {
			return r, err
		}
	}
	r, err := x.card.Transmit(ctx, command)
	if errors.Is(err, applet.ErrRemoved) { // as a transport tells it
		err = fmt.Errorf("%w: %w", iotsafe.ErrCardRemoved, err)
	}
	if err == nil && after != nil {
		return after(command, r)
	}
	return r, err
}

func (x *transport) interfere(before func(n int, command []byte) ([]byte, error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.before, x.count, x.log = before, 0, nil
}

func (x *transport) commands() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}

// open opens a client over a transport that can interfere.
func (w *world) open(t testing.TB, opts iotsafe.Options) (*iotsafe.Client, *transport) {
	x := &transport{card: w.card}
	if opts.Sleep == nil {
		opts.Sleep = noSleep
	}
	c, err := iotsafe.Open(t.Context(), x, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, x
}

// ins returns a filter for one instruction.
func is(command []byte, ins byte) bool { return len(command) > 1 && command[1] == ins }

// cards are the kinds of cards that every call has to work with.
func cards() map[string]applet.Quirks {
	return map[string]applet.Quirks{
		"as in IoT.05":               applet.StandardCard(),
		"CIRA's, padded files":       applet.CIRACard(),
		"Thales'":                    applet.ThalesCard(),
		"wolfSSL's, no Le":           applet.WolfSSLCard(),
		"ZARIOT's, fetched answers":  applet.ZariotCard(),
		"two-byte IDs":               {IDWidth: 2},
		"two-byte IDs, little":       {IDWidth: 2, IDLittleEndian: true},
		"four-byte IDs":              {IDWidth: 4},
		"signatures in DER":          {DERSignatures: true},
		"signatures in DER, 33 len":  {DERSignatures: true, SignatureLength: applet.ShortLength},
		"signature length in BER":    {SignatureLength: applet.LongLength},
		"no GET DATA":                {NoGetData: true},
		"no GET DATA, IDs of two":    {NoGetData: true, IDWidth: 2},
		"no GET DATA, little endian": {NoGetData: true, IDWidth: 2, IDLittleEndian: true},
		"no GET DATA, IDs of four":   {NoGetData: true, IDWidth: 4},
		"no GET DATA, padded":        {NoGetData: true, FileSize: 2048, End: applet.EndZeros},
		"wrong GET DATA":             {WrongGetData: true},
		"end of file is empty":       {End: applet.EndEmpty},
		"end of file is zeros":       {End: applet.EndZeros},
		"reads in small pieces":      {Chunk: 50},
		"zeros for random bytes":     {ShortRandom: true},
		"exact Le":                   {ExactLe: true},
		"proactive commands waiting": {Proactive: 0x12},
		"answers pushed":             {Answers: applet.AnswersPush},
		"exact Le, fetched":          {ExactLe: true, Answers: applet.AnswersFetch},
	}
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}
