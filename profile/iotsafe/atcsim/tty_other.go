//go:build !linux

package atcsim

import "os"

// OpenSerial opens a serial port on Linux. Here it returns ErrUnsupported.
func OpenSerial(path string, baud int) (*os.File, error) { return nil, ErrUnsupported }

// OpenPTY opens a pseudo-terminal on Linux. Here it returns ErrUnsupported.
func OpenPTY() (*PTY, error) { return nil, ErrUnsupported }
