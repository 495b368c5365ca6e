package claim_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/claim"
)

func ExampleReadSigned() {
	// The maker signs its list and hands both files to the owner.
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	file := "Device ID,Public Key,Model\n" +
		"1000000000000001,MCowBQYDK2VuAyEACfAgwVKnlZQJ3pKOP8vQhuqQyjNvHoVEm49H9Y7S8mU=,Parking Meter\n" +
		"1000000000000002,MCow,Parking Meter\n"
	signature := ed25519.Sign(private, []byte(file))

	// Whoever has the files can bring them.
	acme := claim.Maker{Account: "acme", Keys: []crypto.PublicKey{public}}
	list, err := claim.ReadSigned(strings.NewReader(file), signature, acme)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range list.Claims {
		fmt.Println(list.Maker, "made", c.Device, c.Model)
	}
	for _, e := range list.Bad {
		fmt.Println(e)
	}
	_, err = claim.ReadSigned(strings.NewReader(strings.ReplaceAll(file, "Parking", "Sparking")), signature, acme)
	fmt.Println(err)
	// Output:
	// acme made 1000000000000001 Parking Meter
	// line 3, device 1000000000000002, Public Key: profile: unusable eUICC public key: asn1: syntax error: data truncated
	// claim: read signed list: no maker's key verifies this signature: ask for both files as the maker made them, and have its public key put into its account
}

func ExampleReadCertificates() {
	// The maker's CA certifies the key-agreement key of each eUICC.
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	caKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ACME eUICC keys"},
		NotBefore: now, NotAfter: now.AddDate(30, 0, 0), BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, _ := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	root, _ := x509.ParseCertificate(der)
	var bundle strings.Builder
	for i, usage := range []x509.KeyUsage{x509.KeyUsageKeyAgreement, x509.KeyUsageDigitalSignature} {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		device := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{SerialNumber: fmt.Sprint(1000000000000001 + i)},
			NotBefore: now, NotAfter: now.AddDate(20, 0, 0), KeyUsage: usage,
		}
		der, _ := x509.CreateCertificate(rand.Reader, device, root, key.Public(), caKey)
		_ = pem.Encode(&bundle, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}

	list, err := claim.ReadCertificates(strings.NewReader(bundle.String()), now,
		claim.Maker{Account: "acme", Roots: []*x509.Certificate{root}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range list.Claims {
		fmt.Println(list.Maker, "made", c.Device)
	}
	for _, e := range list.Bad {
		fmt.Println("refused:", e.Device)
	}
	// Output:
	// acme made 1000000000000001
	// refused: 1000000000000002
}

func ExampleParseTrust() {
	keys, roots, err := claim.ParseTrust(`The key that signs ACME's lists:
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`)
	fmt.Printf("%d key (%T), %d roots, %v\n", len(keys), keys[0], len(roots), err)
	_, _, err = claim.ParseTrust("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n")
	fmt.Println(strings.Contains(err.Error(), "line 1: this is a private key"))
	// Output:
	// 1 key (ed25519.PublicKey), 0 roots, <nil>
	// true
}
