package bsp_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bsp"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// The examples of RFC 4493 section 4.
func TestCMAC(t *testing.T) {
	t.Parallel()
	key := [16]byte(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710")
	for n, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		mac := bsp.CMAC(key, message[:n])
		require.Equal(t, want, hex.EncodeToString(mac[:]), "%d bytes", n)
	}
}

// NIST CAVP, component tests of ANS X9.63, SHA-256.
func TestKDF(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ z, info, key string }{
		{"96c05619d56c328ab95fe84b18264b08725b85e33fd34f08", "", "443024c3dae66b95e6f5670601558f71"},
		{"96f600b73ad6ac5629577eced51743dd2c24c21b1ac83ee4", "", "b6295162a7804f5667ba9070f82fa522"},
		{"de4ec3f6b2e9b7b5b6160acd5363c1b1f250e17ee731dbd6", "", "c8df626d5caaabf8a1b2a3f9061d2420"},
		{"22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d", "75eef81aa3041e33b80971203d2c0c52",
			"c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e52a13d9c7c6fc878c50c5ea0bc7b00e0da2447cfd874f6cf92f30d0097111485500c90c3af8b487872d04685d14c8d1dc8d7fa08beb0ce0ababc11f0bd496269142d43525a78e5bc79a17f59676a5706dc54d54d4d1f0bd7e386128ec26afc21"},
		{"7e335afa4b31d772c0635c7b0e06f26fcd781df947d2990a", "d65a4812733f8cdbcdfb4b2f4c191d87",
			"c0bd9e38a8f9de14c2acd35b2f3410c6988cf02400543631e0d6a4c1d030365acbf398115e51aaddebdc9590664210f9aa9fed770d4c57edeafa0b8c14f93300865251218c262d63dadc47dfa0e0284826793985137e0a544ec80abf2fdf5ab90bdaea66204012efe34971dc431d625cd9a329b8217cc8fd0d9f02b13f2f6b0b"},
	} {
		key := unhex(t, c.key)
		require.Equal(t, key, bsp.KDF(unhex(t, c.z), unhex(t, c.info), len(key)))
	}
	require.Empty(t, bsp.KDF([]byte{1}, nil, 0))
	require.Nil(t, bsp.KDF([]byte{1}, nil, -1), "refused, not a panic")
	require.Nil(t, bsp.KDF([]byte{1}, nil, 1<<16))
}

func TestDeriveKeys(t *testing.T) {
	t.Parallel()
	keys, err := bsp.DeriveKeys(smdpKey(t), unhex(t, euiccPoint), []byte(hostID), testEID(t))
	require.NoError(t, err)
	require.Equal(t, "9a8d4dc5d8c2ba3fccbb7f69036fd09f", hex.EncodeToString(keys.MCV[:]))
	require.Equal(t, "1f745c2897a86858e94823c218a2db4a", hex.EncodeToString(keys.SEnc[:]))
	require.Equal(t, "1c073583341b81244c40aae342de5434", hex.EncodeToString(keys.SMac[:]))
	keys.Clear()
	require.Equal(t, bsp.Keys{}, keys)
}

func TestDeriveKeysRefuses(t *testing.T) {
	t.Parallel()
	good := unhex(t, euiccPoint)
	off := append([]byte{}, good...)
	off[64] ^= 1
	compressed := append([]byte{2}, good[1:33]...)
	p384, err := ecdh.P384().GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		own  ecdh.KeyExchanger
		peer []byte
		host string
		eid  bsp.EID
		want error
	}{
		"a point not on the curve":     {smdpKey(t), off, hostID, testEID(t), bsp.ErrPoint},
		"otPK of 61 bytes":             {smdpKey(t), good[:61], hostID, testEID(t), bsp.ErrPoint},
		"otPK of 66 bytes":             {smdpKey(t), append(good[:65:65], 0), hostID, testEID(t), bsp.ErrPoint},
		"a compressed point":           {smdpKey(t), compressed, hostID, testEID(t), bsp.ErrPoint},
		"the point at infinity":        {smdpKey(t), []byte{0}, hostID, testEID(t), bsp.ErrPoint},
		"no point":                     {smdpKey(t), nil, hostID, testEID(t), bsp.ErrPoint},
		"zero coordinates":             {smdpKey(t), append([]byte{4}, make([]byte, 64)...), hostID, testEID(t), bsp.ErrPoint},
		"no host ID":                   {smdpKey(t), good, "", testEID(t), bsp.ErrHostID},
		"a host ID of 17 bytes":        {smdpKey(t), good, strings.Repeat("h", 17), testEID(t), bsp.ErrHostID},
		"no EID":                       {smdpKey(t), good, hostID, bsp.EID{}, bsp.ErrEID},
		"a key of another curve":       {p384, good, hostID, testEID(t), bsp.ErrCurve},
		"no key":                       {nil, good, hostID, testEID(t), bsp.ErrCurve},
		"all right but for the prefix": {smdpKey(t), append([]byte{6}, good[1:]...), hostID, testEID(t), bsp.ErrPoint},
	} {
		_, err := bsp.DeriveKeys(c.own, c.peer, []byte(c.host), c.eid)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestParseEID(t *testing.T) {
	t.Parallel()
	e, err := bsp.ParseEID("89049032123451234512345678901236") // wrong check digits, on purpose
	require.NoError(t, err)
	require.Equal(t, "89049032123451234512345678901236", e.String())
	for _, s := range []string{"", "8904", strings.Repeat("a", 32), strings.Repeat("0", 33), strings.Repeat("é", 16)} {
		_, err := bsp.ParseEID(s)
		require.ErrorIs(t, err, bsp.ErrEID, s)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	keys, err := bsp.DeriveKeys(smdpKey(t), unhex(t, euiccPoint), []byte(hostID), testEID(t))
	require.NoError(t, err)
	for name, v := range map[string]any{
		"Keys": keys, "*Keys": &keys, "Sealer": bsp.NewSealer(keys), "Opener": bsp.NewOpener(keys), "Reader": newReader(t, 0),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			require.Equal(t, "*****", fmt.Sprintf(verb, v), "%s %s", name, verb)
		}
		b, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, `"*****"`, string(b), name)
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		require.Contains(t, log.String(), "v=*****", name)
		require.Equal(t, "*****", v.(fmt.Stringer).String())
		require.Equal(t, "*****", v.(fmt.GoStringer).GoString())
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for range 50 { // so that leading zeros and sign bytes occur
		raw, err := bsp.Sign(nil, key, []byte("message"))
		require.NoError(t, err)
		require.Len(t, raw, bsp.SignatureSize)
		require.NoError(t, bsp.Verify(key.Public(), []byte("message"), raw))
		require.ErrorIs(t, bsp.Verify(key.Public(), []byte("massage"), raw), bsp.ErrSignature)
		der, err := bsp.ASN1Signature(raw)
		require.NoError(t, err)
		again, err := bsp.RawSignature(der)
		require.NoError(t, err)
		require.Equal(t, raw, again)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, err = bsp.Sign(nil, other, nil)
	require.ErrorIs(t, err, bsp.ErrSigner)
	_, err = bsp.Sign(nil, nil, nil)
	require.ErrorIs(t, err, bsp.ErrSigner)
	require.ErrorIs(t, bsp.Verify(other.Public(), nil, nil), bsp.ErrSigner)
	require.ErrorIs(t, bsp.Verify(nil, nil, nil), bsp.ErrSigner)
	require.ErrorIs(t, bsp.Verify((*ecdsa.PublicKey)(nil), nil, nil), bsp.ErrSigner)
}

func TestSignatureForms(t *testing.T) {
	t.Parallel()
	order := "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
	one := strings.Repeat("00", 31) + "01"
	zero := strings.Repeat("00", 32)
	der, err := bsp.ASN1Signature(unhex(t, one+one))
	require.NoError(t, err)
	require.Equal(t, "3006020101020101", hex.EncodeToString(der))
	for name, raw := range map[string]string{"r is 0": zero + one, "s is 0": one + zero, "r is the order": order + one, "s is the order": one + order, "63 bytes": one + one[2:], "65 bytes": one + one + "00", "empty": ""} {
		_, err := bsp.ASN1Signature(unhex(t, raw))
		require.ErrorIs(t, err, bsp.ErrSignature, name)
	}
	for name, der := range map[string]string{
		"empty": "", "r is 0": "3006020100020101", "negative": "30060201ff020101", "a byte follows": "300602010102010100", "three numbers": "3009020101020101020101",
		"s missing": "3003020101", "a long length": "308106020101020101", "a padded number": "300702020001020101", "s is the order": "3026020101022100" + order,
	} {
		_, err := bsp.RawSignature(unhex(t, der))
		require.ErrorIs(t, err, bsp.ErrSignature, name)
	}
}

// Both forms say the same, and each has one way to be written.
func FuzzSignature(f *testing.F) {
	f.Add(unhex(f, "3006020101020101"))
	f.Add(make([]byte, 64))
	f.Add([]byte(strings.Repeat("r", 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if raw, err := bsp.RawSignature(b); err == nil {
			der, err := bsp.ASN1Signature(raw)
			require.NoError(t, err)
			require.Equal(t, b, der)
		}
		if der, err := bsp.ASN1Signature(b); err == nil {
			raw, err := bsp.RawSignature(der)
			require.NoError(t, err)
			require.Equal(t, b, raw)
		}
	})
}
