package mnosim_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/registry/eid"
)

// An operator delivers one sealed profile and tells the registry. A real one
// sits behind mutual TLS; this one lets everybody in.
func Example() {
	ctx := context.Background()
	operator, err := mnosim.New(mnosim.Config{
		ES2: &es2.Options{AllowNoClientCertificate: true},
		Notify: func(_ context.Context, p mno.Progress) error {
			fmt.Println("registry: profile", p.ProfileID, "of", p.Device, "installed:", p.Failure == nil)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders, devices := httptest.NewTLSServer(operator.Handler()), httptest.NewTLSServer(operator.DeviceHandler())
	defer orders.Close()
	defer devices.Close()

	meter, _ := eid.Parse("1000000000000001")
	registry := &es2.Client{BaseURL: orders.URL, HTTP: orders.Client(), Requester: "1.3.6.1.4.1.99999.1"}
	receipt, err := registry.Order(ctx, mno.Order{Device: meter, ProfileID: 11, ProfileType: "iot", Sealed: []byte("sealed")})
	fmt.Println("registry: ordered for", receipt.Device, err)

	device := &mnosim.Device{BaseURL: devices.URL, HTTP: devices.Client(), Device: meter}
	sealed, id, err := device.Fetch(ctx, 0)
	fmt.Printf("device: got profile %d, %q %v\n", id, sealed, err)
	fmt.Println("device: reported", device.Installed(ctx, id, nil))
	// Output:
	// registry: ordered for 1000000000000001 <nil>
	// device: got profile 11, "sealed" <nil>
	// registry: profile 11 of 1000000000000001 installed: true
	// device: reported <nil>
}
