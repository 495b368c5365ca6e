package iotsafe

import (
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/apdu"
)

// What callers branch on. Errors of this package wrap one of these where it
// applies; those of the transport and of contexts are wrapped as they are.
var (
	// ErrNoApplet means that the card knows none of the application identifiers
	// that were tried.
	ErrNoApplet = errors.New("iotsafe: no IoT SAFE applet under these AIDs; is it this SIM?")

	// ErrNotFound means that the card has no such object, or that it is a file
	// with nothing in it.
	ErrNotFound = errors.New("iotsafe: the card has no such object")

	// ErrChanged means that the registry has changed, or is changing, the card's
	// contents (IoT.05 status words 63CF, 6984 and 6989): read the profile again.
	ErrChanged = errors.New("iotsafe: the registry has changed the card's contents; read the profile again")

	// ErrCardRemoved means that there is no card any more. Transports wrap it.
	ErrCardRemoved = errors.New("iotsafe: the card is not there; put it back and open it again")

	// ErrCardReset means that the card has started anew and forgotten its
	// channels. Transports wrap it; a Client opens its channel again.
	ErrCardReset = errors.New("iotsafe: the card was reset")

	// ErrTruncated means that the way back from the card cut an answer short.
	// Transports wrap it; a Client then asks for less at a time.
	ErrTruncated = errors.New("iotsafe: the answer was cut short on its way")

	// ErrMalformed means that an answer or a file is not what it should be.
	ErrMalformed = errors.New("iotsafe: malformed")

	// ErrTooLarge means that a file does not end within Options.MaxFile.
	ErrTooLarge = errors.New("iotsafe: the file is too large; raise Options.MaxFile if it is right")

	// ErrRandom means that the card's random bytes are not random.
	ErrRandom = errors.New("iotsafe: the card's random bytes repeat or are zeros")

	// ErrSignature means that a signature does not belong to key and data.
	ErrSignature = errors.New("iotsafe: the signature does not match")

	// ErrArgument means that a call cannot be made as it was asked for.
	ErrArgument = errors.New("iotsafe: invalid argument")

	// ErrUntrusted means that the profile's certificates or signatures do not
	// fit together, or are not valid now.
	ErrUntrusted = errors.New("iotsafe: the profile on the card does not hold together")

	// ErrClosed means that the client was closed.
	ErrClosed = errors.New("iotsafe: the client is closed")
)

// Status words that apdu has no name for (ISO/IEC 7816-4 section 5.6).
const (
	swEndOfFile   apdu.Status = 0x6282
	swNoChannel   apdu.Status = 0x6881 // logical channels are not supported, or this one is closed
	swNotSelected apdu.Status = 0x6999 // of Java cards: there is no applet on this channel
	swWrongOffset apdu.Status = 0x6B00
)

// StatusError is a card's refusal. It is ErrNotFound or ErrChanged, for
// errors.Is, where the status word says so.
type StatusError struct {
	Command string // in the words of IoT.05, such as "READ FILE"
	Status  uint16 // the status word
}

// Error gives the command, the status word and what it means.
func (e *StatusError) Error() string {
	return fmt.Sprintf("iotsafe: %s: card answered %s", e.Command, apdu.Status(e.Status).String())
}

// Is reports whether the status word is of the kind that target stands for.
func (e *StatusError) Is(target error) bool {
	switch apdu.Status(e.Status) {
	case apdu.NotFound, apdu.ReferenceNotFound:
		return target == ErrNotFound
	case apdu.OKAdminDone, apdu.AdminInProgress, apdu.AdminDoneFailed:
		return target == ErrChanged
	case apdu.SignatureMismatch:
		return target == ErrSignature
	}
	return false
}

// status returns the status word of a card's refusal, 0 where err is none.
func status(err error) apdu.Status {
	var e *StatusError
	if !errors.As(err, &e) {
		return 0
	}
	return apdu.Status(e.Status)
}

// isStatus reports whether err is a refusal with one of these status words.
func isStatus(err error, words ...apdu.Status) bool {
	sw := status(err)
	for _, w := range words {
		if sw == w {
			return true
		}
	}
	return false
}

// malformed reports an answer or file that is not what it should be.
func malformed(command, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrMalformed, command, fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrArgument, fmt.Sprintf(format, args...))
}
