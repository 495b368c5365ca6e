package tpmkeys_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
	"github.com/iotregistry/sdk/registry/eid"
)

// onKeys runs a benchmark with keys in memory and in TPMs. Simulated TPMs are
// faster than real ones, which take tens of milliseconds.
func onKeys(b *testing.B, run func(*testing.B, ecdh.KeyExchanger, crypto.Signer)) {
	b.Run("memory", func(b *testing.B) {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		require.NoError(b, err)
		run(b, key, ecKey(b))
	})
	b.Run("swtpm", func(b *testing.B) {
		keys := create(b, open(b, newSWTPM(b), tpmkeys.Options{}))
		run(b, keys.Agreement, keys.Signer)
	})
	b.Run("simulator", func(b *testing.B) {
		keys := create(b, open(b, newSimulator(b), tpmkeys.Options{}))
		run(b, keys.Agreement, keys.Signer)
	})
}

func BenchmarkOpen(b *testing.B) {
	onKeys(b, func(b *testing.B, agreement ecdh.KeyExchanger, signer crypto.Signer) {
		a, device := newAuthority(b), eid.MustParse("1000000000000001")
		key, err := hpke.NewDHKEMPrivateKey(agreement)
		require.NoError(b, err)
		sealed, err := a.Seal(key.PublicKey(), profileFor(b, a, device, signer))
		require.NoError(b, err)
		s, err := profile.ParseSealed(sealed)
		require.NoError(b, err)
		for b.Loop() {
			_, err := s.Open(key, profile.OpenOptions{Device: device, Registry: zone, Trust: trust(a)})
			require.NoError(b, err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	onKeys(b, func(b *testing.B, _ ecdh.KeyExchanger, signer crypto.Signer) {
		digest := make([]byte, 32)
		for b.Loop() {
			_, err := signer.Sign(rand.Reader, digest, crypto.SHA256)
			require.NoError(b, err)
		}
	})
}
