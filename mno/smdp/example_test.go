package smdp_test

import (
	"context"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// Orders and deliveries in one process.
func ExampleEngine() {
	ctx := context.Background()
	book, err := smdp.New(smdp.Config{Address: "smdp.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	meter, _ := eid.Parse("1000000000000001")
	receipt, err := book.Operator("registry").Order(ctx, mno.Order{
		Device: meter, ProfileID: 11, ProfileType: "iot", Sealed: []byte("sealed"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	got, err := book.Deliver(ctx, meter, 0)
	fmt.Println(got.ProfileID, got.State, err)
	err = book.Finish(ctx, meter, got.ProfileID, nil)
	p, _ := book.Profile(ctx, receipt.ICCID)
	fmt.Println(p.State, err)
	// Output:
	// 11 Downloaded <nil>
	// Installed <nil>
}

// The same orders towards devices. Certificates and keys are the operator's; here
// they are a test's.
func ExampleNewServer() {
	pki, err := rsptest.New(time.Now().Add(-time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	book, _ := smdp.New(smdp.Config{Address: "smdp.example"})
	server, err := smdp.NewServer(book, smdp.ServerConfig{
		Auth:    smdp.Credential{Certificate: pki.DPAuth.DER, Key: pki.DPAuth.Key},
		Binding: smdp.Credential{Certificate: pki.DPPB.DER, Key: pki.DPPB.Key},
		CIs:     [][]byte{pki.CI.DER},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var backend es9.Backend = server // for whatever speaks ES9+ to devices
	_, err = backend.InitiateAuthentication(context.Background(), es9.InitiateAuthentication{SMDPAddress: "other.example"})
	fmt.Println(err)
	// Output:
	// mno: SM-DP+ address (8.8.1): refused (3.8): this is another SM-DP+
}
