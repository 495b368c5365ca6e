package claim_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry/claim"
)

func TestTrustRoundTrip(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	keys := []crypto.PublicKey{
		ecKey(t, elliptic.P256()).Public(), ecKey(t, elliptic.P384()).Public(), rsaKey.Public(), edKey(1).Public(),
	}
	roots := []*x509.Certificate{newCA(t, "one", nil).cert, newCA(t, "two", nil).cert}
	text, err := claim.FormatTrust(keys, roots)
	require.NoError(t, err)
	for _, form := range []string{text, "\uFEFFACME, 2026\n" + strings.ReplaceAll(text, "\n", "\r\n"), "  " + strings.ReplaceAll(text, "\n", "\n  ")} {
		gotKeys, gotRoots, err := claim.ParseTrust(form)
		require.NoError(t, err)
		require.Equal(t, keys, gotKeys)
		require.Len(t, gotRoots, 2)
		require.True(t, roots[0].Equal(gotRoots[0]) && roots[1].Equal(gotRoots[1]))
	}
	for _, blank := range []string{"", " \n\n"} {
		gotKeys, gotRoots, err := claim.ParseTrust(blank)
		require.NoError(t, err)
		require.Empty(t, gotKeys)
		require.Empty(t, gotRoots)
	}
}

// Each text says what is wrong with it and where.
func TestParseTrustRefuses(t *testing.T) {
	t.Parallel()
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	key := func(pub crypto.PublicKey) string { return block("PUBLIC KEY", spki(t, pub)) }
	root := newCA(t, "root", nil)
	for name, c := range map[string]struct{ in, want string }{
		"text":            {"trust me", "no PEM block"},
		"device's":        {pemOf(root.device(t, "1", edKey(1).Public())), "not a CA's"},
		"not signing":     {newCA(t, "x", nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }).pem(), "keyCertSign"},
		"P-521":           {key(ecKey(t, elliptic.P521()).Public()), "another curve"},
		"small RSA":       {key(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}), "less than 2048"},
		"large RSA":       {key(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 9000), E: 65537}), "more than 8192"},
		"agreement key":   {"-----BEGIN PUBLIC KEY-----\n" + x25519 + "\n-----END PUBLIC KEY-----\n", "cannot verify"},
		"private key":     {block("PRIVATE KEY", []byte("secret")), "private key"},
		"damaged":         {block("PUBLIC KEY", []byte{1}), "asn1"},
		"PKCS #1":         {block("RSA PUBLIC KEY", []byte{1}), "RSA PUBLIC KEY"},
		"not base64":      {"-----BEGIN PUBLIC KEY-----\n???\n-----END PUBLIC KEY-----\n", "base64"},
		"no end":          {"-----BEGIN PUBLIC KEY-----\n" + x25519, "no END"},
		"second is wrong": {key(edKey(1).Public()) + block("X", nil), "line 4"},
		"33 blocks":       {strings.Repeat(key(edKey(1).Public()), 33), "32 blocks"},
		"1 MB":            {strings.Repeat("\n", 1<<20), "more than 65536 bytes"},
	} {
		keys, roots, err := claim.ParseTrust(c.in)
		require.ErrorIs(t, err, claim.ErrTrust, name)
		require.ErrorContains(t, err, c.want, name)
		require.Less(t, len(err.Error()), 400, name)
		require.NotContains(t, err.Error(), "c2VjcmV0", name)
		require.Empty(t, keys, name)
		require.Empty(t, roots, name)
	}
}

func TestFormatTrustRefuses(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	leaf, err := x509.ParseCertificate(root.device(t, "1", edKey(1).Public()))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		keys  []crypto.PublicKey
		roots []*x509.Certificate
	}{
		"private key": {[]crypto.PublicKey{edKey(1)}, nil},
		"nil key":     {[]crypto.PublicKey{nil}, nil},
		"nil root":    {nil, []*x509.Certificate{nil}},
		"no CA":       {nil, []*x509.Certificate{leaf}},
		"too many":    {slices.Repeat([]crypto.PublicKey{edKey(1).Public()}, 33), nil},
	} {
		text, err := claim.FormatTrust(c.keys, c.roots)
		require.ErrorIs(t, err, claim.ErrTrust, name)
		require.Empty(t, text, name)
	}
}
