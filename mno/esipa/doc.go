// Package esipa is ESipa, the interface between the IoT profile assistant of a
// device and an eIM (GSMA SGP.32 version 1.2, sections 5.14, 6.1 and 6.3), in its
// ASN.1 binding over HTTPS, with both ends and the assistant itself.
//
//	http.Handle(esipa.PathASN1, esipa.NewHandler(eim, nil)) // the eIM
//
//	client := &esipa.Client{BaseURL: "https://eim.example.net", HTTP: https}
//	ipa := esipa.IPA{EIM: client, LPA: &es9.LPA{Card: modem, Dial: dial}}
//	report, err := ipa.Poll(ctx) // now and then
//
// [NewHandler] and [Client] carry the functions of a [Backend] over HTTPS, and
// those of an [es9.Backend] for downloads through the eIM: [Relay] is what stands
// behind them there. [IPA] asks an eIM what there is to do, does it with the eUICC,
// and tells what came of it. What is signed passes through all of them as it came.
//
// # What is not here
//
// An eIM that calls devices (TransferEimPackage), CoAP, the compact forms of
// messages, discovery servers, download data and confirmation codes that only the
// eIM knows, rollback to the former profile, fallback and emergency profiles.
//
// The texts of SGP.32 were not at hand. Tags and codes are those of package rsp.
// That messages have no wrapper, and the HTTP headers, are from the ASN.1 module
// and public devices' programs.
package esipa
