package claim_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry/claim"
)

const header = "Device ID,Public Key,Model\n"

// x25519 is a key as profile.FormatPublicKey writes it.
const x25519 = "MCowBQYDK2VuAyEACfAgwVKnlZQJ3pKOP8vQhuqQyjNvHoVEm49H9Y7S8mU="

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// edKey is the same in every run: what fuzzing finds can be tried again.
func edKey(seed byte) ed25519.PrivateKey {
	s := sha256.Sum256([]byte{seed})
	return ed25519.NewKeyFromSeed(s[:])
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func spki(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	require.NoError(t, err)
	return der
}

func keyText(t testing.TB, pub crypto.PublicKey) string {
	return base64.StdEncoding.EncodeToString(spki(t, pub))
}

// ca is a CA of a maker.
type ca struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (c ca) pem() string { return pemOf(c.cert.Raw) }

func (c ca) maker(account string) claim.Maker {
	return claim.Maker{Account: account, Roots: []*x509.Certificate{c.cert}}
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// newCA makes a CA under parent, or a root where that is nil.
func newCA(t testing.TB, name string, parent *ca, change ...func(*x509.Certificate)) ca {
	t.Helper()
	c := ca{key: edKey(byte(len(name)) + name[0])}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(20, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, f := range change {
		f(template)
	}
	if parent == nil {
		parent = &ca{template, c.key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, c.key.Public(), parent.key)
	require.NoError(t, err)
	c.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return c
}

// device makes a device's certificate in DER.
func (c ca) device(t testing.TB, id string, pub crypto.PublicKey, change ...func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "eUICC", SerialNumber: id},
		NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageKeyAgreement,
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, pub, c.key)
	require.NoError(t, err)
	return der
}

// shell runs openssl in a folder of its own.
type shell struct {
	t   *testing.T
	dir string
}

func openssl(t *testing.T) shell {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	return shell{t, t.TempDir()}
}

func (s shell) run(line string, more ...string) {
	s.t.Helper()
	cmd := exec.Command("openssl", append(strings.Fields(line), more...)...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "openssl %s: %s", line, out)
}

func (s shell) write(name, text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
}

func (s shell) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	require.NoError(s.t, err)
	return string(b)
}

func lines(bad []*claim.ItemError) (at []int) {
	for _, b := range bad {
		at = append(at, b.Line)
	}
	return at
}
