package pcsc

import (
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/profile/iotsafe"
)

// What callers branch on.
var (
	// ErrNoDaemon means that pcscd cannot be reached.
	ErrNoDaemon = errors.New("pcsc: pcscd cannot be reached; is it installed and started, and may this user use it?")

	// ErrNoReader means that there is no reader with a card, or none of that name.
	ErrNoReader = errors.New("pcsc: no such reader with a card in it")

	// ErrProtocol means that what answers is no pcscd that this package knows.
	ErrProtocol = errors.New("pcsc: pcscd speaks another protocol")

	// ErrClosed means that the card was closed, or that the connection broke in the
	// middle of a message; open it again.
	ErrClosed = errors.New("pcsc: the connection is closed; open the card again")
)

// Result codes of PC/SC (pcsclite.h).
const (
	codeNoCard            = 0x8010000C
	codeReaderUnavailable = 0x80100017
	codeServiceStopped    = 0x8010001E
	codeUnknownReader     = 0x80100009
	codeSharing           = 0x8010000B
	codeComm              = 0x80100013
	codeUnresponsive      = 0x80100066
	codeUnpowered         = 0x80100067
	codeReset             = 0x80100068
	codeRemoved           = 0x80100069
	codeNotTransacted     = 0x80100016
	codeSecurity          = 0x8010006A
)

// Error is a result code of PC/SC. It is iotsafe.ErrCardRemoved or
// iotsafe.ErrCardReset, for errors.Is, where the code says so.
type Error struct {
	Op   string // such as "connect"
	Code uint32 // SCARD_...
}

// Error gives the code and what it means.
func (e *Error) Error() string {
	return fmt.Sprintf("pcsc: %s: %s (%08X)", e.Op, meaning(e.Code), e.Code)
}

// Is reports whether the code is of the kind that target stands for.
func (e *Error) Is(target error) bool {
	switch e.Code {
	case codeNoCard, codeReaderUnavailable, codeRemoved:
		return target == iotsafe.ErrCardRemoved
	case codeReset:
		return target == iotsafe.ErrCardReset
	case codeUnknownReader:
		return target == ErrNoReader
	}
	return false
}

func meaning(code uint32) string {
	switch code {
	case codeNoCard:
		return "there is no card in the reader"
	case codeReaderUnavailable:
		return "the reader is gone"
	case codeServiceStopped:
		return "the daemon has stopped"
	case codeUnknownReader:
		return "there is no reader of that name"
	case codeSharing:
		return "another program has the card for itself"
	case codeComm, codeNotTransacted:
		return "the reader lost the card's answer"
	case codeUnresponsive:
		return "the card does not respond; is it put in the right way round?"
	case codeUnpowered:
		return "the card has no power"
	case codeReset:
		return "another program has reset the card"
	case codeRemoved:
		return "the card was taken out"
	case codeSecurity:
		return "this user may not use the card"
	}
	return "refused"
}
