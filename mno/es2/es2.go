package es2

import (
	"context"
	"fmt"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// Paths of the functions, to be added to the peer's base URL (SGP.22 section
// 6.5.2).
const (
	PathDownloadOrder              = "/gsma/rsp2/es2plus/downloadOrder"
	PathConfirmOrder               = "/gsma/rsp2/es2plus/confirmOrder"
	PathCancelOrder                = "/gsma/rsp2/es2plus/cancelOrder"
	PathReleaseProfile             = "/gsma/rsp2/es2plus/releaseProfile"
	PathHandleDownloadProgressInfo = "/gsma/rsp2/es2plus/handleDownloadProgressInfo"

	// PathHandleNotification is what version 3 has in place of
	// HandleDownloadProgressInfo. Its path and members are from memory, not from
	// the GSMA text.
	PathHandleNotification = "/gsma/rsp2/es2plus/handleNotification"
)

// Version is the protocol version that both sides send in X-Admin-Protocol. Any
// gsma/rsp/v2 version is accepted, and any version 3 by [NewProgressHandler].
const Version = "gsma/rsp/v2.5.0"

// MaxBody is the largest request or response body, in bytes, that either side
// reads.
const MaxBody = 1 << 20

// Call says who calls and for which call (the request header of SGP.22 section
// 6.5.1.3).
type Call struct {
	Requester string // functionRequesterIdentifier
	ID        string // functionCallIdentifier; the same when a call is repeated after transport trouble
}

// Backend is an SM-DP+'s order book behind [NewHandler]. Refusals are
// [*mno.StatusError]; any other error is told to the caller as an execution
// error without its text. Implementations are safe for concurrent use.
type Backend interface {
	// DownloadOrder reserves a profile and returns its ICCID (SGP.22 section
	// 5.3.1). The order has been validated.
	DownloadOrder(ctx context.Context, call Call, o mno.Order) (iccid string, err error)

	// ConfirmOrder makes an ordered profile ready for download (section 5.3.2).
	ConfirmOrder(ctx context.Context, call Call, c ConfirmOrder) (mno.Receipt, error)

	// CancelOrder takes an order back (section 5.3.3).
	CancelOrder(ctx context.Context, call Call, c CancelOrder) error

	// ReleaseProfile allows the download of a confirmed profile (section 5.3.4).
	ReleaseProfile(ctx context.Context, call Call, iccid string) error
}

// ConfirmOrder are the inputs of the function of that name (SGP.22 section
// 5.3.2).
type ConfirmOrder struct {
	ICCID            string  // the profile, from DownloadOrder
	Device           eid.ID  // links the order to a device now; zero leaves it as ordered
	MatchingID       *string // nil: the SM-DP+ makes one; "": the device's EID selects
	ConfirmationCode Secret  // what the user must enter; empty for none
	SMDSAddress      string  // discovery server to register at; empty for none
	Release          bool    // ready for download at once, else after ReleaseProfile
}

// CancelOrder are the inputs of the function of that name (SGP.22 section
// 5.3.3).
type CancelOrder struct {
	ICCID      string
	Device     eid.ID    // must be the order's device where it has one
	MatchingID string    // must be the order's where given
	Final      mno.State // mno.Available to reuse the profile, mno.Unavailable to burn it
}

// Secret is a text that does not show itself when printed or encoded.
type Secret string

const redacted = "[redacted]"

// Format writes a placeholder, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// MarshalText returns a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
