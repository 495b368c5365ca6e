package dane

import (
	"errors"
	"fmt"
)

// Kind classifies why a verification failed. The zero value is Indeterminate,
// so that an unset Kind never reads as a proof of anything.
type Kind int

// The kinds of failure. Only Absent is a proof that no record exists; Bogus,
// Insecure and Indeterminate say nothing about the certificate either way.
const (
	Indeterminate Kind = iota // no verdict: time-out, SERVFAIL, no usable upstream, too many look-ups
	Bogus                     // the DNS answer fails DNSSEC validation (RFC 4033 section 5)
	Insecure                  // the zone is provably unsigned, so its records prove nothing
	Absent                    // validated denial: no such record; withdrawn, revoked or never published
	NoMatch                   // validated records exist and none matches the certificate
	Unusable                  // validated records exist and none is of a form that can be used
	Expired                   // a record matches, but a certificate is outside its validity dates
	WrongName                 // a record matches, but the certificate is not for this name
	NotAllowed                // the name is not below an allowed zone, or there is no name; nothing was looked up
	Invalid                   // an argument is malformed; nothing was looked up
)

var kindTexts = [...]string{
	Indeterminate: "no verdict",
	Bogus:         "bogus DNS answer",
	Insecure:      "insecure DNS answer",
	Absent:        "provably no record",
	NoMatch:       "no record matches the certificate",
	Unusable:      "no usable record",
	Expired:       "certificate not valid at this time",
	WrongName:     "certificate is for another name",
	NotAllowed:    "name not allowed",
	Invalid:       "invalid argument",
}

// String returns a short text for the kind.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindTexts) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindTexts[k]
}

// Error is every failure that this package reports. Branch on it with
// errors.Is and one of the sentinels (ErrAbsent, ErrNoMatch, ...), or look at
// Kind with errors.As.
type Error struct {
	Kind Kind
	Name string // owner name or argument concerned; may be empty
	Err  error  // cause, e.g. the typed reason of package dnssec; may be nil
}

// Error returns a text that starts with the package name.
func (e *Error) Error() string {
	s := "dane: "
	if e.Name != "" {
		s += e.Name + ": "
	}
	s += e.Kind.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrAbsent) true for every Error of that kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Name == "" && t.Err == nil
}

// One sentinel for each Kind, for errors.Is.
var (
	ErrIndeterminate error = &Error{Kind: Indeterminate}
	ErrBogus         error = &Error{Kind: Bogus}
	ErrInsecure      error = &Error{Kind: Insecure}
	ErrAbsent        error = &Error{Kind: Absent}
	ErrNoMatch       error = &Error{Kind: NoMatch}
	ErrUnusable      error = &Error{Kind: Unusable}
	ErrExpired       error = &Error{Kind: Expired}
	ErrWrongName     error = &Error{Kind: WrongName}
	ErrNotAllowed    error = &Error{Kind: NotAllowed}
	ErrInvalid       error = &Error{Kind: Invalid}
)

func fail(k Kind, name, format string, args ...any) *Error {
	return &Error{Kind: k, Name: name, Err: fmt.Errorf(format, args...)}
}

// named returns err with the owner name filled in where it has none, so that
// an error from the pure functions says which record it is about.
func named(err error, name string) error {
	var e *Error
	if errors.As(err, &e) && e.Name == "" {
		c := *e
		c.Name = name
		return &c
	}
	return err
}
