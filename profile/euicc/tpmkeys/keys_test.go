package tpmkeys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/rand"
	_ "crypto/sha1"
	"crypto/sha256"
	_ "crypto/sha512"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
	"github.com/iotregistry/sdk/profile/profiletest"
)

func TestKeySuite(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		tpm := open(t, m, tpmkeys.Options{})
		profiletest.RunKeySuite(t, func(t *testing.T) hpke.PrivateKey {
			a, err := tpm.NewAgreement()
			require.NoError(t, err)
			key, err := hpke.NewDHKEMPrivateKey(a)
			require.NoError(t, err)
			return key
		})
	})
}

// Secrets begin with a zero byte once in 256 times.
func TestAgreementIsTheOtherSides(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		a, err := open(t, m, tpmkeys.Options{}).NewAgreement()
		require.NoError(t, err)
		for range 300 {
			peer, err := ecdh.P256().GenerateKey(rand.Reader)
			require.NoError(t, err)
			want, err := peer.ECDH(a.PublicKey())
			require.NoError(t, err)
			got, err := a.ECDH(peer.PublicKey())
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		x, err := ecdh.X25519().GenerateKey(rand.Reader)
		require.NoError(t, err)
		for _, peer := range []*ecdh.PublicKey{nil, x.PublicKey()} {
			_, err = a.ECDH(peer)
			require.ErrorIs(t, err, tpmkeys.ErrPeer)
		}
	})
}

func TestSign(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		s, err := open(t, m, tpmkeys.Options{}).NewSigner()
		require.NoError(t, err)
		digest := func(h crypto.Hash) []byte { return h.New().Sum(nil) }
		for _, rule := range []struct {
			name   string
			digest []byte
			opts   crypto.SignerOpts
			err    error
		}{
			{"SHA-256", digest(crypto.SHA256), crypto.SHA256, nil},
			{"SHA-384", digest(crypto.SHA384), crypto.SHA384, nil},
			{"SHA-512", digest(crypto.SHA512), crypto.SHA512, nil},
			{"a hash that is not named", digest(crypto.SHA256), crypto.Hash(0), nil},
			{"no options", digest(crypto.SHA256), nil, nil},
			{"too short a hash", digest(crypto.SHA1), crypto.SHA1, tpmkeys.ErrDigest},
			{"half a digest", digest(crypto.SHA512)[:32], crypto.SHA512, tpmkeys.ErrDigest},
			{"nothing", nil, crypto.Hash(0), tpmkeys.ErrDigest},
		} {
			signature, err := s.Sign(rand.Reader, rule.digest, rule.opts)
			require.ErrorIs(t, err, rule.err, rule.name)
			if rule.err == nil {
				require.True(t, ecdsa.VerifyASN1(s.Public().(*ecdsa.PublicKey), rule.digest, signature), rule.name)
			}
		}
	})
}

func TestFile(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		path := filepath.Join(t.TempDir(), "keys.pem")
		tpm, err := m.open(tpmkeys.Options{})
		require.NoError(t, err)
		_, err = tpm.LoadKeys(path)
		require.ErrorIs(t, err, fs.ErrNotExist)
		made, err := tpm.CreateKeys(path)
		require.NoError(t, err)
		use(t, made)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode())

		_, err = tpm.CreateKeys(path)
		require.ErrorIs(t, err, fs.ErrExist, "keys are never overwritten")
		again, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, again)

		require.NoError(t, tpm.Close())
		require.NoError(t, tpm.Close(), "closing twice")
		_, err = made.Signer.Sign(nil, make([]byte, 32), crypto.SHA256)
		require.ErrorIs(t, err, tpmkeys.ErrClosed)
		m.reboot(t)

		loaded, err := open(t, m, tpmkeys.Options{}).LoadKeys(path)
		require.NoError(t, err)
		require.True(t, loaded.Agreement.PublicKey().Equal(made.Agreement.PublicKey()))
		require.Equal(t, made.Signer.Public(), loaded.Signer.Public())
		use(t, loaded)
	})
}

// use has both keys do their work.
func use(t testing.TB, keys *tpmkeys.Keys) {
	require.NoError(t, try(keys))
}

func try(keys *tpmkeys.Keys) error {
	digest := sha256.Sum256([]byte("text"))
	signature, err := keys.Signer.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(keys.Signer.Public().(*ecdsa.PublicKey), digest[:], signature) {
		return fmt.Errorf("the signature is not good")
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	ours, err := keys.Agreement.ECDH(peer.PublicKey())
	if err != nil {
		return err
	}
	if theirs, err := peer.ECDH(keys.Agreement.PublicKey()); err != nil || !bytes.Equal(ours, theirs) {
		return fmt.Errorf("the sides do not agree: %w", err)
	}
	return nil
}

func create(t testing.TB, tpm *tpmkeys.TPM) *tpmkeys.Keys {
	keys, err := tpm.CreateKeys(filepath.Join(t.TempDir(), "keys.pem"))
	require.NoError(t, err)
	return keys
}

func TestConcurrentUse(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		keys := create(t, open(t, m, tpmkeys.Options{Auth: []byte("value")}))
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { errs[i] = try(keys) })
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
	})
}

// A bare TPM has room for three objects.
func TestMoreKeysThanTheTPMHolds(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		tpm := open(t, m, tpmkeys.Options{})
		all := []*tpmkeys.Keys{create(t, tpm), create(t, tpm), create(t, tpm)}
		for range 2 {
			for _, keys := range all {
				use(t, keys)
			}
		}
	})
}

func TestKeysOutliveAReset(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		keys := create(t, open(t, m, tpmkeys.Options{Auth: []byte("value")}))
		use(t, keys)
		m.reboot(t)
		use(t, keys)
	})
}

func TestNothingSecretIsPrinted(t *testing.T) {
	onMachines(t, func(t *testing.T, m machine) {
		keys := create(t, open(t, m, tpmkeys.Options{Auth: []byte("hunter2")}))
		for _, format := range []string{"%v", "%s"} {
			for _, v := range []any{keys.Agreement, keys.Signer} {
				text := fmt.Sprintf(format, v)
				require.Contains(t, text, "in a TPM 04")
				require.NotContains(t, text, "hunter2")
			}
		}
	})
}
