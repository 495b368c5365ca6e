package esipa_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

// An eIM that also stands before two SM-DP+s.
func ExampleNewHandler() {
	var eim esipa.Backend // the engine
	relay := &esipa.Relay{Dial: func(address string) (es9.Backend, error) {
		switch address {
		case "smdp.example.net", "smdp.example.org":
			return &es9.Client{BaseURL: "https://" + address, HTTP: http.DefaultClient}, nil
		}
		return nil, fmt.Errorf("%q is no SM-DP+ of ours", address)
	}}
	mux := http.NewServeMux()
	mux.Handle(esipa.PathASN1, esipa.NewHandler(eim, &esipa.Options{Relay: relay}))
}

// A device without a user asks its eIM now and then what there is to do.
func ExampleIPA_Poll() {
	modem := es9.Transport(nil) // carries APDUs to the eUICC, such as by AT+CSIM

	client := &esipa.Client{BaseURL: "https://eim.example.net", HTTP: http.DefaultClient}
	ipa := esipa.IPA{
		LPA: &es9.LPA{Card: modem}, EIM: client,
		Indirect: client, // the device reaches the eIM only
	}
	report, err := ipa.Poll(context.Background())
	fmt.Println(report)
	if err != nil {
		log.Print(err) // the next Poll goes on where this one stopped
	}
}

func ExampleReport() {
	fmt.Println(esipa.Report{Notified: 2, Packages: []esipa.Done{
		{Kind: esipa.KindDownload, ICCID: "8944476500001224158", Installed: true, Told: true},
		{Kind: esipa.KindOperations, Told: true, Operations: []esipa.Operation{
			{Name: "enable", Subject: "8944476500001224158", Result: "ok", OK: true},
		}},
	}})
	// Output:
	// download of 8944476500001224158: installed
	// operations: enable 8944476500001224158: ok
	// 2 notifications delivered
}
