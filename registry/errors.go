package registry

import (
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/registry/eid"
)

// What callers branch on. Every error of this package wraps one of these, or
// is the context's or the store's own.
var (
	ErrNotFound    = errors.New("no such device in the registry")
	ErrExists      = errors.New("device is already registered with you")
	ErrSponsored   = errors.New("device is registered with another provider: ask its owner for an authorization code and request a transfer")
	ErrAuthCode    = errors.New("authorization code refused: it is wrong, expired, used or was never set; ask the owner for a new one")
	ErrLocked      = errors.New("too many wrong authorization codes: wait an hour or ask the registry operator")
	ErrForbidden   = errors.New("this account may not do that")
	ErrState       = errors.New("the device's state does not allow this now")
	ErrNoKey       = errors.New("no maker has vouched for this device's eUICC key: ask the maker to file its claim")
	ErrKeyMismatch = errors.New("the public key differs from the one the maker vouched for")
	ErrUnknown     = errors.New("no such account")
	ErrInvalid     = errors.New("invalid request")
	ErrAborted     = errors.New("not done, because another row of an all-or-nothing request was refused")
	ErrUndelivered = errors.New("profile is not with the operator yet")

	// Of stores.
	ErrConflict = errors.New("record changed in the meantime: read it again and repeat")
	ErrTable    = errors.New("no such table")
	ErrReadOnly = errors.New("write in a read-only transaction")
	ErrClosed   = errors.New("store is closed")
)

// Error says which operation failed on which device. Errors.Is sees through it
// to the sentinels above.
type Error struct {
	Op     string // "import", "activate", "transfer", ...
	Device eid.ID // zero when the call as a whole failed
	Err    error
}

// Error names the operation, the device and the cause.
func (e *Error) Error() string {
	if e.Device.IsZero() {
		return fmt.Sprintf("registry: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("registry: %s %s: %v", e.Op, e.Device, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Code returns the EPP result code (RFC 5730 section 3) that stands for err:
// 1000 for nil, 2400 ("command failed") for what has no better one.
func Code(err error) int {
	switch {
	case err == nil:
		return 1000
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrNoKey), errors.Is(err, ErrKeyMismatch):
		return 2005
	case errors.Is(err, ErrForbidden):
		return 2201
	case errors.Is(err, ErrAuthCode), errors.Is(err, ErrLocked):
		return 2202
	case errors.Is(err, ErrExists), errors.Is(err, ErrSponsored):
		return 2302
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnknown):
		return 2303
	case errors.Is(err, ErrState):
		return 2304
	default:
		return 2400
	}
}
