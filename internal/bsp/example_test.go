package bsp_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"github.com/iotregistry/sdk/internal/bsp"
)

// An SM-DP+ binds a profile to an eUICC's one-time key, and the eUICC opens it
// command by command.
func Example() {
	eid, _ := bsp.ParseEID("89049032123451234512345678901235")
	transaction := []byte{1, 2, 3, 4}
	dpPb, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	oneTime, _ := ecdh.P256().GenerateKey(rand.Reader) // the eUICC's

	pkg, err := bsp.Bind(bsp.Binding{
		TransactionID: transaction, HostID: []byte("smdp"), EID: eid,
		EUICCKey: oneTime.PublicKey().Bytes(), Signer: dpPb,
		Metadata: []byte{0xBF, 0x25, 0x00},
	}, []byte("the profile's elements"))
	if err != nil {
		fmt.Println(err)
		return
	}

	reader, err := bsp.NewReader(bsp.Session{
		TransactionID: transaction, EID: eid, Key: oneTime,
		Verify: func(signed, signature []byte) error { return bsp.Verify(dpPb.Public(), signed, signature) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	commands, err := bsp.Segments(pkg)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, command := range commands {
		done, err := reader.Feed(command)
		fmt.Println(done, err)
	}
	fmt.Printf("%s\n", reader.Profile())
	// Output:
	// false <nil>
	// false <nil>
	// false <nil>
	// false <nil>
	// false <nil>
	// true <nil>
	// the profile's elements
}
