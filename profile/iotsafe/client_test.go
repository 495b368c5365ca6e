package iotsafe_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// Everything that a device does works with every kind of card.
func TestEveryCard(t *testing.T) {
	t.Parallel()
	for name, quirks := range cards() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quirks)
			c, _ := w.open(t, iotsafe.Options{})
			defer func() { t.Log(c.Quirks()) }()
			wantProfile(t, w, c)
			wantSignatures(t, w, c)
			wantRandom(t, c)
			wantAgreement(t, c)
			wantVerification(t, w, c)
			wantDerivation(t, c)
			wantGeneration(t, c, quirks)
			wantObjects(t, c, quirks)
		})
	}
}

func wantProfile(t *testing.T, w *world, c *iotsafe.Client) {
	p, err := c.Profile(t.Context())
	require.NoError(t, err)
	require.Equal(t, w.profile.Certificate, p.Leaf().Raw)
	require.Equal(t, "parkoserv.ca:8883", p.Address())
	require.True(t, p.EndpointSigned && p.ASPSigned)
	require.True(t, p.ASP.Equal(w.aspCA))
	require.Len(t, p.Registry, 2)
	require.True(t, p.Registry[1].Equal(w.authority.Root()))
	require.Len(t, p.Certificate.Certificate, 2)
}

func wantSignatures(t *testing.T, w *world, c *iotsafe.Client) {
	signer, err := c.Signer(t.Context(), iotsafe.Container(1))
	require.NoError(t, err)
	require.True(t, w.key.PublicKey.Equal(signer.Public()))
	d256, d384, d512 := sha256.Sum256([]byte("x")), sha512.Sum384([]byte("x")), sha512.Sum512([]byte("x"))
	for h, digest := range map[crypto.Hash][]byte{crypto.SHA256: d256[:], crypto.SHA384: d384[:], crypto.SHA512: d512[:]} {
		signature, err := signer.Sign(rand.Reader, digest, h)
		require.NoError(t, err, h)
		require.True(t, ecdsa.VerifyASN1(&w.key.PublicKey, digest, signature), h)
	}
	_, err = signer.Sign(nil, d256[:20], crypto.SHA1)
	require.ErrorIs(t, err, iotsafe.ErrArgument)
	_, err = signer.Sign(nil, d256[:20], crypto.SHA256)
	require.ErrorIs(t, err, iotsafe.ErrArgument)
	_, err = signer.Sign(nil, d256[:], nil)
	require.ErrorIs(t, err, iotsafe.ErrArgument)
}

func wantRandom(t *testing.T, c *iotsafe.Client) {
	seen := map[string]bool{}
	for _, n := range []int{0, 1, 32, 127, 128, 255, 1000} {
		b, err := c.Random(t.Context(), n)
		require.NoError(t, err)
		require.Len(t, b, n)
		require.False(t, n > 1 && seen[string(b)])
		seen[string(b)] = true
	}
	b := make([]byte, 300)
	n, err := c.RandomReader().Read(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	require.NotEqual(t, make([]byte, 100), b[200:])
	_, err = c.Random(t.Context(), -1)
	require.ErrorIs(t, err, iotsafe.ErrArgument)
}

func wantAgreement(t *testing.T, c *iotsafe.Client) {
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	pair, err := c.GenerateKey(t.Context(), iotsafe.Container(4))
	require.NoError(t, err)
	secret, err := c.ECDH(t.Context(), pair.Private, peer.PublicKey())
	require.NoError(t, err)
	own, err := pair.Key.ECDH()
	require.NoError(t, err)
	want, err := peer.ECDH(own)
	require.NoError(t, err)
	require.Equal(t, want, secret)
	_, err = c.ECDH(t.Context(), pair.Private, nil)
	require.ErrorIs(t, err, iotsafe.ErrArgument)
}

func wantVerification(t *testing.T, w *world, c *iotsafe.Client) {
	digest := sha256.Sum256([]byte("x"))
	signature, err := ecdsa.SignASN1(rand.Reader, w.issuer, digest[:])
	require.NoError(t, err)
	require.NoError(t, c.Verify(t.Context(), iotsafe.Container(21), digest[:], signature, crypto.SHA256))
	require.NoError(t, c.VerifyWith(t.Context(), &w.issuer.PublicKey, digest[:], signature, crypto.SHA256))
	require.NoError(t, c.Verify(t.Context(), iotsafe.Label("issuer"), digest[:], signature, crypto.SHA256))
	require.ErrorIs(t, c.VerifyWith(t.Context(), &w.key.PublicKey, digest[:], signature, crypto.SHA256), iotsafe.ErrSignature)
	require.ErrorIs(t, c.Verify(t.Context(), iotsafe.Container(21), digest[:], []byte("x"), crypto.SHA256), iotsafe.ErrSignature)
	require.ErrorIs(t, c.Verify(t.Context(), iotsafe.Container(99), digest[:], signature, crypto.SHA256), iotsafe.ErrNotFound)
}

func wantDerivation(t *testing.T, c *iotsafe.Client) {
	key, err := c.HKDFExtract(t.Context(), crypto.SHA256, []byte("0123456789abcdef"), []byte("salt"))
	require.NoError(t, err)
	want, err := hkdf.Extract(sha256.New, []byte("0123456789abcdef"), []byte("salt"))
	require.NoError(t, err)
	require.Equal(t, want, key)
	_, err = c.HKDFExtract(t.Context(), crypto.SHA1, []byte("x"), nil)
	require.ErrorIs(t, err, iotsafe.ErrArgument)

	// Of the published test vector of P_SHA256 for TLS 1.2 (ietf-tls list, 2009).
	secret := unhex(t, "9bbe436ba940f017b17652849a71db35")
	seed := append([]byte("test label"), unhex(t, "a0ba9f936cda311827a6f796ffd5198c")...)
	out, err := c.PRF(t.Context(), iotsafe.PRFInput{Key: secret, Seed: seed, Length: 100})
	require.NoError(t, err)
	require.Equal(t, unhex(t, "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"), out[:32])
	require.Len(t, out, 100)
	out, err = c.PRF(t.Context(), iotsafe.PRFInput{Secret: iotsafe.Container(20), Seed: seed, Length: 48})
	require.NoError(t, err)
	require.Len(t, out, 48)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, iotsafe.PRFInput{Key: []byte("secret"), Premaster: []byte("secret")}), "secret")
	}
	for _, in := range []iotsafe.PRFInput{{Key: secret, Seed: seed}, {Seed: seed, Length: 3}, {Key: secret, Secret: iotsafe.ID(1), Length: 3}} {
		_, err = c.PRF(t.Context(), in)
		require.ErrorIs(t, err, iotsafe.ErrArgument)
	}
}

func wantGeneration(t *testing.T, c *iotsafe.Client, quirks applet.Quirks) {
	pair, err := c.GenerateKey(t.Context(), iotsafe.Container(23))
	require.NoError(t, err)
	pub, err := c.PublicKey(t.Context(), pair.Public)
	require.NoError(t, err)
	require.True(t, pair.Key.Equal(pub))
	signer, err := c.SignerFor(pair.Private, pair.Key)
	require.NoError(t, err)
	digest := sha256.Sum256([]byte("x"))
	_, err = signer.SignContext(t.Context(), digest[:], crypto.SHA256)
	require.NoError(t, err)
	if quirks.MovesKeys {
		require.NotEqual(t, iotsafe.Container(23), pair.Private)
	}
}

func wantObjects(t *testing.T, c *iotsafe.Client, quirks applet.Quirks) {
	objects, err := c.Objects(t.Context())
	if quirks.NoGetData {
		require.Error(t, err)
		require.True(t, c.Quirks().NoObjectData)
		return
	}
	require.NoError(t, err)
	require.NotEmpty(t, objects)
	o, err := c.Find(t.Context(), iotsafe.File, iotsafe.Label("notes"))
	require.NoError(t, err)
	require.Equal(t, "notes", o.Label)
	b, err := c.ReadFile(t.Context(), o.Name())
	require.NoError(t, err)
	require.Equal(t, "not a structure at all", string(b[:22]))
	_, err = c.Find(t.Context(), iotsafe.File, iotsafe.Label("no such"))
	require.ErrorIs(t, err, iotsafe.ErrNotFound)
	_, err = c.ReadFile(t.Context(), iotsafe.Label("no such"))
	require.ErrorIs(t, err, iotsafe.ErrNotFound)
	_, err = c.Find(t.Context(), iotsafe.PrivateKey, iotsafe.Container(1))
	require.NoError(t, err)
}
