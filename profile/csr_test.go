package profile_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
)

func ecOn(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func csrOf(t testing.TB, key crypto.Signer, change ...func(*x509.CertificateRequest)) []byte {
	req := &x509.CertificateRequest{}
	for _, f := range change {
		f(req)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	require.NoError(t, err)
	return der
}

// What counts of a request is its key; what else it says is ignored.
func TestParseCSR(t *testing.T) {
	t.Parallel()
	key := ecOn(t, elliptic.P256())
	for name, change := range map[string]func(*x509.CertificateRequest){
		"nothing but a key": func(*x509.CertificateRequest) {},
		"a subject and names": func(r *x509.CertificateRequest) {
			r.Subject, r.DNSNames = pkix.Name{CommonName: "root"}, []string{"11.1000000000000002.iotregistry.ca"}
		},
		"SHA-512": func(r *x509.CertificateRequest) { r.SignatureAlgorithm = x509.ECDSAWithSHA512 },
	} {
		got, err := profile.ParseCSR(csrOf(t, key, change))
		require.NoError(t, err, name)
		require.True(t, key.PublicKey.Equal(got), name)
	}
}

func TestParseCSRRefuses(t *testing.T) {
	t.Parallel()
	good := csrOf(t, ecOn(t, elliptic.P256()))
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	// Somebody else's key in a request of one's own: there is no proof that one has it.
	mine, theirs := ecOn(t, elliptic.P256()), ecOn(t, elliptic.P256())
	swapped := csrOf(t, struct{ crypto.Signer }{mine})
	from, err := mine.PublicKey.Bytes()
	require.NoError(t, err)
	to, err := theirs.PublicKey.Bytes()
	require.NoError(t, err)
	swapped = bytes.Replace(swapped, from, to, 1)
	for name, der := range map[string][]byte{
		"nothing":                  nil,
		"no DER":                   []byte("-----BEGIN CERTIFICATE REQUEST-----"),
		"cut off":                  good[:len(good)-1],
		"more after it":            append(bytes.Clone(good), 0),
		"too long":                 make([]byte, profile.MaxCSR+1),
		"too long, though good":    csrOf(t, mine, func(r *x509.CertificateRequest) { r.Subject.CommonName = string(make([]byte, profile.MaxCSR)) }),
		"a forged signature":       forged,
		"signed by another key":    swapped,
		"P-384 cannot be issued":   csrOf(t, ecOn(t, elliptic.P384())),
		"P-521":                    csrOf(t, ecOn(t, elliptic.P521())),
		"Ed25519 cannot be issued": csrOf(t, ed),
		"RSA":                      csrOf(t, rsaKey),
	} {
		key, err := profile.ParseCSR(der)
		require.ErrorIs(t, err, profile.ErrCSR, name)
		require.Nil(t, key, name)
		require.Less(t, len(err.Error()), 400, name)
	}
}

// FuzzParseCSR: whatever is read has a key that an authority certifies.
func FuzzParseCSR(f *testing.F) {
	f.Add(csrOf(f, ecOn(f, elliptic.P256())))
	f.Add(csrOf(f, ecOn(f, elliptic.P384())))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := profile.ParseCSR(der)
		if err != nil {
			require.ErrorIs(t, err, profile.ErrCSR)
			return
		}
		require.LessOrEqual(t, len(der), profile.MaxCSR)
		pub, ok := key.(*ecdsa.PublicKey)
		require.True(t, ok && pub.Curve == elliptic.P256())
	})
}
