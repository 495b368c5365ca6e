package smdp_test

import (
	"context"
	"fmt"

	"github.com/iotregistry/sdk/mno"
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
