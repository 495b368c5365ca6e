package claim_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/claim"
	"github.com/iotregistry/sdk/registry/eid"
)

// A maker needs nothing but openssl.
func TestReadSignedByOpenSSL(t *testing.T) {
	t.Parallel()
	const dgst = "dgst -sha256 -sign maker.key -out claims.csv.sig claims.csv"
	for name, c := range map[string]struct{ genkey, sign string }{
		"ECDSA P-256": {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", dgst},
		"ECDSA P-384": {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384", dgst},
		"RSA 2048":    {"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", dgst},
		"RSA 3072":    {"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072", dgst},
		"Ed25519":     {"genpkey -algorithm ED25519", "pkeyutl -sign -rawin -inkey maker.key -in claims.csv -out claims.csv.sig"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openssl(t)
			s.run(c.genkey + " -out maker.key")
			s.run("pkey -in maker.key -pubout -out maker.pem")
			s.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out device.key")
			s.run("pkey -in device.key -pubout -out device.pem")
			s.write("claims.csv", header+"1,"+x25519+",Meter\n2,\""+s.read("device.pem")+"\",\n")
			s.run(c.sign)
			s.run("base64 -in claims.csv.sig -out lines.txt")
			s.run("base64 -A -in claims.csv.sig -out line.txt")
			keys, roots, err := claim.ParseTrust(s.read("maker.pem"))
			require.NoError(t, err)
			require.Empty(t, roots)
			makers := []claim.Maker{{Account: "other", Keys: []crypto.PublicKey{edKey(9).Public()}}, {Account: "acme", Keys: keys}}
			for _, form := range []string{"claims.csv.sig", "lines.txt", "line.txt"} {
				list, err := claim.ReadSigned(strings.NewReader(s.read("claims.csv")), []byte(s.read(form)), makers...)
				require.NoError(t, err, form)
				require.Equal(t, "acme", list.Maker)
				require.Empty(t, list.Bad)
				require.Len(t, list.Claims, 2)
				require.Equal(t, claim.Claim{Line: 2, Device: eid.MustParse("1"), Model: "Meter", Key: x25519}, list.Claims[0])
				key, err := profile.ParsePublicKey(s.read("device.pem"))
				require.NoError(t, err)
				require.Equal(t, profile.FormatPublicKey(key), list.Claims[1].Key)
			}
		})
	}
}

// No byte of the file may change, and none of an Ed25519 signature.
func TestReadSignedTampered(t *testing.T) {
	t.Parallel()
	file := []byte(header + "1," + x25519 + ",Meter\r\n2," + x25519 + ",\n\n")
	key := edKey(1)
	acme := claim.Maker{Account: "acme", Keys: []crypto.PublicKey{key.Public()}}
	signature := ed25519.Sign(key, file)
	read := func(file, signature []byte) error {
		_, err := claim.ReadSigned(strings.NewReader(string(file)), signature, acme)
		return err
	}
	require.NoError(t, read(file, signature))
	for i := range file {
		file[i] ^= 1
		require.ErrorIs(t, read(file, signature), claim.ErrSignature, "byte %d", i)
		file[i] ^= 1
		require.ErrorIs(t, read(file[:i], signature), claim.ErrSignature, "cut at %d", i)
	}
	require.ErrorIs(t, read(append(file, '\n'), signature), claim.ErrSignature)
	for i := range signature {
		signature[i] ^= 1
		require.ErrorIs(t, read(file, signature), claim.ErrSignature, "byte %d", i)
		signature[i] ^= 1
	}
}

func TestReadSignedRefuses(t *testing.T) {
	t.Parallel()
	file := header + "1," + x25519 + ",Meter\n"
	digest := sha256.Sum256([]byte(file))
	long := sha512.Sum384([]byte(file))
	ec, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P521())
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	sign := func(key crypto.Signer, digest []byte, opts crypto.SignerOpts) []byte {
		signature, err := key.Sign(rand.Reader, digest, opts)
		require.NoError(t, err)
		return signature
	}
	good := sign(ec, digest[:], crypto.SHA256)
	for name, c := range map[string]struct {
		signature []byte
		key       crypto.PublicKey
	}{
		"another maker's":        {good, ecKey(t, elliptic.P256()).Public()},
		"of another file":        {sign(ec, long[:32], crypto.SHA256), ec.Public()},
		"SHA-384":                {sign(ec, long[:], crypto.SHA384), ec.Public()},
		"cut off":                {good[:len(good)-1], ec.Public()},
		"longer":                 {append(good[:len(good):len(good)], 0), ec.Public()},
		"none":                   {nil, ec.Public()},
		"none in base64":         {[]byte("\n"), ec.Public()},
		"huge":                   {make([]byte, 1<<20), ec.Public()},
		"hex":                    {[]byte("3045"), ec.Public()},
		"P-521 is not agreed on": {sign(p521, digest[:], crypto.SHA256), p521.Public()},
		"RSA with 1024 bits":     {sign(small, digest[:], crypto.SHA256), small.Public()},
		"RSA-PSS":                {sign(big, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256}), big.Public()},
		"Ed25519ph":              {sign(edKey(1), hash512(file), crypto.SHA512), edKey(1).Public()},
		"Ed25519 over the hash":  {ed25519.Sign(edKey(1), digest[:]), edKey(1).Public()},
		"no key":                 {good, nil},
		"nil ECDSA key":          {good, (*ecdsa.PublicKey)(nil)},
		"empty ECDSA key":        {good, &ecdsa.PublicKey{}},
		"nil RSA key":            {good, (*rsa.PublicKey)(nil)},
		"empty RSA key":          {good, &rsa.PublicKey{}},
		"short Ed25519 key":      {make([]byte, 64), ed25519.PublicKey{1}},
		"private key":            {good, ec},
	} {
		list, err := claim.ReadSigned(strings.NewReader(file), c.signature, claim.Maker{Account: "acme", Keys: []crypto.PublicKey{c.key}})
		require.ErrorIs(t, err, claim.ErrSignature, name)
		require.Nil(t, list, name)
	}
	_, err = claim.ReadSigned(strings.NewReader(file), good)
	require.ErrorIs(t, err, claim.ErrSignature, "no maker")
	_, err = claim.ReadSigned(strings.NewReader(file), good, claim.Maker{Account: "acme", Keys: []crypto.PublicKey{nil, ec.Public()}})
	require.NoError(t, err, "an unusable key does not stand in the way of others")
}

func hash512(s string) []byte {
	h := sha512.Sum512([]byte(s))
	return h[:]
}

// readEd signs the file as a maker and reads it.
func readEd(file string) (*claim.List, error) {
	key := edKey(1)
	return claim.ReadSigned(strings.NewReader(file), ed25519.Sign(key, []byte(file)),
		claim.Maker{Account: "acme", Keys: []crypto.PublicKey{key.Public()}})
}

func TestReadSignedRows(t *testing.T) {
	t.Parallel()
	point := spki(t, ecKey(t, elliptic.P256()).Public())
	point[len(point)-1] ^= 1
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}))
	for name, c := range map[string]struct {
		row    string
		column string
		device string
		want   error
	}{
		"not on the curve":   {"7," + base64.StdEncoding.EncodeToString(point) + ",M", "Public Key", "7", profile.ErrKey},
		"all zeros":          {"7,0020:" + base64.StdEncoding.EncodeToString(make([]byte, 31)) + ",M", "Public Key", "7", profile.ErrKey},
		"RSA":                {"7," + keyText(t, rsaKey.Public()) + ",M", "Public Key", "7", profile.ErrKey},
		"Ed25519 only signs": {"7," + keyText(t, edKey(1).Public()) + ",M", "Public Key", "7", profile.ErrKey},
		"private key":        {"7,\"" + private + "\",M", "Public Key", "7", profile.ErrKey},
		"no key":             {"7,,M", "Public Key", "7", profile.ErrKey},
		"rounded":            {"1E+15," + x25519 + ",M", "Device ID", "", eid.ErrSpreadsheet},
		"duplicate":          {"1," + x25519 + ",M", "Device ID", "1", claim.ErrDuplicate},
		"too few":            {"7," + x25519, "", "", claim.ErrFields},
		"10 MB cell":         {"7,\"" + strings.Repeat("x", 10<<20) + "\",M", "", "", claim.ErrCell},
		"escape code":        {"7," + x25519 + ",\x1b[2J", "Model", "7", claim.ErrText},
		"inches":             {"7," + x25519 + ",M 12\"", "", "", claim.ErrQuote},
	} {
		list, err := readEd(header + "1," + x25519 + ",M\n" + c.row + "\n2," + x25519 + ",M\n")
		require.NoError(t, err, name)
		require.Len(t, list.Claims, 2, name)
		require.Len(t, list.Bad, 1, name)
		bad := list.Bad[0]
		require.ErrorIs(t, bad, c.want, name)
		require.Equal(t, 3, bad.Line, name)
		require.Equal(t, c.column, bad.Column, name)
		require.Equal(t, c.device, bad.Device.String(), name)
		require.Contains(t, bad.Error(), "line 3", name)
		require.Less(t, len(bad.Error()), 300, name)
		require.NotContains(t, bad.Error(), "c2VjcmV0", name)
	}
}

// The columns are found by name, as in an owner's list.
func TestReadSignedColumns(t *testing.T) {
	t.Parallel()
	list, err := readEd("\uFEFF public key,COLOUR,device id\r\n" + x25519 + ",red, 0007\r\n")
	require.NoError(t, err)
	require.Equal(t, []claim.Claim{{Line: 2, Device: eid.MustParse("0007"), Key: x25519}}, list.Claims)
	for name, file := range map[string]string{
		"empty": "", "no key": "Device ID,Model\n", "no ID": "Public Key\n", "semicolons": "Device ID;Public Key\n", "twice": "Device ID,Public Key,public key\n",
	} {
		list, err := readEd(file)
		require.ErrorIs(t, err, claim.ErrHeader, name)
		require.Nil(t, list, name)
	}
	require.ErrorIs(t, registry.ErrDuplicate, claim.ErrDuplicate, "one name is as good as the other")
}

// A file is refused whole when it cannot be seen whole.
func TestReadSignedBounds(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	acme := claim.Maker{Account: "acme", Keys: []crypto.PublicKey{edKey(1).Public()}}
	_, err := claim.ReadSigned(io.MultiReader(strings.NewReader(header), iotest.ErrReader(boom)), nil, acme)
	require.ErrorIs(t, err, boom)
	_, err = claim.ReadSigned(endless("x"), nil, acme)
	require.ErrorIs(t, err, claim.ErrTooLarge)
	list, err := readEd(header + strings.Repeat("x\n", 100_001))
	require.ErrorIs(t, err, claim.ErrTooLarge)
	require.Nil(t, list)
}

// endless repeats a text.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}
