package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/iotregistry/sdk/examples/internal/keys"
	"github.com/stretchr/testify/require"
	"go.step.sm/crypto/pemutil"
)

func TestCreatedKeySignsAndReopens(t *testing.T) {
	t.Parallel()
	for _, alg := range []keys.Algorithm{"", keys.P256, keys.Ed25519} {
		t.Run("alg="+string(alg), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "k.pem")
			made, err := keys.Create(t.Context(), path, alg)
			require.NoError(t, err)
			for _, uri := range []string{path, "file://" + path, "softkms:path=" + path, "softkms:" + path, "SoftKMS:path=" + path} {
				again, err := keys.Open(t.Context(), uri)
				require.NoError(t, err, uri)
				require.Equal(t, made.Public(), again.Public(), uri)
				requireSigns(t, again)
			}
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode())
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(text), "-----BEGIN PRIVATE KEY-----\n"), "PKCS#8")
			entries, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			require.Len(t, entries, 1, "nothing is left beside the key")
		})
	}
}

func requireSigns(t *testing.T, signer crypto.Signer) {
	t.Helper()
	msg := []byte("meter 1000000000000001")
	switch pub := signer.Public().(type) {
	case ed25519.PublicKey:
		sig, err := signer.Sign(rand.Reader, msg, crypto.Hash(0))
		require.NoError(t, err)
		require.True(t, ed25519.Verify(pub, msg, sig))
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(msg)
		sig, err := signer.Sign(rand.Reader, sum[:], crypto.SHA256)
		require.NoError(t, err)
		require.True(t, ecdsa.VerifyASN1(pub, sum[:], sig))
	default:
		t.Fatalf("unexpected key type %T", pub)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "k.pem")
	first, err := keys.Create(t.Context(), path, keys.P256)
	require.NoError(t, err)
	_, err = keys.Create(t.Context(), path, keys.P256)
	require.ErrorIs(t, err, keys.ErrExists)
	again, err := keys.OpenOrCreate(t.Context(), path, keys.P256)
	require.NoError(t, err)
	require.Equal(t, first.Public(), again.Public())
}

func TestOpenOrCreateAgreesOnOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "k.pem")
	var all [8]crypto.Signer
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			signer, err := keys.OpenOrCreate(t.Context(), path, keys.Ed25519)
			if err != nil {
				t.Error(err)
				return
			}
			all[i] = signer
		})
	}
	wg.Wait()
	for _, signer := range all[1:] {
		require.Equal(t, all[0].Public(), signer.Public())
	}
}

func TestOpenOrCreateRefusesAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "k.pem")
	_, err := keys.Create(t.Context(), path, keys.Ed25519)
	require.NoError(t, err)
	_, err = keys.OpenOrCreate(t.Context(), path, keys.P256)
	require.ErrorIs(t, err, keys.ErrBadKey)
	missing := filepath.Join(t.TempDir(), "no.pem")
	_, err = keys.OpenOrCreate(t.Context(), missing, "RSA")
	require.ErrorContains(t, err, `unknown algorithm "RSA"`)
	require.NoFileExists(t, missing)
}

func TestAgreementKeysAgree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "euicc.pem")
	card, err := keys.OpenOrCreateAgreement(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, ecdh.P256(), card.Curve())
	again, err := keys.OpenAgreement(t.Context(), path)
	require.NoError(t, err)
	require.True(t, card.Equal(again))

	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	ours, err := again.ECDH(peer.PublicKey())
	require.NoError(t, err)
	theirs, err := peer.ECDH(card.PublicKey())
	require.NoError(t, err)
	require.Equal(t, ours, theirs)

	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	xPath := writeKey(t, x)
	opened, err := keys.OpenAgreement(t.Context(), xPath)
	require.NoError(t, err)
	require.True(t, x.Equal(opened))
	_, err = keys.Open(t.Context(), xPath)
	require.ErrorIs(t, err, keys.ErrBadKey, "an X25519 key cannot sign")

	edPath := filepath.Join(t.TempDir(), "ed.pem")
	_, err = keys.Create(t.Context(), edPath, keys.Ed25519)
	require.NoError(t, err)
	_, err = keys.OpenOrCreateAgreement(t.Context(), edPath)
	require.ErrorIs(t, err, keys.ErrBadKey, "an Ed25519 key cannot agree")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, err = keys.OpenAgreement(t.Context(), writeKey(t, p384))
	require.ErrorIs(t, err, keys.ErrBadKey)
}

// writeKey stores a key that this package does not make itself.
func writeKey(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return write(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func write(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

func TestEncryptedKeyNeedsItsPassphrase(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	block, err := pemutil.Serialize(key, pemutil.WithPKCS8(true), pemutil.WithPassword([]byte("open sesame")))
	require.NoError(t, err)
	path := write(t, pem.EncodeToMemory(block))
	right, wrong := write(t, []byte("open sesame\n")), write(t, []byte("open says me\n"))

	opened, err := keys.Open(t.Context(), "softkms:path="+path+";pin-source="+right)
	require.NoError(t, err)
	require.Equal(t, key.Public(), opened.Public())
	for _, uri := range []string{path, "softkms:path=" + path + ";pin-source=" + wrong} {
		_, err = keys.Open(t.Context(), uri)
		require.ErrorIs(t, err, keys.ErrPassphrase, uri)
		require.NotContains(t, err.Error(), "says me")
	}
	_, err = keys.Open(t.Context(), "softkms:path="+path+";pin-source="+path+".no")
	require.ErrorIs(t, err, keys.ErrNotFound)
	_, err = keys.Create(t.Context(), "softkms:path="+path+"2;pin-source="+right, keys.P256)
	require.ErrorIs(t, err, keys.ErrBadURI, "it would be written in the clear")
}

func TestBadNamesAndFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("secretish")})
	cases := []struct {
		rule, uri string
		want      error
	}{
		{"empty", "", keys.ErrBadURI},
		{"unknown scheme", "ftp:ca.key", keys.ErrBadURI},
		{"no file", "softkms:", keys.ErrBadURI},
		{"no path attribute", "softkms:name=ca", keys.ErrBadURI},
		{"remote file", "file://elsewhere/ca.key", keys.ErrBadURI},
		{"broken escape", "softkms:path=%zz", keys.ErrBadURI},
		{"passphrase in the name", "softkms:path=a;pin-value=hunter2", keys.ErrBadURI},
		{"smart card", "pkcs11:id=1;pin-value=hunter2", keys.ErrNotBuiltIn},
		{"TPM", "tpmkms:name=ca", keys.ErrNotBuiltIn},
		{"cloud", "awskms:key-id=1", keys.ErrNotBuiltIn},
		{"missing", filepath.Join(dir, "none"), keys.ErrNotFound},
		{"folder", dir, keys.ErrBadKey},
		{"empty file", write(t, nil), keys.ErrBadKey},
		{"no PEM", write(t, []byte("hello")), keys.ErrBadKey},
		{"certificate", write(t, cert), keys.ErrBadKey},
		{"huge", write(t, make([]byte, 1<<20)), keys.ErrBadKey},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			_, err := keys.Open(t.Context(), c.uri)
			require.ErrorIs(t, err, c.want)
			require.True(t, strings.HasPrefix(err.Error(), "keys: "), err.Error())
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestPublicKeyIsNoPrivateKey(t *testing.T) {
	t.Parallel()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(pub)
	require.NoError(t, err)
	_, err = keys.Open(t.Context(), write(t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	require.ErrorIs(t, err, keys.ErrBadKey)
}

func TestFileOpenToEverybodyIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "k.pem")
	_, err := keys.Create(t.Context(), path, keys.P256)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = keys.Open(t.Context(), path)
	require.ErrorIs(t, err, keys.ErrExposed)
	require.NoError(t, os.Chmod(path, 0o640))
	_, err = keys.Open(t.Context(), path)
	require.NoError(t, err, "a group may share a key")
}

func TestCreateNeedsTheFolder(t *testing.T) {
	t.Parallel()
	_, err := keys.OpenOrCreate(t.Context(), filepath.Join(t.TempDir(), "no", "k.pem"), keys.P256)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestEndedContextStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "k.pem")
	_, err := keys.OpenOrCreate(ctx, path, keys.P256)
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, path)
}
