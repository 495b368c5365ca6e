package profile_test

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
)

func TestPublicKeyForms(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	b64 := base64.StdEncoding.EncodeToString(der)
	forms := []string{
		b64, " " + b64 + "\n",
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}
	pub, err := key.PublicKey.ECDH()
	require.NoError(t, err)
	forms = append(forms, "0010:"+base64.StdEncoding.EncodeToString(pub.Bytes()))
	for _, form := range forms {
		got, err := profile.ParsePublicKey(form)
		require.NoError(t, err)
		require.Equal(t, b64, profile.FormatPublicKey(got), "every form has one canonical text")
	}
	hybrid, err := hpke.MLKEM768P256().GenerateKey()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(profile.FormatPublicKey(hybrid.PublicKey()), "0050:"))
}

func TestPublicKeyRefuses(t *testing.T) {
	t.Parallel()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(pub)
	require.NoError(t, err)
	offCurve := append([]byte{4}, make([]byte, 64)...)
	for name, in := range map[string]string{
		"empty":           "",
		"nonsense":        "nonsense!",
		"base64 nonsense": "AAAA",
		"signing key":     base64.StdEncoding.EncodeToString(der),
		"unknown KEM":     "ffff:AAAA",
		"bad KEM number":  "P-256:AAAA",
		"raw no base64":   "0010:%%",
		"off the curve":   "0010:" + base64.StdEncoding.EncodeToString(offCurve),
		"wrong PEM":       "-----BEGIN X-----\nAAAA\n-----END X-----\n",
		"huge":            strings.Repeat("A", 1<<20),
	} {
		_, err := profile.ParsePublicKey(in)
		require.ErrorIs(t, err, profile.ErrKey, name)
		require.Less(t, len(err.Error()), 300)
	}
}

// openssl makes keys as makers would.
func TestPublicKeyFromOpenSSL(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	for _, args := range [][]string{
		{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		{"genpkey", "-algorithm", "X25519"},
	} {
		priv, err := exec.Command("openssl", args...).Output()
		require.NoError(t, err)
		cmd := exec.Command("openssl", "pkey", "-pubout")
		cmd.Stdin = strings.NewReader(string(priv))
		out, err := cmd.Output()
		require.NoError(t, err)
		_, err = profile.ParsePublicKey(string(out))
		require.NoError(t, err)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Public)
	}
	f.Add("0010:AAAA")
	f.Add("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
	f.Fuzz(func(t *testing.T, in string) {
		k, err := profile.ParsePublicKey(in)
		if err != nil {
			require.ErrorIs(t, err, profile.ErrKey)
			return
		}
		text := profile.FormatPublicKey(k)
		again, err := profile.ParsePublicKey(text)
		require.NoError(t, err)
		require.Equal(t, text, profile.FormatPublicKey(again))
	})
}

func ExampleParsePublicKey() {
	key, err := profile.ParsePublicKey("MCowBQYDK2VuAyEACfAgwVKnlZQJ3pKOP8vQhuqQyjNvHoVEm49H9Y7S8mU=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("KEM %04x\n", key.KEM().ID())
	_, err = profile.ParsePublicKey("0010:AAAA")
	fmt.Println(errors.Is(err, profile.ErrKey))
	// Output:
	// KEM 0020
	// true
}

func ExampleFormatPublicKey() {
	key, err := profile.ParsePublicKey(" 0020:CfAgwVKnlZQJ3pKOP8vQhuqQyjNvHoVEm49H9Y7S8mU=\n")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(profile.FormatPublicKey(key))
	// Output: MCowBQYDK2VuAyEACfAgwVKnlZQJ3pKOP8vQhuqQyjNvHoVEm49H9Y7S8mU=
}
