package iotsafe_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// tape is a card whose answers come from a fuzzer: one byte of length, then the
// answer, again from the beginning when it has ended. Commands are counted.
type tape struct {
	data     []byte
	at       int
	commands int
}

func (c *tape) Transmit(context.Context, []byte) ([]byte, error) {
	c.commands++
	if len(c.data) == 0 {
		return nil, errors.New("nothing")
	}
	if c.at >= len(c.data) {
		c.at = 0
	}
	n := min(int(c.data[c.at]), len(c.data)-c.at-1)
	b := c.data[c.at+1 : c.at+1+n]
	c.at += 1 + n
	return b, nil
}

// Whatever a card answers, calls end within bounded work, without a panic, and
// say nothing that was not checked.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x02\x90\x00"))
	f.Add([]byte("\x03\x01\x90\x00\x02\x90\x00\x0a01234567\x90\x00\x04\x30\x01\x90\x00"))
	f.Add([]byte("\x02\x61\x10\x02\x6c\x05\x02\x63\xcf"))
	f.Add([]byte("\x02\x69\x85"))
	f.Add([]byte("\x09\xC3\x05\x83\x01\x02\x20\x00\x90\x00"))
	w := newWorld(f, applet.StandardCard())
	recorded := record(f, w)
	f.Add(recorded)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(f, err)
	digest := sha256.Sum256(nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		card := &tape{data: data}
		c, err := iotsafe.Open(t.Context(), card, iotsafe.Options{Sleep: noSleep, MaxFile: 1024})
		if err != nil {
			return
		}
		_ = c.Quirks().String()
		if p, err := c.Profile(t.Context()); err == nil {
			require.NotZero(t, p.Port)
			require.NotEmpty(t, p.Registry)
		}
		if b, err := c.Random(t.Context(), 40); err == nil {
			require.Len(t, b, 40)
		}
		if b, err := c.ReadFile(t.Context(), iotsafe.Label("x")); err == nil {
			require.LessOrEqual(t, len(b), 1024+256)
		}
		_, _ = c.Objects(t.Context())
		_, _ = c.Find(t.Context(), iotsafe.Secret, iotsafe.ID(1, 2))
		_, _ = c.PublicKey(t.Context(), iotsafe.Container(1))
		_, _ = c.GenerateKey(t.Context(), iotsafe.Container(4))
		_, _ = c.ECDH(t.Context(), iotsafe.Container(4), peer.PublicKey())
		_, _ = c.PRF(t.Context(), iotsafe.PRFInput{Key: digest[:], Length: 3})
		signer, err := c.SignerFor(iotsafe.Container(1), &w.key.PublicKey)
		require.NoError(t, err)
		if signature, err := signer.Sign(nil, digest[:], crypto.SHA256); err == nil {
			require.NotEmpty(t, signature)
		}
		_ = c.Close()
		require.Less(t, card.commands, 200_000)
	})
}

// record returns what a real client's calls were answered, as a tape.
func record(t testing.TB, w *world) []byte {
	var b []byte
	x := &transport{card: w.card, after: func(_, r []byte) ([]byte, error) {
		if len(r) < 256 {
			b = append(append(b, byte(len(r))), r...)
		}
		return r, nil
	}}
	c, err := iotsafe.Open(t.Context(), x, iotsafe.Options{Chunk: 100})
	require.NoError(t, err)
	_, err = c.Profile(t.Context())
	require.NoError(t, err)
	return b
}
