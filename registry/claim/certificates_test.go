package claim_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/claim"
	"github.com/iotregistry/sdk/registry/eid"
)

const deviceID = "89049032123451234512345678901235"

// A maker's CA is openssl's: a root, one intermediate, two devices.
func TestReadCertificatesByOpenSSL(t *testing.T) {
	t.Parallel()
	s := openssl(t)
	const ec = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "
	s.write("ca.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
	s.write("device.ext", "basicConstraints=CA:FALSE\nkeyUsage=critical,keyAgreement\n")
	s.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out root.key")
	s.run("req -new -x509 -key root.key -days 30 -out root.pem -subj /CN=Root -addext keyUsage=critical,keyCertSign")
	s.run(ec + "ca.key")
	s.run("req -new -key ca.key -out ca.csr -subj /CN=Issuing")
	s.run("x509 -req -in ca.csr -CA root.pem -CAkey root.key -set_serial 2 -days 30 -extfile ca.ext -out ca.pem")
	s.run(ec + "1.key")
	s.run("req -new -key 1.key -out 1.csr -subj", "/CN=eUICC/serialNumber=8904 9032 1234 5123 4512 3456 7890 1235")
	s.run("x509 -req -in 1.csr -CA ca.pem -CAkey ca.key -set_serial 3 -days 30 -extfile device.ext -text -out 1.pem")
	s.run("genpkey -algorithm X25519 -out 2.key")
	s.run("pkey -in 2.key -pubout -out 2.pub")
	s.run("req -new -key 1.key -out 2.csr -subj /serialNumber=1000000000000002")
	s.run("x509 -req -in 2.csr -force_pubkey 2.pub -CA ca.pem -CAkey ca.key -set_serial 4 -days 30 -extfile device.ext -out 2.pem")
	s.run("pkey -in 1.key -pubout -out 1.pub")

	_, roots, err := claim.ParseTrust(s.read("root.pem"))
	require.NoError(t, err)
	bundle := s.read("1.pem") + s.read("ca.pem") + s.read("2.pem")
	list, err := claim.ReadCertificates(strings.NewReader(bundle), time.Time{}, claim.Maker{Account: "acme", Roots: roots})
	require.NoError(t, err)
	require.Empty(t, list.Bad)
	require.Equal(t, "acme", list.Maker)
	require.Len(t, list.Claims, 2)
	for i, want := range []struct{ id, pub string }{{deviceID, "1.pub"}, {"1000000000000002", "2.pub"}} {
		key, err := profile.ParsePublicKey(s.read(want.pub))
		require.NoError(t, err)
		require.Equal(t, want.id, list.Claims[i].Device.String())
		require.Equal(t, profile.FormatPublicKey(key), list.Claims[i].Key)
	}
}

// Whatever stands between two good certificates, they come back.
func TestReadCertificatesItems(t *testing.T) {
	t.Parallel()
	root, foreign := newCA(t, "root", nil), newCA(t, "foreign", nil)
	mallory := newCA(t, "root of mallory", nil, func(c *x509.Certificate) { c.Subject.CommonName = "root" })
	pub := ecKey(t, elliptic.P256()).Public()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	with := func(id string, change ...func(*x509.Certificate)) string {
		return pemOf(root.device(t, id, pub, change...))
	}
	usage := func(u x509.KeyUsage) func(*x509.Certificate) { return func(c *x509.Certificate) { c.KeyUsage = u } }
	extension := func(id asn1.ObjectIdentifier, critical bool, value ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.KeyUsage, c.ExtraExtensions = 0, []pkix.Extension{{Id: id, Critical: critical, Value: value}}
		}
	}
	forged := root.device(t, "7", pub)
	forged[len(forged)-1] ^= 1
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("secret")}))
	for name, c := range map[string]struct {
		item   string
		device string
		want   error
	}{
		"expired":               {with("7", func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), "7", claim.ErrTime},
		"not yet valid":         {with("7", func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), "7", claim.ErrTime},
		"signing key of SGP.22": {with("7", usage(x509.KeyUsageDigitalSignature)), "7", claim.ErrUsage},
		"no usage at all":       {with("7", extension(asn1.ObjectIdentifier{2, 5, 29, 15}, true, 3, 2, 7, 0)), "7", claim.ErrUsage},
		"RSA":                   {pemOf(root.device(t, "7", rsaKey.Public())), "7", profile.ErrKey},
		"Ed25519":               {pemOf(root.device(t, "7", edKey(1).Public())), "7", profile.ErrKey},
		"P-224":                 {pemOf(root.device(t, "7", ecKey(t, elliptic.P224()).Public())), "7", profile.ErrKey},
		"unknown CA":            {pemOf(foreign.device(t, "7", pub)), "7", claim.ErrIssuer},
		"CA of the same name":   {pemOf(mallory.device(t, "7", pub)), "7", claim.ErrIssuer},
		"forged":                {pemOf(forged), "7", claim.ErrIssuer},
		"claims to be a CA":     {foreign.pem(), "", claim.ErrIssuer},
		"CA that may not sign":  {newCA(t, "y", &root, usage(x509.KeyUsageDigitalSignature)).pem(), "", claim.ErrCertificate},
		"duplicate":             {with("1"), "1", claim.ErrDuplicate},
		"no device ID":          {with(""), "", claim.ErrSubject},
		"two device IDs":        {with("7", func(c *x509.Certificate) { c.Subject.ExtraNames = serials("7", "8") }), "", claim.ErrSubject},
		"mistyped device ID":    {with("89049032123451234512345678901236"), "", eid.ErrCheck},
		"letters":               {with("METER 1"), "", eid.ErrCharacter},
		"unknown extension":     {with("7", extension(asn1.ObjectIdentifier{1, 2, 3}, true, 5, 0)), "7", claim.ErrCertificate},
		"not a certificate":     {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", claim.ErrCertificate},
		"empty":                 {"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "", claim.ErrCertificate},
		"another block":         {"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "", claim.ErrCertificate},
		"private key":           {secret, "", claim.ErrSecret},
		"not base64":            {"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n", "", claim.ErrPEM},
		"no end":                {"-----BEGIN CERTIFICATE-----\nAAAA\n", "", claim.ErrPEM},
		"another end":           {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERT-----\n", "", claim.ErrPEM},
		"10 MB":                 {"-----BEGIN CERTIFICATE-----\n" + strings.Repeat("AAAA\n", 2<<20) + "-----END CERTIFICATE-----\n", "", claim.ErrPEM},
		"10 MB in one line":     {"-----BEGIN CERTIFICATE-----\n" + strings.Repeat("AAAA", 2<<20) + "\n-----END CERTIFICATE-----\n", "", claim.ErrPEM},
		"10 MB label":           {"-----BEGIN " + strings.Repeat("X", 10<<20) + "-----\n-----END X-----\n", "", claim.ErrPEM},
	} {
		first := "Maker's list\r\n" + with("1")
		list, err := claim.ReadCertificates(strings.NewReader(first+c.item+with("2")), noon, root.maker("acme"))
		require.NoError(t, err, name)
		require.Len(t, list.Claims, 2, name)
		require.Equal(t, "1", list.Claims[0].Device.String(), name)
		require.Equal(t, "2", list.Claims[1].Device.String(), name)
		require.Len(t, list.Bad, 1, name)
		require.ErrorIs(t, list.Bad[0], c.want, name)
		require.Equal(t, strings.Count(first, "\n")+1, list.Bad[0].Line, name)
		require.Equal(t, c.device, list.Bad[0].Device.String(), name)
		require.Less(t, len(list.Bad[0].Error()), 400, name)
		require.NotContains(t, list.Bad[0].Error(), "c2VjcmV0", name)
	}
}

func serials(values ...string) (names []pkix.AttributeTypeAndValue) {
	for _, v := range values {
		names = append(names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: v})
	}
	return names
}

// What a certificate may look like; openssl makes the one with an X25519 key.
func TestReadCertificatesAccepts(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	pub := ecKey(t, elliptic.P256()).Public()
	for name, der := range map[string][]byte{
		"P-384":                  root.device(t, deviceID, ecKey(t, elliptic.P384()).Public()),
		"no keyUsage":            root.device(t, deviceID, pub, func(c *x509.Certificate) { c.KeyUsage = 0 }),
		"more usages":            root.device(t, deviceID, pub, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }),
		"extended usage":         root.device(t, deviceID, pub, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		"blanks in the EID":      root.device(t, " 89 04903212345 1234512345678901235", pub),
		"valid from this moment": root.device(t, deviceID, pub, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon, noon }),
	} {
		list, err := claim.ReadCertificates(strings.NewReader(pemOf(der)), noon, root.maker("acme"))
		require.NoError(t, err, name)
		require.Empty(t, list.Bad, name)
		require.Equal(t, deviceID, list.Claims[0].Device.String(), name)
		_, err = profile.ParsePublicKey(list.Claims[0].Key)
		require.NoError(t, err, name)
	}
}

// CA certificates count only where they lead to a root that is valid now.
func TestReadCertificatesChains(t *testing.T) {
	t.Parallel()
	old := func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Hour) }
	root := newCA(t, "root", nil)
	one := newCA(t, "one", &root)
	two := newCA(t, "second", &one)
	gone, goneRoot := newCA(t, "gone", &root, old), newCA(t, "old root", nil, old)
	below := newCA(t, "below", &goneRoot)
	short := newCA(t, "shortest", &root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	tooDeep := newCA(t, "too deep", &short)
	weak := newCA(t, "weak", &root)
	pub := ecKey(t, elliptic.P256()).Public()
	leaf := func(c ca) string { return pemOf(c.device(t, "7", pub)) }
	for name, c := range map[string]struct {
		bundle string
		want   error // of the device
		bad    int
	}{
		"two intermediates":       {leaf(two) + two.pem() + one.pem(), nil, 0},
		"in the other order":      {one.pem() + two.pem() + leaf(two), nil, 0},
		"the root among them":     {root.pem() + one.pem() + leaf(one), nil, 0},
		"one twice":               {one.pem() + one.pem() + leaf(one), nil, 0},
		"one missing":             {two.pem() + leaf(two), claim.ErrIssuer, 2},
		"its own root only":       {weak.pem() + leaf(one), claim.ErrIssuer, 1},
		"intermediate is expired": {gone.pem() + leaf(gone), claim.ErrTime, 2},
		"root is expired":         {leaf(goneRoot), claim.ErrTime, 1},
		"below an expired root":   {below.pem() + leaf(below), claim.ErrIssuer, 2},
		"path too long":           {short.pem() + tooDeep.pem() + leaf(tooDeep), claim.ErrCertificate, 1},
	} {
		acme := claim.Maker{Account: "acme", Roots: []*x509.Certificate{nil, root.cert, goneRoot.cert}}
		list, err := claim.ReadCertificates(strings.NewReader(c.bundle), noon, acme)
		require.NoError(t, err, name)
		require.Len(t, list.Bad, c.bad, name)
		if c.want == nil {
			require.Len(t, list.Claims, 1, name)
			require.Equal(t, "acme", list.Maker, name)
			continue
		}
		require.Empty(t, list.Claims, name)
		require.Empty(t, list.Maker, name)
		var device error
		for _, b := range list.Bad {
			if !b.Device.IsZero() {
				device = b
			}
		}
		require.ErrorIs(t, device, c.want, name)
	}
}

// A bundle is one maker's, whichever of several it is.
func TestReadCertificatesMakers(t *testing.T) {
	t.Parallel()
	acme, other := newCA(t, "root", nil), newCA(t, "root of the other", nil, func(c *x509.Certificate) { c.Subject.CommonName = "root" })
	pub := ecKey(t, elliptic.P256()).Public()
	makers := []claim.Maker{{Account: "none"}, acme.maker("acme"), other.maker("other")}
	bundle := pemOf(other.device(t, "1", pub)) + pemOf(acme.device(t, "2", pub)) + pemOf(other.device(t, "3", pub))
	list, err := claim.ReadCertificates(strings.NewReader(bundle), noon, makers...)
	require.NoError(t, err)
	require.Equal(t, "other", list.Maker)
	require.Len(t, list.Claims, 2)
	require.Len(t, list.Bad, 1)
	require.ErrorIs(t, list.Bad[0], claim.ErrMaker)
	require.Equal(t, "2", list.Bad[0].Device.String())

	list, err = claim.ReadCertificates(strings.NewReader(bundle), noon, makers[:1]...)
	require.NoError(t, err)
	require.Empty(t, list.Maker)
	require.Len(t, list.Bad, 3)
}

// No byte of a certificate may change.
func TestReadCertificatesTampered(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	der := root.device(t, "7", ecKey(t, elliptic.P256()).Public())
	for i := range der { // whatever the byte means
		der[i] ^= 1
		list, err := claim.ReadCertificates(strings.NewReader(pemOf(der)), noon, root.maker("acme"))
		require.NoError(t, err)
		require.Empty(t, list.Claims, "byte %d", i)
		require.Len(t, list.Bad, 1)
		der[i] ^= 1
	}
}

// A file is refused whole when it cannot be seen whole.
func TestReadCertificatesBounds(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	boom := errors.New("boom")
	_, err := claim.ReadCertificates(iotest.ErrReader(boom), noon, root.maker("acme"))
	require.ErrorIs(t, err, boom)
	for _, text := range []string{"", "\n", "1,KEY\n", "----BEGIN CERTIFICATE----\n"} {
		_, err = claim.ReadCertificates(strings.NewReader(text), noon, root.maker("acme"))
		require.ErrorIs(t, err, claim.ErrNoCertificates)
	}
	for name, text := range map[string]string{
		"too many begin": strings.Repeat("-----BEGIN X-----\n", 100_001),
		"too many CAs":   strings.Repeat(root.pem(), 33),
	} {
		list, err := claim.ReadCertificates(strings.NewReader(text), noon, root.maker("acme"))
		require.ErrorIs(t, err, claim.ErrTooLarge, name)
		require.Nil(t, list, name)
	}
	_, err = claim.ReadCertificates(endless("-----BEGIN CERTIFICATE-----\n"), noon, root.maker("acme"))
	require.ErrorIs(t, err, claim.ErrTooLarge)
	list, err := claim.ReadCertificates(strings.NewReader(strings.Repeat("-----BEGIN X-----\n", 3)), noon)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3}, lines(list.Bad))
}
