package claim_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/claim"
)

func csrOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	require.NoError(t, err)
	return der
}

// A list may have requests, of all devices or of some, in base64 with line breaks
// or without.
func TestReadSignedRequests(t *testing.T) {
	t.Parallel()
	der := csrOf(t, ecKey(t, elliptic.P256()))
	text := base64.StdEncoding.EncodeToString(der)
	list, err := readEd("Device ID,csr,Public Key\n" +
		"1," + text + "," + x25519 + "\n" +
		"2,\"" + text[:64] + "\r\n" + text[64:] + "\n\"," + x25519 + "\n" +
		"3,," + x25519 + "\n")
	require.NoError(t, err)
	require.Empty(t, list.Bad)
	require.Equal(t, [][]byte{der, der, nil}, [][]byte{list.Claims[0].CSR, list.Claims[1].CSR, list.Claims[2].CSR},
		"the bytes are kept as they came; whose key it is, is the registry's to see to")
}

// A wrong request is one row's affair.
func TestReadSignedRefusesRequests(t *testing.T) {
	t.Parallel()
	forged := csrOf(t, ecKey(t, elliptic.P256()))
	forged[len(forged)-1] ^= 1
	b64 := base64.StdEncoding.EncodeToString
	for name, cell := range map[string]string{
		"forged":     b64(forged),
		"P-384":      b64(csrOf(t, ecKey(t, elliptic.P384()))),
		"Ed25519":    b64(csrOf(t, edKey(1))),
		"not base64": "c2Vj?mV0",
		"hex":        "3045aabbcc",
		"PEM":        `"-----BEGIN CERTIFICATE REQUEST-----` + "\n" + b64(forged) + "\n" + `-----END CERTIFICATE REQUEST-----"`,
		"too long":   b64(make([]byte, profile.MaxCSR+1)),
		"a key":      x25519,
	} {
		list, err := readEd("Device ID,Public Key,CSR\n1," + x25519 + ",\n7," + x25519 + "," + cell + "\n2," + x25519 + ",\n")
		require.NoError(t, err, name)
		require.Len(t, list.Claims, 2, name)
		require.Len(t, list.Bad, 1, name)
		require.ErrorIs(t, list.Bad[0], profile.ErrCSR, name)
		require.Equal(t, []any{3, "CSR", "7"}, []any{list.Bad[0].Line, list.Bad[0].Column, list.Bad[0].Device.String()}, name)
		require.Less(t, len(list.Bad[0].Error()), 500, name)
	}
	_, err := claim.ReadSigned(strings.NewReader("CSR,csr\n"), nil)
	require.ErrorIs(t, err, claim.ErrSignature)
}
