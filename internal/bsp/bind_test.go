package bsp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
)

// Whole packages as an independent program makes them (Python's cryptography,
// with deterministic ECDSA), for the known session and 2100 bytes of profile.
func TestKnownPackages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys             *bsp.Keys
		n                int
		sum, a2, a3Begin string
	}{
		{nil, 2424, "2aa63059a8daab37cb0b6603ea1d8b2b4be56ef590706782e0699138b01ff148", "", "a3820862868203f88907ffdaab4dd884b37843fb51260aabde2a439147e1"},
		{ppk(), 2500, "c3596d73cd94d565b9a9e4dd20406d8b37752d5d7bc124c3121027341860ff7f",
			"a24a8748e2070f0ed36fe38782e6fa470bd1776fbdd3b16aa1f2b156bf15e47a0c11fab63137799524ac1ccd145e6a715af4cdbea43782ec3e7ad8618c87d9236dc401be99a5098c7934916a",
			"a3820862868203f8e3c5a076c2708221d0deb49489f151a4e3b592cf35e6"},
	} {
		b := binding(t)
		b.EUICCKey, b.ProfileKeys = unhex(t, euiccPoint), c.keys
		pkg := bind(t, b, bytesOf(2100))
		require.Len(t, pkg, c.n)
		require.Equal(t, c.n, cap(pkg), "the length is known beforehand")
		p := parts(t, pkg)
		require.Equal(t, "a01a8718bc43d09ef085954b55e4acdbb87b6649813b5db57a02d5c9", hex.EncodeToString(p[0xA0].Raw))
		require.Equal(t, "a13c883a"+metadata+"828551c5821b722d", hex.EncodeToString(p[0xA1].Raw))
		require.Equal(t, c.a2, hex.EncodeToString(p[0xA2].Raw))
		require.Equal(t, c.a3Begin, hex.EncodeToString(p[0xA3].Raw[:30]))
		require.Equal(t, c.sum, fmt.Sprintf("%x", sha256.Sum256(pkg)))
	}
}

func TestWhatIsBoundIsRead(t *testing.T) {
	t.Parallel()
	big := bertlv.Append(nil, 0xBF25, bertlv.Append(nil, 0x94, bytesOf(3000)))
	for _, withKeys := range []bool{false, true} {
		for _, n := range []int{1, 15, 16, 100, 1006, 1007, 1008, 1020, 1021, 2014, 2015, 2016, 50_000} {
			for _, details := range [][]byte{unhex(t, metadata), big} {
				b := binding(t)
				b.Metadata = details
				b.Key = nil
				if withKeys {
					b.ProfileKeys = ppk()
				}
				pkg := bind(t, b, bytesOf(n))
				list := segments(t, pkg)
				require.Equal(t, pkg, slices.Concat(list...))
				for _, s := range list[1:] {
					require.LessOrEqual(t, len(s), bsp.MaxBlock)
				}
				r := newReader(t, 0)
				done, err := feed(r, list)
				require.NoError(t, err)
				require.True(t, done, "%d bytes", n)
				require.Equal(t, bytesOf(n), r.Profile())
				require.Equal(t, details, r.Metadata())
				require.Equal(t, unhex(t, "bf2400"), r.Configure())
				_, err = r.Feed(list[len(list)-1])
				require.ErrorIs(t, err, bsp.ErrClosed, "one more segment")
				require.Equal(t, bytesOf(n), r.Profile(), "and it changes nothing")
			}
		}
	}
}

func TestSegmentsAsLPAsSendThem(t *testing.T) {
	t.Parallel()
	b := binding(t)
	b.ProfileKeys = ppk()
	pkg := bind(t, b, bytesOf(1500))
	p := parts(t, pkg)
	var heads []string
	for _, s := range segments(t, pkg) {
		heads = append(heads, hex.EncodeToString(s[:min(2, len(s))]))
	}
	require.Equal(t, []string{"bf36", "a01a", "a13c", "883a", "a24a", "a382", "8682", "8682"}, heads)
	first := segments(t, pkg)[0]
	require.True(t, bytes.HasSuffix(first, p[0xBF23].Raw))
	// Others cut: everything at once, or headers with what follows them.
	for name, list := range map[string][][]byte{
		"at once":              {pkg},
		"whole sequences":      {first, p[0xA0].Raw, p[0xA1].Raw, p[0xA2].Raw, p[0xA3].Raw},
		"headers on their own": {first, p[0xA0].Raw[:2], p[0xA0].Value, p[0xA1].Raw[:2], p[0xA1].Value, p[0xA2].Raw[:2], p[0xA2].Value, p[0xA3].Raw[:4], p[0xA3].Value},
	} {
		r := newReader(t, 0)
		done, err := feed(r, list)
		require.NoError(t, err, name)
		require.True(t, done, name)
		require.Equal(t, bytesOf(1500), r.Profile())
	}
}

func TestBindRefuses(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	one := []byte{1}
	for name, c := range map[string]struct {
		change  func(*bsp.Binding)
		profile []byte
		want    error
	}{
		"an empty profile":         {func(*bsp.Binding) {}, nil, bsp.ErrSize},
		"a profile over the limit": {func(b *bsp.Binding) { b.MaxProfile = 10 }, make([]byte, 11), bsp.ErrSize},
		"over the default limit":   {func(*bsp.Binding) {}, make([]byte, bsp.DefaultMaxProfile+1), bsp.ErrSize},
		"no transaction ID":        {func(b *bsp.Binding) { b.TransactionID = nil }, one, bsp.ErrTransactionID},
		"transaction ID too long":  {func(b *bsp.Binding) { b.TransactionID = make([]byte, 17) }, one, bsp.ErrTransactionID},
		"no host ID":               {func(b *bsp.Binding) { b.HostID = nil }, one, bsp.ErrHostID},
		"no EID":                   {func(b *bsp.Binding) { b.EID = bsp.EID{} }, one, bsp.ErrEID},
		"otPK of 61 bytes":         {func(b *bsp.Binding) { b.EUICCKey = b.EUICCKey[:61] }, one, bsp.ErrPoint},
		"no signer":                {func(b *bsp.Binding) { b.Signer = nil }, one, bsp.ErrSigner},
		"a signer on P-384":        {func(b *bsp.Binding) { b.Signer = p384 }, one, bsp.ErrSigner},
		"no metadata":              {func(b *bsp.Binding) { b.Metadata = nil }, one, bsp.ErrStructure},
		"other metadata":           {func(b *bsp.Binding) { b.Metadata = []byte{0xBF, 0x24, 0} }, one, bsp.ErrStructure},
		"metadata cut short":       {func(b *bsp.Binding) { b.Metadata = b.Metadata[:9] }, one, bsp.ErrStructure},
		"metadata too long":        {func(b *bsp.Binding) { b.Metadata = make([]byte, bsp.MaxMetadata+1) }, one, bsp.ErrSize},
		"another ConfigureISDP":    {func(b *bsp.Binding) { b.Configure = []byte{0xBF, 0x25, 0} }, one, bsp.ErrStructure},
		"ConfigureISDP too long":   {func(b *bsp.Binding) { b.Configure = make([]byte, 1008) }, one, bsp.ErrSize},
	} {
		b := binding(t)
		c.change(&b)
		pkg, err := bsp.Bind(b, c.profile)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, pkg, name)
	}
}

func TestNewReaderRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*bsp.Session)
		want   error
	}{
		"no transaction ID":       {func(s *bsp.Session) { s.TransactionID = nil }, bsp.ErrTransactionID},
		"transaction ID too long": {func(s *bsp.Session) { s.TransactionID = make([]byte, 17) }, bsp.ErrTransactionID},
		"no EID":                  {func(s *bsp.Session) { s.EID = bsp.EID{} }, bsp.ErrEID},
		"no key":                  {func(s *bsp.Session) { s.Key = nil }, bsp.ErrCurve},
		"nothing to verify with":  {func(s *bsp.Session) { s.Verify = nil }, bsp.ErrSigner},
	} {
		s := session(t)
		c.change(&s)
		_, err := bsp.NewReader(s)
		require.ErrorIs(t, err, c.want, name)
	}
}
