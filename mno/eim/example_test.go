package eim_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// An operator has a device download a profile. The key and the root certificates
// are the operator's; here they are a test's.
func Example() {
	ctx := context.Background()
	pki, err := rsptest.New(time.Now().Add(-time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	manager, err := eim.New(eim.Config{
		ID: "eim.example", FQDN: "eim.example", Key: key, CIs: [][]byte{pki.CI.DER},
		Notify: func(_ context.Context, ev eim.Event) error {
			fmt.Println(ev.EID, ev.Job.State)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	meter := eid.MustParse(rsptest.EID)
	_, err = manager.Trigger(ctx, meter, eim.Download{DefaultSMDP: true})
	fmt.Println(err)
	if err = manager.Register(ctx, eim.EUICC{EID: meter}); err != nil {
		fmt.Println(err)
		return
	}
	_, err = manager.Trigger(ctx, meter, eim.Download{ActivationCode: "1$smdp.example$M-1", Enable: true})
	fmt.Println(err)

	var backend esipa.Backend = manager // for whatever speaks ESipa to devices
	pkg, err := backend.GetEIMPackage(ctx, esipa.Poll{EID: meter.String()})
	fmt.Printf("%X %v\n", pkg[:2], err) // its certificates come first
	status, err := manager.Status(ctx, meter)
	fmt.Println(len(status.Waiting), status.Waiting[0].State, err)
	// Output:
	// esipa: the eIM does not know this eUICC
	// <nil>
	// BF52 <nil>
	// 1 waiting <nil>
}
