package smdp_test

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

	"github.com/iotregistry/sdk/mno"
)

// BenchmarkBindAndDeliver is GetBoundProfilePackage for a profile of 11 kB, the
// record of the order included, beside what the standard library takes for
// nothing but the same cryptography: check a signature, make a key, agree on a
// secret, sign, encrypt and authenticate 11 kB.
func BenchmarkBindAndDeliver(b *testing.B) {
	const size = 11_000
	bench := newBench(b)
	c := bench.card(1)
	bare := bareBinding(b, c, size)
	var ours, least time.Duration
	n := uint64(0)
	for b.Loop() {
		n++
		r, err := bench.engine.Operator("registry").Order(b.Context(), mno.Order{Device: c.eid, ProfileID: n, ProfileType: "iot", Sealed: make([]byte, size)})
		require.NoError(b, err)
		c.key = nil
		require.NoError(b, c.meet(&r.MatchingID))
		consent := c.consent("", nil)
		start := time.Now()
		bare()
		middle := time.Now()
		_, err = bench.server.GetBoundProfilePackage(b.Context(), consent)
		ours += time.Since(middle)
		least += middle.Sub(start)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ours-ns/op")
	b.ReportMetric(float64(least.Nanoseconds())/float64(b.N), "bare-ns/op")
	b.ReportMetric(float64(ours)/float64(least), "x-bare")
}

func bareBinding(b *testing.B, c *card, size int) func() {
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(b, err)
	digest := sha256.Sum256(nil)
	signature, err := ecdsa.SignASN1(rand.Reader, c.id.Key, digest[:])
	require.NoError(b, err)
	block, err := aes.NewCipher(make([]byte, 16))
	require.NoError(b, err)
	in, out, iv := make([]byte, size/16*16), make([]byte, size/16*16), make([]byte, 16)
	signer := pki(b).DPPB.Key
	return func() {
		_ = ecdsa.VerifyASN1(&c.id.Key.PublicKey, digest[:], signature)
		key, _ := ecdh.P256().GenerateKey(rand.Reader)
		_, _ = key.ECDH(peer.PublicKey())
		_, _ = ecdsa.SignASN1(rand.Reader, signer, digest[:])
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, in)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, in) // what a CMAC is
	}
}

// BenchmarkServer is everything an SM-DP+ does for one download, from the first
// request to the eUICC's receipt, without what the eUICC does.
func BenchmarkServer(b *testing.B) {
	bench := newBench(b)
	c := bench.card(1)
	var ours time.Duration
	timed := func(f func()) {
		start := time.Now()
		f()
		ours += time.Since(start)
	}
	n := uint64(0)
	for b.Loop() {
		n++
		r, err := bench.engine.Operator("registry").Order(b.Context(), mno.Order{Device: c.eid, ProfileID: n, ProfileType: "iot", Sealed: make([]byte, 3000)})
		require.NoError(b, err)
		c.key = nil
		timed(func() { require.NoError(b, initiateUnder(c)) })
		proof := c.proof(&r.MatchingID, nil)
		timed(func() { c.offer, err = c.server.AuthenticateClient(b.Context(), proof) })
		require.NoError(b, err)
		require.NoError(b, c.accept())
		consent := c.consent("", nil)
		timed(func() { _, err = c.server.GetBoundProfilePackage(b.Context(), consent) })
		require.NoError(b, err)
		receipt := c.result(nil, nil)
		timed(func() { err = c.notify(receipt) })
		require.NoError(b, err)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "server-ns/op")
}
