package iotsafe_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// A device at boot: find the applet, read the profile, connect with the card's key.
func Example() {
	ctx, w := context.Background(), newWorld(new(testing.T), applet.CIRACard())
	card, err := iotsafe.Open(ctx, w.card, iotsafe.Options{}) // or a modem's atcsim.Client
	if err != nil {
		fmt.Println(err)
		return
	}
	defer card.Close()
	p, err := card.Profile(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Leaf().Subject.CommonName, "reports to", p.Address())
	_ = p.TLSConfig() // for tls.Dial
	fmt.Println(card.Quirks())
	// Output:
	// 11.1000000000000001.iotregistry.ca reports to parkoserv.ca:8883
	// AID A0000002480400, channel 1, class 01, ID 1 bytes, chunk 255, signature not seen yet, padded files
}

// The card's key is a crypto.Signer like any other.
func ExampleClient_Signer() {
	ctx, w := context.Background(), newWorld(new(testing.T), applet.StandardCard())
	card, _ := iotsafe.Open(ctx, w.card, iotsafe.Options{})
	signer, err := card.Signer(ctx, iotsafe.Container(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	digest := sha256.Sum256([]byte("parking meter 17 is full"))
	signature, err := signer.SignContext(ctx, digest[:], crypto.SHA256)
	fmt.Println(ecdsa.VerifyASN1(signer.Public().(*ecdsa.PublicKey), digest[:], signature), err)
	// Output: true <nil>
}

// On a SIM each command costs a tenth of a second: that is what counts.
func BenchmarkSign(b *testing.B) {
	for name, quirks := range map[string]applet.Quirks{"at once": applet.StandardCard(), "fetched": {Answers: applet.AnswersFetch}} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, quirks)
			c, x := w.open(b, iotsafe.Options{})
			signer, err := c.Signer(b.Context(), iotsafe.Container(1))
			if err != nil {
				b.Fatal(err)
			}
			digest := sha256.Sum256(nil)
			x.interfere(nil)
			for b.Loop() {
				if _, err := signer.Sign(nil, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(x.commands())/float64(b.N), "APDUs/op")
		})
	}
}
