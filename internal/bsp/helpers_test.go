package bsp_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
)

// The session that others have computed too.
const (
	hostID     = "euicc-rsp"
	euiccPoint = "04a61b5852fedeecd5373d769af0edbc94502276d9c6ff1da3a156fecf31c6629954aea62862e227aebaf745c4e1d5f1bcbba6136400d9f0a63434225fee2590ae"
	metadata   = "bf252f5a0a98001032547698103214910965756963632d727370921665756963632d72737020746573742070726f66696c65"
)

func testEID(t testing.TB) bsp.EID {
	e, err := bsp.ParseEID("89049032123451234512345678901235")
	require.NoError(t, err)
	return e
}

func sequence(from byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

// bytesOf is n bytes that look different everywhere.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func p256(t testing.TB, scalar []byte) *ecdh.PrivateKey {
	key, err := ecdh.P256().NewPrivateKey(scalar)
	require.NoError(t, err)
	return key
}

func smdpKey(t testing.TB) *ecdh.PrivateKey  { return p256(t, sequence(1, 32)) }
func euiccKey(t testing.TB) *ecdh.PrivateKey { return p256(t, sequence(0x61, 32)) }

func txID() []byte { return sequence(0xA0, 16) }

// deterministic signs as RFC 6979 says, so that whole packages are known answers.
type deterministic struct{ *ecdsa.PrivateKey }

func (d deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return d.PrivateKey.Sign(nil, digest, opts)
}

func signer(t testing.TB) deterministic {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sequence(0x21, 32))
	require.NoError(t, err)
	return deterministic{key}
}

func ppk() *bsp.Keys {
	return &bsp.Keys{MCV: [16]byte(sequence(0x50, 16)), SEnc: [16]byte(sequence(0x60, 16)), SMac: [16]byte(sequence(0x70, 16))}
}

// binding is for the eUICC whose one-time key the tests have.
func binding(t testing.TB) bsp.Binding {
	return bsp.Binding{
		TransactionID: txID(), HostID: []byte(hostID), EID: testEID(t), EUICCKey: euiccKey(t).PublicKey().Bytes(),
		Signer: signer(t), Metadata: unhex(t, metadata), Key: smdpKey(t),
	}
}

func bind(t testing.TB, b bsp.Binding, profile []byte) []byte {
	pkg, err := bsp.Bind(b, profile)
	require.NoError(t, err)
	return pkg
}

func session(t testing.TB) bsp.Session {
	public := signer(t).Public()
	return bsp.Session{TransactionID: txID(), EID: testEID(t), Key: euiccKey(t),
		Verify: func(signed, signature []byte) error { return bsp.Verify(public, signed, signature) }}
}

func newReader(t testing.TB, maxProfile int) *bsp.Reader {
	s := session(t)
	s.MaxProfile = maxProfile
	r, err := bsp.NewReader(s)
	require.NoError(t, err)
	return r
}

// feed gives the reader all commands until it has something to say.
func feed(r *bsp.Reader, commands [][]byte) (done bool, err error) {
	for i, c := range commands {
		done, err = r.Feed(c)
		if err != nil || done && i < len(commands)-1 {
			return done, err
		}
	}
	return done, nil
}

func segments(t testing.TB, pkg []byte) [][]byte {
	list, err := bsp.Segments(pkg)
	require.NoError(t, err)
	return list
}

func requireRefusal(t testing.TB, err error, command bsp.Command, reason bsp.Reason, sentinel error, name string) {
	var e *bsp.Error
	require.ErrorAs(t, err, &e, name)
	require.Equal(t, command, e.Command, "%s: %v", name, err)
	require.Equal(t, reason, e.Reason, "%s: %v", name, err)
	if sentinel != nil {
		require.ErrorIs(t, err, sentinel, name)
	}
}

// repack writes a package with other parts: what an attacker who knows no key
// can do. The parts are whole objects.
func repack(parts ...[]byte) []byte { return bertlv.Append(nil, 0xBF36, parts...) }

// parts cuts a package into BF23, A0, A1, A2 or nothing, and A3.
func parts(t testing.TB, pkg []byte) map[bertlv.Tag]bertlv.TLV {
	outer, err := bertlv.Parse(append(make([]byte, 0, len(pkg)), pkg...))
	require.NoError(t, err)
	children, err := outer.Children()
	require.NoError(t, err)
	m := map[bertlv.Tag]bertlv.TLV{}
	for _, c := range children {
		m[c.Tag] = c
	}
	return m
}

func blocks(t testing.TB, part bertlv.TLV) [][]byte {
	children, err := part.Children()
	require.NoError(t, err)
	var list [][]byte
	for _, c := range children {
		list = append(list, c.Raw)
	}
	return list
}

// forger makes blocks by the book and without a Sealer's rules, from already
// padded plaintexts: what a faulty SM-DP+ may send under right keys.
type forger struct {
	keys bsp.Keys
	n    byte
}

func (f *forger) block(t testing.TB, tag bertlv.Tag, padded []byte) []byte {
	f.n++
	body := bytes.Clone(padded)
	if tag != bsp.TagMetadata {
		c, err := aes.NewCipher(f.keys.SEnc[:])
		require.NoError(t, err)
		icv := make([]byte, 16)
		icv[15] = f.n
		c.Encrypt(icv, icv)
		cipher.NewCBCEncrypter(c, icv).CryptBlocks(body, body)
	}
	out := append(bertlv.AppendHeader(nil, tag, len(body)+8), body...)
	f.keys.MCV = bsp.CMAC(f.keys.SMac, append(f.keys.MCV[:], out...))
	return append(out, f.keys.MCV[:8]...)
}

func pad(b []byte) []byte {
	b = append(bytes.Clone(b), 0x80)
	return append(b, make([]byte, (16-len(b)%16)%16)...)
}
