package esipa

import (
	"context"
	"errors"
)

// Errors of a [Backend] that devices are told as they are; any other is told as an
// undefined error and stays inside.
var (
	ErrNoPackage  = errors.New("esipa: the eIM has nothing for the device to do")
	ErrUnknownEID = errors.New("esipa: the eIM does not know this eUICC")
	ErrInvalidEID = errors.New("esipa: this is no EID that the eIM serves")
)

// Poll is a device's question what there is to do (ESipa.GetEimPackage, SGP.32
// section 6.3.2.6).
type Poll struct {
	EID          string // 32 digits
	StateChanged bool   // the eIM is to read the eUICC's state again
	Cause        *int   // of the change (stateChangeCause); nil: not told
}

// Result is what came of a package (ESipa.ProvideEimPackageResult, SGP.32 section
// 6.3.2.7).
type Result struct {
	EID    string // 32 digits; empty where the device does not tell
	Object []byte // EimPackageResult: BF51, BF52, BF54, 30 or A0, as it was sent
}

// Backend is an eIM behind ESipa. Packages and results are whole DER objects,
// exactly as they were sent or are to be sent: signatures run over those bytes.
// Implementations are safe for concurrent use.
type Backend interface {
	// GetEIMPackage returns what there is for a device to do next: an
	// EuiccPackageRequest (BF51), an IpaEuiccDataRequest (BF52) or a
	// ProfileDownloadTriggerRequest (BF54). The same comes again until its result
	// is provided. It is ErrNoPackage when nothing waits.
	GetEIMPackage(ctx context.Context, p Poll) ([]byte, error)

	// ProvideEIMPackageResult takes what came of a package, also more than once,
	// and returns the sequence numbers of results and notifications that the eUICC
	// may forget.
	ProvideEIMPackageResult(ctx context.Context, r Result) (acknowledged []int64, err error)
}
