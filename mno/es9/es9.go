// Package es9 is ES9+, the interface between a device's local profile assistant
// and an SM-DP+ (GSMA SGP.22 version 2.5, sections 5.6, 6.5.2.6 to 10 and 6.6),
// with both ends and the assistant itself.
//
//	http.Handle("/gsma/rsp2/", es9.NewHandler(engine, nil)) // the SM-DP+
//
//	lpa := es9.LPA{Card: modem, Dial: func(address string) (es9.Backend, error) {
//		return &es9.Client{BaseURL: "https://" + address, HTTP: client}, nil
//	}}
//	code, err := es9.ParseActivationCode("LPA:1$smdp.example.net$MATCHING-ID")
//	result, err := lpa.Download(ctx, code, nil)
//
// [NewHandler] and [Client] carry the functions of a [Backend] over HTTPS, in
// JSON or ASN.1. [LPA] leads an eUICC through a download and reports what became
// of it. What is signed passes through all of them as it came.
package es9

// Paths of the ES9+ functions in the JSON binding (SGP.22 section 6.5.2) and of
// the ASN.1 binding (section 6.6), to be added to the SM-DP+'s base URL.
const (
	PathInitiateAuthentication = "/gsma/rsp2/es9plus/initiateAuthentication"
	PathAuthenticateClient     = "/gsma/rsp2/es9plus/authenticateClient"
	PathGetBoundProfilePackage = "/gsma/rsp2/es9plus/getBoundProfilePackage"
	PathCancelSession          = "/gsma/rsp2/es9plus/cancelSession"
	PathHandleNotification     = "/gsma/rsp2/es9plus/handleNotification"
	PathASN1                   = "/gsma/rsp2/asn1"
)

// Media types of the two bindings.
const (
	TypeJSON = "application/json"
	TypeASN1 = "application/x-gsma-rsp-asn1"
)
