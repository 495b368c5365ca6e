// Package rsp holds the messages of GSMA remote SIM provisioning: module
// RSPDefinitions of SGP.22 version 2.5, those of SGP.32 version 1.2 between eIM,
// device and eUICC, and the frame of TCA profile packages. It knows bytes
// and codes; sessions, orders and keys belong to its callers, certificates to
// [github.com/iotregistry/sdk/internal/rsp/cert].
//
//	r, err := rsp.Decode[rsp.AuthenticateServerResponse](b)
//	text, err := r.OK.Signed1.SignedText()
//
// Decoding is strict DER: shortest lengths, members in their order, named bits
// without trailing zeros. Members that a later version has added at the end are
// skipped and kept in Extra, so that what decodes encodes to the same bytes.
// Raw is what was received, and what signatures are checked over.
//
// Members marked [M] are from memory of the GSMA texts, or from one public
// schema only, and wait for a check against them. The tags of SGP.32 were checked
// against two public copies of its ASN.1 module, versions 1.0 and 1.2, and what is
// marked [S] against at least two public implementations that agree; neither was
// checked against the GSMA text. The compact forms of SGP.32 are refused.
package rsp

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// ErrFormat means that bytes are not the message asked for, or that a message
// cannot be written because a member is missing or out of its range. Errors of
// this package wrap it.
var ErrFormat = errors.New("malformed")

// Limits of a whole message in bytes, both read and written.
const (
	MaxMessage = 64 << 10 // all but the following
	MaxPackage = 2 << 20  // what holds profile packages or lists
)

// Received is what every message and every signed part of one remembers of the
// bytes it came from. Whoever changes a decoded value sets Raw to nil.
type Received struct {
	Raw   []byte // tag, length and content as received; nil where made here
	Extra []byte // members after the known ones, one TLV after the other
}

func (r *Received) received() *Received { return r }

// node is a constructed object with members.
type node interface {
	layout(c *coder)
	received() *Received
}

// Message is one of this package's types that travels alone under its own tag.
type Message interface {
	node
	tag() bertlv.Tag
}

// Decode reads b, the whole of it, as one message of type T. The result shares
// no memory with b.
func Decode[T any, P interface {
	*T
	Message
}](b []byte) (*T, error) {
	m := P(new(T))
	if len(b) > limit(m) {
		return nil, fmt.Errorf("rsp: %s: %w: %d bytes, at most %d", nameOf(m), ErrFormat, len(b), limit(m))
	}
	t, err := parseStrictly(bytes.Clone(b))
	if err != nil {
		return nil, fmt.Errorf("rsp: %s: %w", nameOf(m), err)
	}
	if t.Tag != m.tag() {
		return nil, fmt.Errorf("rsp: %s: %w: tag %v instead of %v", nameOf(m), ErrFormat, t.Tag, m.tag())
	}
	if err := decodeNode(t, m); err != nil {
		return nil, fmt.Errorf("rsp: %w", err)
	}
	return (*T)(m), nil
}

// Encode returns the DER of m, whose Raw it does not look at.
func Encode(m Message) ([]byte, error) {
	b, err := encodeNode(m.tag(), m)
	if err != nil {
		return nil, fmt.Errorf("rsp: %w", err)
	}
	if len(b) > limit(m) {
		return nil, fmt.Errorf("rsp: %s: %w: %d bytes, at most %d", nameOf(m), ErrFormat, len(b), limit(m))
	}
	return b, nil
}

func limit(m Message) int {
	if big, ok := m.(interface{ limit() int }); ok {
		return big.limit()
	}
	return MaxMessage
}
