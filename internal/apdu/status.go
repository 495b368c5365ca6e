package apdu

import "fmt"

// Status is the status word that ends a response. As an error it means that the
// command did not succeed; compare with errors.Is.
type Status uint16

// Status words with the meanings of ISO/IEC 7816-4 section 5.6 and, where they
// say "remote administration" or "signature", of GSMA IoT.05.
const (
	OK                   Status = 0x9000
	MoreData             Status = 0x6300 // IoT.05: more data follow; some cards: success
	OKAdminDone          Status = 0x63CF // done, and a remote administration session has ended
	IntegrityError       Status = 0x6400
	WrongLength          Status = 0x6700
	CommandIncompatible  Status = 0x6981
	SecurityNotSatisfied Status = 0x6982
	AdminInProgress      Status = 0x6984 // remote administration of this object is going on
	ConditionsNotMet     Status = 0x6985 // inactive, not granted, or out of order
	AdminDoneFailed      Status = 0x6989 // remote administration has ended and the command failed
	WrongData            Status = 0x6A80
	NotFound             Status = 0x6A82
	NotEnoughMemory      Status = 0x6A84
	WrongP1P2            Status = 0x6A86
	ReferenceNotFound    Status = 0x6A88
	WrongINS             Status = 0x6D00
	SignatureMismatch    Status = 0x6D01
	WrongCLA             Status = 0x6E00
	Unknown              Status = 0x6F00
)

var meanings = map[Status]string{
	OK: "done", MoreData: "more data, or a warning", OKAdminDone: "done, remote administration has ended",
	IntegrityError: "memory integrity", WrongLength: "wrong length", CommandIncompatible: "command incompatible",
	SecurityNotSatisfied: "security status not satisfied", AdminInProgress: "remote administration in progress",
	ConditionsNotMet: "conditions of use not satisfied", AdminDoneFailed: "remote administration has ended, command failed",
	WrongData: "wrong data", NotFound: "not found", NotEnoughMemory: "not enough memory", WrongP1P2: "wrong P1 P2",
	ReferenceNotFound: "referenced data not found", WrongINS: "unknown instruction", SignatureMismatch: "signature does not match",
	WrongCLA: "unknown class", Unknown: "no precise diagnosis",
}

// Success reports whether the command was carried out: 9000, 91xx (a proactive
// command is waiting) or 63CF.
func (s Status) Success() bool { return s == OK || s>>8 == 0x91 || s == OKAdminDone }

// Err returns nil on success, else s.
func (s Status) Err() error {
	if s.Success() {
		return nil
	}
	return s
}

// Error gives the status word and, where it has one, its meaning.
func (s Status) Error() string { return "apdu: card answered " + s.String() }

// String returns the status word in hexadecimal with its meaning.
func (s Status) String() string {
	text := meanings[s]
	switch s >> 8 {
	case 0x61:
		text = "more response data available"
	case 0x6C:
		text = "wrong Le"
	case 0x91:
		text = "done, proactive command waiting"
	}
	if text == "" {
		return fmt.Sprintf("%04X", uint16(s))
	}
	return fmt.Sprintf("%04X (%s)", uint16(s), text)
}
