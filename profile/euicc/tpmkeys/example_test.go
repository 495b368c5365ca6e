package tpmkeys_test

import (
	"crypto/hpke"
	"errors"
	"fmt"
	"io/fs"
	"log"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
	"github.com/iotregistry/sdk/registry/eid"
)

// A device whose keys are in its TPM: they are made at the first start, the maker
// files the public one at the registry, profiles open inside the TPM, and TLS signs
// there.
func Example() {
	tpm, err := tpmkeys.OpenDevice("/dev/tpmrm0", tpmkeys.Options{})
	if err != nil {
		log.Fatal(err) // says what to do
	}
	defer tpm.Close()
	keys, err := tpm.LoadKeys("/var/lib/device/keys.pem")
	if errors.Is(err, fs.ErrNotExist) {
		keys, err = tpm.CreateKeys("/var/lib/device/keys.pem")
	}
	if err != nil {
		log.Fatal(err)
	}
	key, err := hpke.NewDHKEMPrivateKey(keys.Agreement)
	if err != nil {
		log.Fatal(err)
	}
	card, err := euicc.New(euicc.Config{ID: eid.MustParse("1000000000000001"), Key: key, Registry: "iotregistry.ca"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(profile.FormatPublicKey(card.PublicKey())) // for the maker

	if p, ok := card.Current(); ok { // without a private key: its certificate is for the TPM's
		cert, err := p.TLSCertificate(keys.Signer)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(cert.Leaf.DNSNames) // for tls.Config.Certificates
	}
}
