package bsp

import (
	"errors"
	"fmt"
)

// Why a bound profile package cannot be made or is refused. Every error of this
// package wraps one of its sentinels.
var (
	ErrSize      = errors.New("too long or empty")
	ErrOrder     = errors.New("a block at the wrong place: they come as 87, 88 (once or more), 87 (with new keys), 86 (once or more)")
	ErrStructure = errors.New("not built as a bound profile package")
	ErrMAC       = errors.New("the MAC does not fit: the block was changed, is out of place or is for another session")
	ErrPadding   = errors.New("the padding does not fit")
	ErrSession   = errors.New("made for another session")
	ErrAborted   = errors.New("aborted by the caller")
	ErrClosed    = errors.New("the session is over, start another one")
)

// Command is the command of a bound profile package that failed, with the
// numbers of SGP.22's bppCommandId (section 2.5.6).
type Command int

// The commands. StoreMetadata2 is never reported here: all metadata is one
// command.
const (
	InitialiseSecureChannel Command = iota
	ConfigureISDP
	StoreMetadata
	StoreMetadata2
	ReplaceSessionKeys
	LoadProfileElements
)

// String returns the command's name.
func (c Command) String() string {
	switch c {
	case InitialiseSecureChannel:
		return "InitialiseSecureChannel"
	case ConfigureISDP:
		return "ConfigureISDP"
	case StoreMetadata, StoreMetadata2:
		return "StoreMetadata"
	case ReplaceSessionKeys:
		return "ReplaceSessionKeys"
	case LoadProfileElements:
		return "LoadProfileElements"
	}
	return fmt.Sprintf("Command(%d)", int(c))
}

// Reason is why a command failed, with the numbers of SGP.22's errorReason
// (section 2.5.6).
type Reason int

// The reasons. This package gives the first eight and the memory one; the
// others are for the caller's [Reader.Abort].
const (
	IncorrectInput      Reason = 1
	InvalidSignature    Reason = 2
	InvalidTransaction  Reason = 3
	UnsupportedCRT      Reason = 4
	UnsupportedRemoteOp Reason = 5
	UnsupportedClass    Reason = 6
	StructureError      Reason = 7 // scp03tStructureError
	SecurityError       Reason = 8 // scp03tSecurityError
	ICCIDExists         Reason = 9
	InsufficientMemory  Reason = 10
	Interrupted         Reason = 11
	ElementError        Reason = 12
	DataMismatch        Reason = 13
	InvalidNAAKey       Reason = 14
	PolicyNotAllowed    Reason = 15
	UndefinedError      Reason = 127
)

// Error is why an eUICC refuses a bound profile package: what its
// ProfileInstallationResult must say, and the sentinel that it wraps.
type Error struct {
	Command Command
	Reason  Reason
	Err     error
}

// Error names the command, the reason's number and what was wrong.
func (e *Error) Error() string {
	return fmt.Sprintf("bsp: %v failed with reason %d: %v", e.Command, int(e.Reason), e.Err)
}

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Err }
