package bsp_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bsp"
)

const benchProfile = 64 << 10

// compare times ours beside what the standard library takes for nothing but the
// same cryptography, turn by turn because machines are shared, and reports the
// quotient.
func compare(b *testing.B, ours, bare func()) {
	var sum, least time.Duration
	for b.Loop() {
		start := time.Now()
		bare()
		middle := time.Now()
		ours()
		least += middle.Sub(start)
		sum += time.Since(middle)
	}
	b.ReportMetric(float64(sum.Nanoseconds())/float64(b.N), "ours-ns/op")
	b.ReportMetric(float64(least.Nanoseconds())/float64(b.N), "bare-ns/op")
	b.ReportMetric(float64(sum)/float64(least), "x-bare")
}

// bareBlocks encrypts or decrypts n bytes in one go, and encrypts them once
// more, which is what a CMAC is.
func bareBlocks(b *testing.B, n int, decrypt bool) func() {
	block, err := aes.NewCipher(make([]byte, 16))
	require.NoError(b, err)
	in, out, iv := make([]byte, n), make([]byte, n), make([]byte, 16)
	return func() {
		if decrypt {
			cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, in)
		} else {
			cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, in)
		}
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, in)
	}
}

func BenchmarkSealer(b *testing.B) {
	keys, profile := sessionKeys(b), make([]byte, bsp.MaxPlain)
	s := bsp.NewSealer(keys)
	dst, err := s.Seal(nil, bsp.TagCommand, profile)
	require.NoError(b, err)
	_, err = s.Seal(nil, bsp.TagMetadata, profile)
	require.NoError(b, err)
	compare(b, func() { dst, _ = s.Seal(dst[:0], bsp.TagProfile, profile) }, bareBlocks(b, 1008, false))
}

func BenchmarkBind(b *testing.B) {
	bd, profile := binding(b), make([]byte, benchProfile)
	bd.Key, bd.Signer = nil, signer(b).PrivateKey
	bareAES := bareBlocks(b, benchProfile, false)
	peer, digest := smdpKey(b).PublicKey(), sha256.Sum256(nil)
	compare(b, func() { _, _ = bsp.Bind(bd, profile) }, func() {
		key, _ := ecdh.P256().GenerateKey(rand.Reader)
		_, _ = key.ECDH(peer)
		_, _ = ecdsa.SignASN1(rand.Reader, signer(b).PrivateKey, digest[:])
		bareAES()
	})
}

func BenchmarkReader(b *testing.B) {
	list := segments(b, bind(b, binding(b), make([]byte, benchProfile)))
	bareAES := bareBlocks(b, benchProfile, true)
	own, peer, digest := euiccKey(b), smdpKey(b).PublicKey(), sha256.Sum256(nil)
	key := signer(b).PrivateKey
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	require.NoError(b, err)
	s := session(b)
	compare(b, func() {
		r, _ := bsp.NewReader(s)
		if done, err := feed(r, list); !done || err != nil {
			b.Fatal(err)
		}
	}, func() {
		_, _ = own.ECDH(peer)
		ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature)
		bareAES()
	})
}

func BenchmarkDeriveKeys(b *testing.B) {
	own, peer, eid := smdpKey(b), unhex(b, euiccPoint), testEID(b)
	point, err := ecdh.P256().NewPublicKey(peer)
	require.NoError(b, err)
	compare(b, func() { _, _ = bsp.DeriveKeys(own, peer, []byte(hostID), eid) }, func() { _, _ = own.ECDH(point) })
}

func BenchmarkCMAC(b *testing.B) {
	message := make([]byte, 1024)
	block, err := aes.NewCipher(make([]byte, 16))
	require.NoError(b, err)
	out, iv := make([]byte, len(message)), make([]byte, 16)
	compare(b, func() { bsp.CMAC([16]byte{}, message) }, func() { cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, message) })
}
