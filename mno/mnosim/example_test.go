package mnosim_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/profile/euicc"
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

	meter := eid.MustParse("89049032123451234512345678901235")
	registry := &es2.Client{BaseURL: orders.URL, HTTP: orders.Client(), Requester: "1.3.6.1.4.1.99999.1"}
	receipt, err := registry.Order(ctx, mno.Order{Device: meter, ProfileID: 11, ProfileType: "iot", Sealed: []byte("sealed")})
	fmt.Println("registry: ordered for", receipt.Device, err)

	own, err := operator.EUICC(meter)
	if err != nil {
		fmt.Println(err)
		return
	}
	chip, err := euicc.NewChip(euicc.ChipConfig{EID: own.EID, Certificate: own.Certificate, EUM: own.EUM, Key: own.Key, CIs: own.CIs})
	if err != nil {
		fmt.Println(err)
		return
	}
	device := es9.LPA{Card: chip, Dial: func(string) (es9.Backend, error) {
		return &es9.Client{BaseURL: devices.URL, HTTP: devices.Client()}, nil
	}}
	result, err := device.Download(ctx, es9.ActivationCode{Address: receipt.SMDPAddress, MatchingID: receipt.MatchingID}, nil)
	fmt.Printf("device: has a profile called %q %v\n", result.Metadata.ProfileName, err)
	// Output:
	// registry: ordered for 89049032123451234512345678901235 <nil>
	// registry: profile 11 of 89049032123451234512345678901235 installed: true
	// device: has a profile called "iot" <nil>
}
