// Package es9 is the place of ES9+, the interface between a device's local
// profile assistant and an SM-DP+ (GSMA SGP.22 sections 5.6 and 6.5.2.6 to 10).
//
// It holds what is settled today: [Downloader], the device side as the rest of
// the SDK sees it, and the protocol's paths. No ES9+ client or server is
// implemented yet. Until it is, package mnosim delivers sealed profiles over a
// plain HTTPS seam with a client that is a Downloader, so that a client for
// bound profile packages can take its place without a change to its users.
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
