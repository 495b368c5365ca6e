package profile_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/profiletest"
	"github.com/iotregistry/sdk/registry/eid"
)

func TestKeySuites(t *testing.T) {
	t.Parallel()
	for _, kem := range []hpke.KEM{
		hpke.DHKEM(ecdh.P256()), hpke.DHKEM(ecdh.X25519()), hpke.MLKEM768P256(), hpke.MLKEM768X25519(), hpke.MLKEM1024P384(),
	} {
		t.Run(fmt.Sprintf("%04x", kem.ID()), func(t *testing.T) {
			t.Parallel()
			profiletest.RunKeySuite(t, func(t *testing.T) hpke.PrivateKey {
				key, err := kem.GenerateKey()
				if err != nil {
					t.Fatal(err)
				}
				return key
			})
		})
	}
}

func sealed(t testing.TB, a *profile.Authority, to hpke.PublicKey) ([]byte, *profile.Profile) {
	p := newProfile(t, a)
	b, err := a.Seal(to, p)
	require.NoError(t, err)
	return b, p
}

func open(b []byte, key hpke.PrivateKey, o profile.OpenOptions) (*profile.Profile, error) {
	s, err := profile.ParseSealed(b)
	if err != nil {
		return nil, err
	}
	return s.Open(key, o)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	b, p := sealed(t, a, key.PublicKey())
	s, err := profile.ParseSealed(b)
	require.NoError(t, err)
	require.Equal(t, profile.Binding{Device: deviceID, ProfileID: 11, Registry: zone}, s.Binding())
	require.Equal(t, b, s.Bytes())
	require.Len(t, s.Chain(), 2)
	require.True(t, s.Chain()[0].Equal(a.Issuer()))
	got, err := s.Open(key, options(a))
	require.NoError(t, err)
	require.True(t, p.Equal(got))
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	b, _ := sealed(t, a, key.PublicKey())
	stranger := newAuthority(t)
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	otherKEM, err := hpke.NewDHKEMPrivateKey(x)
	require.NoError(t, err)
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		key    hpke.PrivateKey
		change func(*profile.OpenOptions)
		want   error
	}{
		"another device":    {key, func(o *profile.OpenOptions) { o.Device = eid.MustParse("2") }, profile.ErrDevice},
		"another registry":  {key, func(o *profile.OpenOptions) { o.Registry = "evil.example" }, profile.ErrRegistry},
		"the same again":    {key, func(o *profile.OpenOptions) { o.After = 11 }, profile.ErrReplayed},
		"an old one":        {key, func(o *profile.OpenOptions) { o.After = 99 }, profile.ErrReplayed},
		"another authority": {key, func(o *profile.OpenOptions) { o.Trust = trust(stranger) }, profile.ErrUntrusted},
		"trust's own error": {key, func(o *profile.OpenOptions) { o.Trust = func([]*x509.Certificate) error { return boom } }, boom},
		"another key":       {agreementKey(t), func(*profile.OpenOptions) {}, profile.ErrOpen},
		"another KEM":       {otherKEM, func(*profile.OpenOptions) {}, profile.ErrOpen},
		"no trust":          {key, func(o *profile.OpenOptions) { o.Trust = nil }, profile.ErrInvalid},
		"no device":         {key, func(o *profile.OpenOptions) { o.Device = eid.ID{} }, profile.ErrInvalid},
		"no registry":       {key, func(o *profile.OpenOptions) { o.Registry = "" }, profile.ErrInvalid},
		"no key":            {nil, func(*profile.OpenOptions) {}, profile.ErrInvalid},
	} {
		o := options(a)
		c.change(&o)
		p, err := open(b, c.key, o)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, p, name)
	}
	o := options(a)
	o.After = 10
	_, err = open(b, key, o)
	require.NoError(t, err, "a newer one opens")
}

// A profile that is relabelled for another device fails its signature; one that
// another authority re-signs after that is untrusted, and where the thief's
// authority is trusted too, the key schedule still does not fit.
func TestRetargeting(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	b, _ := sealed(t, a, key.PublicKey())
	victim := eid.MustParse("1000000000000002")
	relabelled := bytes.Replace(b, []byte(deviceID.String()), []byte(victim.String()), 1)
	o := options(a)
	o.Device = victim
	_, err := open(relabelled, key, o)
	require.ErrorIs(t, err, profile.ErrSignature)

	thiefKey := ecKey(t)
	thief, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: ecKey(t), IssuerKey: thiefKey})
	require.NoError(t, err)
	resigned := profile.Resign(t, relabelled, profile.Signer{Key: thiefKey, Chain: thief.Chain()})
	_, err = open(resigned, key, o)
	require.ErrorIs(t, err, profile.ErrUntrusted)
	o.Trust = trust(thief)
	_, err = open(resigned, key, o)
	require.ErrorIs(t, err, profile.ErrOpen)
}

func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	b, _ := sealed(t, a, key.PublicKey())
	o := options(a)
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1 << (i % 8)
		p, err := open(c, key, o)
		require.Error(t, err, "byte %d of %d", i, len(b))
		require.Nil(t, p)
	}
	for _, n := range []int{0, 1, 5, 30, len(b) - 1} {
		_, err := profile.ParseSealed(b[:n])
		require.ErrorIs(t, err, profile.ErrMalformed)
	}
	_, err := profile.ParseSealed(append(bytes.Clone(b), 0))
	require.ErrorIs(t, err, profile.ErrMalformed)
	_, err = profile.ParseSealed(make([]byte, profile.MaxSealed+1))
	require.ErrorIs(t, err, profile.ErrMalformed)
}

// What Seal never writes is not believed for being signed.
func TestHeadersThatSealDoesNotWrite(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	p := newProfile(t, a)
	const aes128, exportOnly, unknown = 0x0001, 0xffff, 0x1234
	for name, c := range map[string]struct {
		aead   uint16
		change func(*profile.Binding)
		want   error
	}{
		"as Seal does":       {aes128, func(*profile.Binding) {}, nil},
		"another profile ID": {aes128, func(b *profile.Binding) { b.ProfileID++ }, profile.ErrMalformed},
		"no encryption":      {exportOnly, func(*profile.Binding) {}, profile.ErrOpen},
		"unknown encryption": {unknown, func(*profile.Binding) {}, profile.ErrOpen},
		"another encryption": {aes128 + 1, func(*profile.Binding) {}, profile.ErrOpen},
		"no profile ID":      {aes128, func(b *profile.Binding) { b.ProfileID = 0 }, profile.ErrMalformed},
		"no device":          {aes128, func(b *profile.Binding) { b.Device = eid.ID{} }, profile.ErrMalformed},
		"no registry":        {aes128, func(b *profile.Binding) { b.Registry = "" }, profile.ErrMalformed},
		"no registry's name": {aes128, func(b *profile.Binding) { b.Registry = "a b" }, profile.ErrMalformed},
	} {
		bind := p.Binding()
		c.change(&bind)
		got, err := open(profile.SealAs(t, key.PublicKey(), p, a, c.aead, bind), key, options(a))
		require.ErrorIs(t, err, c.want, name)
		require.Equal(t, c.want == nil, got != nil, name)
	}
}

func TestParseSealedIsStrict(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	b, p := sealed(t, a, key.PublicKey())
	for _, other := range []string{" 000000000000001", "100000000000000F", "1E+1500000000000"} {
		_, err := profile.ParseSealed(bytes.Replace(b, []byte(deviceID.String()), []byte(other), 1))
		require.ErrorIs(t, err, profile.ErrMalformed, other)
	}
	many := profile.Signer{Key: ecKey(t), Chain: [][]byte{p.Certificate, p.Certificate, p.Certificate, p.Certificate}}
	_, err := profile.ParseSealed(profile.Resign(t, b, many))
	require.NoError(t, err, "as many as allowed")
	many.Chain = append(many.Chain, p.Certificate)
	_, err = profile.ParseSealed(profile.Resign(t, b, many))
	require.ErrorIs(t, err, profile.ErrMalformed, "too many certificates")
	_, err = profile.Seal(key.PublicKey(), p, many)
	require.ErrorIs(t, err, profile.ErrAuthority, "too many certificates")

	big := x509.Certificate{SerialNumber: a.Issuer().SerialNumber, DNSNames: make([]string, 400)}
	for i := range big.DNSNames {
		big.DNSNames[i] = fmt.Sprintf("%d.example", i)
	}
	der, err := x509.CreateCertificate(rand.Reader, &big, &big, many.Key.Public(), many.Key)
	require.NoError(t, err)
	many.Chain = [][]byte{der, der}
	_, err = profile.ParseSealed(profile.Resign(t, b, many))
	require.NoError(t, err, "large")
	many.Chain = [][]byte{der, der, der, der}
	_, err = profile.ParseSealed(profile.Resign(t, b, many))
	require.ErrorIs(t, err, profile.ErrMalformed, "too large a chain")

	// What was parsed is nobody else's to change.
	mine := bytes.Clone(b)
	s, err := profile.ParseSealed(mine)
	require.NoError(t, err)
	clear(mine)
	clear(s.Bytes())
	clear(s.Chain())
	require.Equal(t, b, s.Bytes())
	_, err = s.Open(key, options(a))
	require.NoError(t, err)
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	p := newProfile(t, a)
	p.Registry = "other.example"
	_, err := a.Seal(key.PublicKey(), p)
	require.ErrorIs(t, err, profile.ErrInvalid)
	p = newProfile(t, a)
	_, err = profile.Seal(key.PublicKey(), p, profile.Signer{Chain: a.Chain()})
	require.ErrorIs(t, err, profile.ErrAuthority)
	_, err = profile.Seal(key.PublicKey(), p, profile.Signer{Key: ecKey(t)})
	require.ErrorIs(t, err, profile.ErrAuthority)
	p.Port = 0
	_, err = a.Seal(key.PublicKey(), p)
	require.ErrorIs(t, err, profile.ErrInvalid)
}

func TestEd25519Authority(t *testing.T) {
	t.Parallel()
	_, issuer, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: ecKey(t), IssuerKey: issuer})
	require.NoError(t, err)
	key := agreementKey(t)
	b, p := sealed(t, a, key.PublicKey())
	got, err := open(b, key, options(a))
	require.NoError(t, err)
	require.True(t, p.Equal(got))
	b[len(b)-1] ^= 1
	_, err = open(b, key, options(a))
	require.ErrorIs(t, err, profile.ErrSignature)
}

func FuzzParseSealed(f *testing.F) {
	all := vectors(f)
	keys := make([]hpke.PrivateKey, len(all))
	for i, v := range all {
		keys[i] = v.key(f)
		f.Add(v.Sealed)
	}
	f.Add([]byte("IoTS\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := profile.ParseSealed(in)
		if err != nil {
			require.ErrorIs(t, err, profile.ErrMalformed)
			return
		}
		require.Equal(t, in, s.Bytes())
		require.Equal(t, in, profile.Reencode(t, s), "there is one form of each sealed profile")
		for i, v := range all {
			if p, err := s.Open(keys[i], v.options(t)); err == nil {
				require.Equal(t, s.Binding(), p.Binding())
				require.Equal(t, v.Sealed, in, "nothing opens that we did not seal")
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	a, key := newAuthority(b), agreementKey(b)
	p := newProfile(b, a)
	plain, err := p.Encode()
	require.NoError(b, err)
	b.Run("Seal", func(b *testing.B) {
		for b.Loop() {
			_, _ = a.Seal(key.PublicKey(), p)
		}
	})
	b.Run("bare_HPKE", func(b *testing.B) {
		for b.Loop() {
			_, _ = hpke.Seal(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES128GCM(), nil, plain)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	a, key := newAuthority(b), agreementKey(b)
	raw, p := sealed(b, a, key.PublicKey())
	plain, err := p.Encode()
	require.NoError(b, err)
	ct, err := hpke.Seal(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES128GCM(), nil, plain)
	require.NoError(b, err)
	o := options(a)
	o.Trust = func([]*x509.Certificate) error { return nil }
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			_, _ = open(raw, key, o)
		}
	})
	b.Run("bare_HPKE", func(b *testing.B) {
		for b.Loop() {
			_, _ = hpke.Open(key, hpke.HKDFSHA256(), hpke.AES128GCM(), nil, ct)
		}
	})
}

// Every device has a key with a certificate of the registry's. None of them may
// seal profiles in the registry's name, nor may another registry's authority
// below the same root, nor a certificate that lacks any one of the marks.
func TestOnlyTheRegistrySeals(t *testing.T) {
	t.Parallel()
	rootKey, key, victim := ecKey(t), ecKey(t), agreementKey(t)
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: rootKey, IssuerKey: ecKey(t)})
	require.NoError(t, err)
	honest, p := sealed(t, a, victim.PublicKey())
	certificate := func(change func(*x509.Certificate)) [][]byte {
		c := *a.Issuer()
		change(&c)
		der, err := x509.CreateCertificate(rand.Reader, &c, a.Root(), key.Public(), rootKey)
		require.NoError(t, err)
		return [][]byte{der, a.Root().Raw}
	}
	device := profileFor(t, a, key.Public(), key)
	for name, chain := range map[string][][]byte{
		"a device":         append([][]byte{device.Certificate}, a.Chain()...),
		"another registry": certificate(func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} }),
		"no name":          certificate(func(c *x509.Certificate) { c.DNSNames = nil }),
		"no authority":     certificate(func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero, c.PermittedDNSDomains = false, false, nil }),
		"no signer":        certificate(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }),
	} {
		s := profile.Signer{Key: key, Chain: chain}
		_, err := open(profile.Resign(t, honest, s), victim, options(a))
		require.ErrorIs(t, err, profile.ErrUntrusted, name)
		_, err = profile.Seal(victim.PublicKey(), p, s)
		require.ErrorIs(t, err, profile.ErrAuthority, name)
	}
	// The same certificate with all its marks may.
	s := profile.Signer{Key: key, Chain: certificate(func(*x509.Certificate) {})}
	b, err := profile.Seal(victim.PublicKey(), p, s)
	require.NoError(t, err)
	_, err = open(b, victim, options(a))
	require.NoError(t, err)
	s.Key = ecKey(t)
	_, err = profile.Seal(victim.PublicKey(), p, s)
	require.ErrorIs(t, err, profile.ErrAuthority, "a key that is not the certificate's")
	free := certificate(func(c *x509.Certificate) { c.PermittedDNSDomains, c.ExcludedIPRanges = nil, nil })
	_, err = profile.LoadAuthority(zone, free, key)
	require.ErrorIs(t, err, profile.ErrAuthority, "an issuer that is not limited to the zone")

	// One algorithm for each kind of key, even where the root says otherwise.
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, a.Issuer(), a.Root(), p384.Public(), rootKey)
	require.NoError(t, err)
	s = profile.Signer{Key: p384, Chain: [][]byte{der, a.Root().Raw}}
	_, err = open(profile.Resign(t, honest, s), victim, options(a))
	require.ErrorIs(t, err, profile.ErrSignature)
}

// Whoever sends rubbish must not make a device ask the network.
func TestTrustIsAskedLast(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), agreementKey(t)
	b, _ := sealed(t, a, key.PublicKey())
	b[len(b)-1] ^= 1
	o := options(a)
	o.Trust = func([]*x509.Certificate) error {
		t.Error("asked about a seal whose signature is wrong")
		return nil
	}
	_, err := open(b, key, o)
	require.ErrorIs(t, err, profile.ErrSignature)
}

func TestTrustRootsWantsRoots(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	chain := []*x509.Certificate{a.Issuer(), a.Root()}
	require.ErrorContains(t, profile.TrustRoots(x509.VerifyOptions{})(chain), "no roots", "the system's are no registry's")
	require.Error(t, trust(a)(nil))
	require.NoError(t, trust(a)(chain))
}
