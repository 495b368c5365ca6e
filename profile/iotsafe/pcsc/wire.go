package pcsc

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Commands of the daemon (pcsc-lite, winscard_msg.h).
const (
	cmdEstablish    = 0x01
	cmdRelease      = 0x02
	cmdConnect      = 0x04
	cmdReconnect    = 0x05
	cmdDisconnect   = 0x06
	cmdTransmit     = 0x09
	cmdVersion      = 0x11
	cmdReadersState = 0x12
)

// Version of the protocol that is offered first.
const (
	versionMajor = 4
	versionMinor = 4
)

// Sizes of the C structures, in bytes.
const (
	nameSize   = 128
	atrSize    = 33
	maxReaders = 16
	stateSize  = nameSize + 3*4 + 36 + 2*4 // the ATR is padded to a multiple of 4
)

// Values of PC/SC.
const (
	scopeSystem   = 2
	shareShared   = 2
	protocolT0    = 1
	protocolT1    = 2
	leaveCard     = 0
	statePresent  = 0x0004
	pciSize       = 16 // of SCARD_IO_REQUEST where C's long has 8 bytes; the daemon does not look at it
	maxResponse   = 1<<16 + 2
	maxCommandLen = 4 + 3 + 1<<16 + 3
)

type versionMsg struct {
	Major, Minor int32
	Result       uint32
}

type establishMsg struct{ Scope, Context, Result uint32 }

type releaseMsg struct{ Context, Result uint32 }

type connectMsg struct {
	Context          uint32
	Reader           [nameSize]byte
	Share, Preferred uint32
	Card             int32
	Active, Result   uint32
}

type reconnectMsg struct {
	Card             int32
	Share, Preferred uint32
	Initialization   uint32
	Active, Result   uint32
}

type disconnectMsg struct {
	Card                int32
	Disposition, Result uint32
}

type transmitMsg struct {
	Card                                       int32
	SendProtocol, SendPCI, SendLength          uint32
	ReceiveProtocol, ReceivePCI, ReceiveLength uint32
	Result                                     uint32
}

type stateMsg struct {
	Name          [nameSize]byte
	Events, State uint32
	Sharing       int32
	ATR           [36]byte
	ATRLength     uint32
	Protocol      uint32
}

// marshal writes a message of fixed size.
func marshal(v any) ([]byte, error) {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		return nil, fmt.Errorf("pcsc: %w", err)
	}
	return b, nil
}

// parseReaders reads the daemon's array of readers, of which the first unused one
// has no name.
func parseReaders(b []byte) ([]Reader, error) {
	var readers []Reader
	for ; len(b) >= stateSize && len(readers) < maxReaders; b = b[stateSize:] {
		var s stateMsg
		if _, err := binary.Decode(b[:stateSize], binary.NativeEndian, &s); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		name, _, ended := bytes.Cut(s.Name[:], []byte{0})
		if !ended || s.ATRLength > atrSize {
			if s.ATRLength != atrSize+1 { // the daemon has not looked at the card yet
				return nil, fmt.Errorf("%w: a reader's state is malformed", ErrProtocol)
			}
			s.ATRLength = 0
		}
		if len(name) == 0 {
			continue
		}
		readers = append(readers, Reader{
			Name: string(name), Present: s.State&statePresent != 0, ATR: append([]byte{}, s.ATR[:s.ATRLength]...),
		})
	}
	return readers, nil
}
