package audit

import (
	"encoding/json"
	"fmt"
	"time"
)

// Entry says who did what to which device and when. None of it may be a secret.
type Entry struct {
	Time    time.Time         `json:"time"`
	Actor   string            `json:"actor"`             // account that asked
	Role    string            `json:"role"`              // in which role
	Op      string            `json:"op"`                // "import", "activate", "transfer", ...
	Device  string            `json:"device,omitempty"`  // canonical device ID
	Subject string            `json:"subject,omitempty"` // what else it is about: an account, a job, a transfer
	Detail  map[string]string `json:"detail,omitempty"`  // at most 256 members
	Request string            `json:"request,omitempty"` // prefix of the hash of the idempotency key, never the key
}

// Encode returns the bytes to store and to give to [Chain.Append]. The time is
// written in UTC. Errors are [ErrFormat], when the time or the operation is
// missing or Detail cannot be written unambiguously, and [ErrTooLarge].
//
// The characters <, > and & are escaped as encoding/json does by itself, so
// that an entry which somebody passes through it stays as it is.
func (e Entry) Encode() ([]byte, error) {
	if e.Time.IsZero() || e.Op == "" {
		return nil, &Error{Err: malformed("the entry needs a time and an operation")}
	}
	e.Time = e.Time.UTC()
	b, err := json.Marshal(e)
	if err != nil {
		return nil, &Error{Err: fmt.Errorf("%w: %w", ErrFormat, err)}
	}
	if _, err := checkEntry(b); err != nil {
		return nil, &Error{Err: err}
	}
	return b, nil
}

// ParseEntry reads an entry, as [Line] holds it. It refuses what the package
// comment forbids and ignores members it does not know. Errors are [ErrFormat]
// and [ErrTooLarge].
func ParseEntry(b []byte) (Entry, error) {
	if _, err := checkEntry(b); err != nil {
		return Entry{}, &Error{Err: err}
	}
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return Entry{}, &Error{Err: malformed("a member of the entry has the wrong type")}
	}
	return e, nil
}
