package es9_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/iotregistry/sdk/mno/es9"
)

// A device downloads the profile behind a QR code and reports that it did.
func ExampleLPA_Download() {
	modem := es9.Transport(nil) // carries APDUs to the eUICC, such as by AT+CSIM

	lpa := es9.LPA{Card: modem, Dial: func(address string) (es9.Backend, error) {
		return &es9.Client{BaseURL: "https://" + address, HTTP: http.DefaultClient}, nil
	}}
	code, err := es9.ParseActivationCode("LPA:1$smdp.example.net$MATCHING-ID")
	if err != nil {
		log.Fatal(err)
	}
	result, err := lpa.Download(context.Background(), code, func(m es9.Metadata) (string, error) {
		if m.ServiceProvider != "registry.example" {
			return "", es9.ErrRejected
		}
		return "", nil // no confirmation code
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := lpa.Enable(context.Background(), result.Metadata.ICCID, true); err != nil {
		log.Fatal(err)
	}
	if _, err := lpa.ProcessNotifications(context.Background()); err != nil {
		log.Print(err) // what was not sent is sent next time
	}
}

// An SM-DP+ with both bindings.
func ExampleNewHandler() {
	var engine es9.Backend
	mux := http.NewServeMux()
	mux.Handle("/gsma/rsp2/", es9.NewHandler(engine, nil))
}

func ExampleParseActivationCode() {
	code, err := es9.ParseActivationCode("LPA:1$smdp.example.net$MATCHING-ID$$1")
	fmt.Println(code, code.ConfirmationCode, err)
	// Output: activation code for "smdp.example.net" true <nil>
}
