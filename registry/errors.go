package registry

import (
	"context"
	"encoding/json"
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
	ErrOwn         = errors.New("the device is yours already")
	ErrAuthCode    = errors.New("authorization code refused: it is wrong, expired, used or was never set; ask the owner for a new one")
	ErrLocked      = errors.New("too many wrong authorization codes: wait an hour or ask the registry operator")
	ErrForbidden   = errors.New("this account may not do that")
	ErrUnauthentic = errors.New("credential refused: it is wrong, expired or revoked")
	ErrState       = errors.New("the device's state does not allow this now")
	ErrPending     = errors.New("a transfer of the device is pending: it must end first")
	ErrNotPending  = errors.New("no transfer of the device is pending")
	ErrNoKey       = errors.New("no maker has vouched for this device's eUICC key: ask the maker to file its claim")
	ErrKeyMismatch = errors.New("the public key differs from the one the maker vouched for")
	ErrKeyTaken    = errors.New("the certificate request is for a key of another device")
	ErrUnknown     = errors.New("no such account")
	ErrNoJob       = errors.New("no such job")
	ErrInvalid     = errors.New("invalid request")
	ErrKeyReused   = errors.New("the idempotency key was used for another request: choose a new key for a new request")
	ErrRevision    = errors.New("the device has changed since that revision: read it again")
	ErrAborted     = errors.New("not done, because another row of an all-or-nothing request was refused")
	ErrCancelled   = errors.New("not done, because the job was cancelled")
	ErrUndelivered = errors.New("profile is not with the operator yet")

	// Of stores.
	ErrConflict = errors.New("record changed in the meantime: read it again and repeat")
	ErrTable    = errors.New("no such table")
	ErrReadOnly = errors.New("write in a read-only transaction")
	ErrClosed   = errors.New("store is closed")
)

// kinds gives each sentinel its word on the wire, which never changes, its EPP
// result code (RFC 5730 section 3), and whether the same request may succeed
// later. Of an error that wraps two, the first listed counts.
var kinds = []struct {
	word  string
	err   error
	epp   int
	again bool
}{
	{"aborted", ErrAborted, 2400, true},
	{"cancelled", ErrCancelled, 2400, false},
	{"no-key", ErrNoKey, 2005, false},
	{"key-mismatch", ErrKeyMismatch, 2005, false},
	{"key-taken", ErrKeyTaken, 2005, false},
	{"idempotency-key-reused", ErrKeyReused, 2005, false},
	{"invalid", ErrInvalid, 2005, false},
	{"own", ErrOwn, 2002, false},
	{"unauthentic", ErrUnauthentic, 2200, false},
	{"forbidden", ErrForbidden, 2201, false},
	{"locked", ErrLocked, 2202, true},
	{"auth-code", ErrAuthCode, 2202, false},
	{"pending", ErrPending, 2300, true},
	{"not-pending", ErrNotPending, 2301, false},
	{"exists", ErrExists, 2302, false},
	{"sponsored", ErrSponsored, 2302, false},
	{"no-job", ErrNoJob, 2303, false},
	{"unknown-account", ErrUnknown, 2303, false},
	{"state", ErrState, 2304, false},
	{"not-found", ErrNotFound, 2303, false},
	{"revision", ErrRevision, 2304, false},
	{"conflict", ErrConflict, 2400, true},
	{"undelivered", ErrUndelivered, 2400, true},
	{"closed", ErrClosed, 2400, true},
	{"deadline", context.DeadlineExceeded, 2400, true},
	{"context", context.Canceled, 2400, true},
}

// Kind returns the word that stands for err where texts travel: in job results,
// in the answer to a repeated request and over HTTP. It is "" for nil and
// "internal" for an error that has no word.
func Kind(err error) string {
	if err == nil {
		return ""
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.word
		}
	}
	return internal
}

const internal = "internal"

// Code returns the EPP result code (RFC 5730 section 3) that stands for err:
// 1000 for nil, 2400 ("command failed") for what has no better one.
func Code(err error) int {
	if err == nil {
		return 1000
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.epp
		}
	}
	return 2400
}

// Retryable reports whether the same request may succeed when it is made again.
// Errors of unknown kind are: with an idempotency key that does no harm.
func Retryable(err error) bool {
	if err == nil {
		return false
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.again
		}
	}
	return true
}

// Detail returns the text of err for callers of the registry. What its store, its
// clock or a part without a word for it has met is wrapped in texts about hosts and
// tables: those stay here, and callers get the sentinel's text. It is "" for nil.
func Detail(err error) string {
	switch kind := Kind(err); kind {
	case "":
		return ""
	case internal:
		return "the registry failed: repeat the request or ask its operator"
	case "conflict", "closed", "deadline", "context":
		return ErrorOf(kind, "").(*told).is.Error()
	}
	return err.Error()
}

// Error says which operation failed on which device. Errors.Is sees through it
// to the sentinels above, also after it has travelled as JSON.
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

type errorJSON struct {
	Op     string `json:"op"`
	Device eid.ID `json:"device,omitzero"`
	Kind   string `json:"kind"`
	Code   int    `json:"code"`
	Detail string `json:"detail"`
}

// MarshalJSON writes the operation, the device, the error's kind and EPP code,
// and its text as [Detail] has it.
func (e *Error) MarshalJSON() ([]byte, error) {
	j := errorJSON{Op: e.Op, Device: e.Device, Kind: Kind(e.Err), Code: Code(e.Err), Detail: Detail(e.Err)}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Error) UnmarshalJSON(b []byte) error {
	var j errorJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*e = Error{Op: j.Op, Device: j.Device, Err: ErrorOf(j.Kind, j.Detail)}
	return nil
}

// ErrorOf makes the error of a kind that [Kind] has named, with the text that
// came with it.
func ErrorOf(kind, text string) error {
	for _, k := range kinds {
		if k.word == kind {
			return &told{text, k.err}
		}
	}
	return &told{text: text}
}

// told is an error that another process has met.
type told struct {
	text string
	is   error
}

func (e *told) Error() string { return e.text }
func (e *told) Unwrap() error { return e.is }
