package mno

import (
	"errors"
	"strings"
)

// Subject and reason codes of SGP.22 sections 5.2.6.1 and 5.2.6.2, as far as
// this SDK gives them out. Codes are texts, never numbers: 3.1 is not 3.10.
const (
	SubjectRequester     = "1.1"   // who called
	SubjectVersion       = "1.3.2" // protocol version
	SubjectFunction      = "1.6"   // the call itself
	SubjectEID           = "8.1.1"
	SubjectProfile       = "8.2"
	SubjectICCID         = "8.2.1"
	SubjectProfileType   = "8.2.5"
	SubjectMatchingID    = "8.2.6"
	SubjectBPP           = "8.2.10" // bound profile package
	SubjectSMDP          = "8.8"
	SubjectDownloadOrder = "8.8.5"
	SubjectSMDS          = "8.9"

	ReasonNotAllowed         = "1.2"
	ReasonInvalid            = "2.1"
	ReasonMissing            = "2.2"
	ReasonConditionMissing   = "2.3"
	ReasonUnsupported        = "3.1"
	ReasonInUse              = "3.3"
	ReasonInvalidTransition  = "3.5"
	ReasonUnavailable        = "3.7"
	ReasonRefused            = "3.8"
	ReasonUnknown            = "3.9"
	ReasonInvalidAssociation = "3.10"
	ReasonExecution          = "4.2"
	ReasonExpired            = "4.10"
	ReasonInaccessible       = "5.1"
)

// The errors that callers branch on, by errors.Is, which compares subject and
// reason only and therefore also holds after a trip over ES2+. The last two are
// this SDK's own use of the dictionary, for orders that carry a sealed profile.
var (
	ErrNotAllowed            error = &StatusError{Subject: SubjectICCID, Reason: ReasonNotAllowed}              // not this requester's profile
	ErrUnknownICCID          error = &StatusError{Subject: SubjectICCID, Reason: ReasonUnknown}                 // no such profile
	ErrICCIDNotAvailable     error = &StatusError{Subject: SubjectICCID, Reason: ReasonInUse}                   // ordered otherwise, or downloaded
	ErrInvalidTransition     error = &StatusError{Subject: SubjectICCID, Reason: ReasonInvalidTransition}       // release before confirm
	ErrOtherDevice           error = &StatusError{Subject: SubjectICCID, Reason: ReasonInvalidAssociation}      // cancel with another device, or none
	ErrProfileTypeNotAllowed error = &StatusError{Subject: SubjectProfileType, Reason: ReasonNotAllowed}        // type of another requester
	ErrUnknownProfileType    error = &StatusError{Subject: SubjectProfileType, Reason: ReasonUnknown}           // no such type
	ErrNoneLeft              error = &StatusError{Subject: SubjectProfileType, Reason: ReasonUnavailable}       // stock exhausted
	ErrProfileTypeMismatch   error = &StatusError{Subject: SubjectProfileType, Reason: ReasonRefused}           // ICCID is of another type
	ErrMatchingIDInUse       error = &StatusError{Subject: SubjectMatchingID, Reason: ReasonInUse}              // taken by another order
	ErrOtherMatchingID       error = &StatusError{Subject: SubjectMatchingID, Reason: ReasonInvalidAssociation} // cancel with another matching ID
	ErrEIDMissing            error = &StatusError{Subject: SubjectEID, Reason: ReasonMissing}                   // needed for this confirmation
	ErrEIDLinked             error = &StatusError{Subject: SubjectEID, Reason: ReasonInvalidAssociation}        // linked to another device
	ErrSMDSInaccessible      error = &StatusError{Subject: SubjectSMDS, Reason: ReasonInaccessible}             // discovery server unreachable
	ErrSMDSFailed            error = &StatusError{Subject: SubjectSMDS, Reason: ReasonExecution}                // discovery server refused
	ErrOrderConflict         error = &StatusError{Subject: SubjectDownloadOrder, Reason: ReasonInUse}           // same device and profile ID, other content
	ErrOrderClosed           error = &StatusError{Subject: SubjectDownloadOrder, Reason: ReasonRefused}         // cancelled, superseded or failed
)

// StatusError is a refusal in the words of SGP.22 section 5.2.6: which subject,
// for which reason. It travels over ES2+ and ES9+ unchanged.
type StatusError struct {
	Subject    string // subject code, such as "8.2.1"
	Reason     string // reason code, such as "3.9"
	Identifier string // which one, such as the ICCID; may be empty
	Message    string // for a person: what to do; may be empty
}

// Error gives the codes with their meaning, then identifier and message.
func (e *StatusError) Error() string {
	var b strings.Builder
	b.WriteString("mno: " + named(subjects, e.Subject) + ": " + named(reasons, e.Reason))
	if e.Identifier != "" {
		b.WriteString(" [" + e.Identifier + "]")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Is reports whether target is a StatusError with the same subject and reason,
// or with the same subject and no reason.
func (e *StatusError) Is(target error) bool {
	t, ok := target.(*StatusError)
	return ok && t != nil && t.Subject == e.Subject && (t.Reason == e.Reason || t.Reason == "")
}

// Retryable reports whether the same call may succeed later with nothing
// changed by the caller: something was out of reach, failed inside, or the call
// expired before it ran.
func (e *StatusError) Retryable() bool {
	switch e.Reason {
	case ReasonInaccessible:
		return true
	case ReasonExecution:
		return e.Subject == SubjectSMDP || e.Subject == SubjectSMDS || e.Subject == SubjectFunction
	case ReasonExpired:
		return e.Subject == SubjectFunction
	}
	return false
}

// With returns a copy of the StatusError in err's chain with identifier and
// message set, so that a sentinel can say which one and what to do. Any other
// error is returned as it is.
func With(err error, identifier, message string) error {
	var se *StatusError
	if !errors.As(err, &se) {
		return err
	}
	return &StatusError{Subject: se.Subject, Reason: se.Reason, Identifier: identifier, Message: message}
}

// Retryable reports whether an error of an [Operator] is worth repeating the
// call for: a [*StatusError] that says so, or trouble on the way to the
// operator. The end of the caller's own context is not.
func Retryable(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}

func named(table map[string]string, code string) string {
	if name, ok := table[code]; ok {
		return name + " (" + code + ")"
	}
	return "(" + clip(code, 16) + ")"
}
