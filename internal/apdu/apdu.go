// Package apdu holds the command and response units of smart cards (ISO/IEC
// 7816-4 section 5) and the one call that carries them: [Send] over a
// [Transport], which fetches long answers (61xx) and repeats with the right
// length (6Cxx).
//
// It keeps no state between calls: logical channels and the splitting of long
// commands belong to the protocols above.
package apdu

import (
	"context"
	"errors"
	"fmt"
)

// Limits of ISO/IEC 7816-4, in bytes.
const (
	MaxData = 65535 // command data in extended length
	MaxLe   = 65536 // response data asked for in extended length
	maxWire = 4 + 3 + MaxData + 2
)

// ErrFormat means that bytes are no command or response, or that a [Command]
// cannot be written. Errors of this package wrap it.
var ErrFormat = errors.New("malformed")

// Transport carries one command to a card and its response back, status word
// included. Implementations: a modem's AT+CSIM, a card reader, a simulator.
type Transport interface {
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
}

// Command is a command APDU. The zero Le asks for no response data.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte // at most MaxData bytes
	Le               int    // response bytes wanted at most: 0 none, 256 any number in short form, MaxLe in extended form
	Extended         bool   // extended lengths even where short ones would do
}

// Marshal returns the command's bytes, with short lengths where they fit.
func (c Command) Marshal() ([]byte, error) {
	if len(c.Data) > MaxData || c.Le < 0 || c.Le > MaxLe {
		return nil, fmt.Errorf("apdu: %w: %d bytes of data, Le %d", ErrFormat, len(c.Data), c.Le)
	}
	b := append(make([]byte, 0, 4+3+len(c.Data)+3), c.CLA, c.INS, c.P1, c.P2)
	if c.extended() {
		if len(c.Data) > 0 || c.Le > 0 {
			b = append(b, 0)
		}
		if len(c.Data) > 0 {
			b = append(b, byte(len(c.Data)>>8), byte(len(c.Data)))
			b = append(b, c.Data...)
		}
		if c.Le > 0 {
			b = append(b, byte(c.Le>>8), byte(c.Le))
		}
		return b, nil
	}
	if len(c.Data) > 0 {
		b = append(b, byte(len(c.Data)))
		b = append(b, c.Data...)
	}
	if c.Le > 0 {
		b = append(b, byte(c.Le))
	}
	return b, nil
}

func (c Command) extended() bool { return c.Extended || len(c.Data) > 255 || c.Le > 256 }

// ParseCommand reads a command APDU in any of the forms of ISO/IEC 7816-4
// section 5.1. Data shares b's memory.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < 4 || len(b) > maxWire {
		return Command{}, fmt.Errorf("apdu: %w: command of %d bytes", ErrFormat, len(b))
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	rest := b[4:]
	if len(rest) == 0 {
		return c, nil
	}
	if len(rest) == 1 {
		c.Le = le(rest, 256)
		return c, nil
	}
	lc, width, most := int(rest[0]), 1, 256
	if lc == 0 {
		if len(rest) < 3 {
			return Command{}, fmt.Errorf("apdu: %w: extended length cut short", ErrFormat)
		}
		c.Extended = true
		lc, width, most, rest = int(rest[1])<<8|int(rest[2]), 2, MaxLe, rest[1:]
		if len(rest) == 2 {
			c.Le = le(rest, most)
			return c, nil
		}
	}
	switch rest = rest[width:]; {
	case lc == 0 || len(rest) != lc && len(rest) != lc+width:
		return Command{}, fmt.Errorf("apdu: %w: Lc is %d, %d bytes follow", ErrFormat, lc, len(rest))
	case len(rest) > lc:
		c.Le = le(rest[lc:], most)
	}
	c.Data = rest[:lc:lc]
	return c, nil
}

// le reads a length field where all zeros stand for the most.
func le(b []byte, most int) int {
	n := 0
	for _, c := range b {
		n = n<<8 | int(c)
	}
	if n == 0 {
		return most
	}
	return n
}

// Response is a response APDU.
type Response struct {
	Data []byte
	SW   Status
}

// Marshal returns the response's bytes.
func (r Response) Marshal() []byte {
	b := append(make([]byte, 0, len(r.Data)+2), r.Data...)
	return append(b, byte(r.SW>>8), byte(r.SW))
}

// ParseResponse reads a response APDU. Data shares b's memory.
func ParseResponse(b []byte) (Response, error) {
	n := len(b) - 2
	if n < 0 || n > MaxLe {
		return Response{}, fmt.Errorf("apdu: %w: response of %d bytes", ErrFormat, len(b))
	}
	return Response{Data: b[:n:n], SW: Status(b[n])<<8 | Status(b[n+1])}, nil
}
