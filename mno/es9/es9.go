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
//
// [Downloader] is the device side as the rest of the SDK sees it, whatever brings
// the profiles.
package es9

import "context"

// Downloader fetches IoT profiles for one device and reports what became of
// them. Implementations are safe for concurrent use.
type Downloader interface {
	// Fetch returns the newest sealed IoT profile that waits for the device and
	// its profile ID, which is above after (0 for any). The error of an
	// implementation for "nothing waits" is documented there. Fetching again
	// before Installed gives the same or a newer profile.
	Fetch(ctx context.Context, after uint64) (sealed []byte, profileID uint64, err error)

	// Installed reports that the profile was installed, or, with a failure, that
	// it could not be and should not be delivered again. Repeat it until it
	// returns nil: only then the operator has the news.
	Installed(ctx context.Context, profileID uint64, failure error) error
}

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
