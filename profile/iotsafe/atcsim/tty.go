package atcsim

import (
	"errors"
	"os"
)

// ErrUnsupported means that this system has no terminals that this package knows.
// NewClient and Serve work everywhere, over what another package has opened.
var ErrUnsupported = errors.New("atcsim: serial ports and pseudo-terminals are opened on Linux only; open the port otherwise and give it to NewClient")

// PTY is the modem's side of a pseudo-terminal: what is written to it can be read
// from the device at Path.
type PTY struct {
	*os.File        // the modem's side, for Serve
	Path     string // of the client's side, for OpenSerial and other programs
	peer     *os.File
}

// Close ends both sides.
func (p *PTY) Close() error { return errors.Join(p.peer.Close(), p.File.Close()) }
