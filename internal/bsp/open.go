package bsp

import (
	"bytes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// Opener is the eUICC's side of a [Sealer]. The first block that it refuses ends
// the session: keys are forgotten and each further call gives the same error.
// Make one with [NewOpener]. It is for one goroutine.
type Opener struct {
	hidden
	chain
	plain  [MaxAccepted]byte // a block is looked at here before anybody gets it
	failed *Error
}

// NewOpener starts a session. The Opener keeps what it needs: the caller may
// clear its keys at once.
func NewOpener(k Keys) *Opener {
	o := &Opener{}
	o.setKeys(k)
	return o
}

// Open checks the next block, which must be one object with a shortest length
// of at most [MaxAccepted] bytes, and appends what it carries to dst. Keys that
// replace the session's are put in place and not shown: nothing is appended.
// Errors are *[Error]: [StructureError] where the block is malformed or at the
// wrong place, [SecurityError] where its MAC or padding does not fit.
func (o *Opener) Open(dst, block []byte) ([]byte, error) {
	if o.failed != nil {
		return dst, o.failed
	}
	data, command, err := o.open(block)
	if err == nil && command == ReplaceSessionKeys {
		err = o.replaceKeys(data)
		data = nil
	}
	dst = append(dst, data...)
	clear(o.plain[:min(len(block), len(o.plain))])
	if err != nil {
		return dst, err
	}
	return dst, nil
}

// open returns what the block carries, in o.plain or in the block itself.
func (o *Opener) open(block []byte) ([]byte, Command, *Error) {
	tlv, after, command, err := o.parse(block)
	if err != nil {
		return nil, command, o.fail(command, StructureError, err)
	}
	o.begin()
	signed := len(tlv.Raw) - macSize
	body := tlv.Value[:len(tlv.Value)-macSize]
	if subtle.ConstantTimeCompare(o.authenticate(tlv.Raw[:signed]), tlv.Raw[signed:]) != 1 {
		return nil, command, o.fail(command, SecurityError, ErrMAC)
	}
	o.stage = after
	if tlv.Tag == TagMetadata {
		return body, command, nil
	}
	plain := o.plain[:len(body)]
	cipher.NewCBCDecrypter(o.enc, o.icv[:]).CryptBlocks(plain, body)
	if plain = unpad(plain); len(plain) == 0 {
		return nil, command, o.fail(command, SecurityError, ErrPadding)
	}
	return plain, command, nil
}

// parse checks all of a block that needs no key.
func (o *Opener) parse(block []byte) (bertlv.TLV, stage, Command, error) {
	var tag bertlv.Tag
	if len(block) > 0 {
		tag = bertlv.Tag(block[0])
	}
	after, command, ok := o.stage.next(tag)
	if !ok {
		return bertlv.TLV{}, after, command, ErrOrder
	}
	if o.enc == nil { // the zero Opener
		return bertlv.TLV{}, after, command, ErrClosed
	}
	tlv, rest, err := bertlv.Read(block)
	switch n := len(tlv.Value) - macSize; {
	case err != nil:
		return tlv, after, command, fmt.Errorf("%w: %w", ErrStructure, err)
	case len(rest) > 0:
		return tlv, after, command, fmt.Errorf("%w: bytes follow a block", ErrStructure)
	case len(block) > MaxAccepted || n < 1:
		return tlv, after, command, fmt.Errorf("%w: a block of %d bytes", ErrSize, len(block))
	case tag != TagMetadata && n%16 != 0:
		return tlv, after, command, fmt.Errorf("%w: ciphertext of %d bytes", ErrStructure, n)
	case len(block) != headerSize(tag, len(tlv.Value))+len(tlv.Value):
		return tlv, after, command, fmt.Errorf("%w: a length in a longer form than need be", ErrStructure)
	}
	return tlv, after, command, nil
}

// unpad removes 80 00..., at most one AES block of it; nil where it is not
// there. Its time depends on the padding, which is authentic here.
func unpad(b []byte) []byte {
	cut := bytes.TrimRight(b[len(b)-16:], "\x00")
	if len(cut) == 0 || cut[len(cut)-1] != 0x80 {
		return nil
	}
	return b[:len(b)-16+len(cut)-1]
}

func (o *Opener) replaceKeys(request []byte) *Error {
	k, err := parseReplaceKeys(request)
	if err != nil {
		return o.fail(ReplaceSessionKeys, IncorrectInput, err)
	}
	o.setKeys(k)
	k.Clear()
	return nil
}

func (o *Opener) fail(command Command, reason Reason, err error) *Error {
	o.chain.clear()
	o.failed = &Error{Command: command, Reason: reason, Err: err}
	return o.failed
}

// Clear forgets the keys: nothing can be opened afterwards.
func (o *Opener) Clear() {
	if o.failed == nil {
		_, command, _ := o.stage.next(0)
		o.fail(command, UndefinedError, ErrClosed)
	}
}
