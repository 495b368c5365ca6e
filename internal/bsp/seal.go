package bsp

import (
	"crypto/cipher"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// Sealer protects the blocks of one bound profile package, in their order. Make
// one with [NewSealer]. It is for one goroutine.
type Sealer struct {
	hidden
	chain
}

// NewSealer starts a session. The Sealer keeps what it needs: the caller may
// clear its keys at once.
func NewSealer(k Keys) *Sealer {
	s := &Sealer{}
	s.setKeys(k)
	return s
}

// Seal appends the next block to dst, which must not share memory with data.
// Blocks come as SGP.22 orders them: [TagCommand] once with ConfigureISDP,
// [TagMetadata] once or more, then [Sealer.ReplaceKeys] or not, then
// [TagProfile]. At most [MaxPlain] or [MaxClear] bytes fit, and none is too few.
// After an error, [ErrOrder] or [ErrSize], nothing was appended or counted.
func (s *Sealer) Seal(dst []byte, tag bertlv.Tag, data []byte) ([]byte, error) {
	after, command, ok := s.stage.next(tag)
	if !ok || command == ReplaceSessionKeys {
		return dst, fmt.Errorf("bsp: seal %v: %w", tag, ErrOrder)
	}
	if len(data) < 1 || len(data) > maxPart(tag) {
		return dst, fmt.Errorf("bsp: seal %v: %d bytes: %w", tag, len(data), ErrSize)
	}
	return s.seal(dst, tag, data, after)
}

// ReplaceKeys appends the block that gives the eUICC profile protection keys,
// and protects what follows with these, counting from 1. The error is
// [ErrOrder].
func (s *Sealer) ReplaceKeys(dst []byte, k Keys) ([]byte, error) {
	after, command, _ := s.stage.next(TagCommand)
	if command != ReplaceSessionKeys {
		return dst, fmt.Errorf("bsp: replace the session keys: %w", ErrOrder)
	}
	var request [replaceKeysSize]byte
	defer clear(request[:])
	dst, err := s.seal(dst, TagCommand, appendReplaceKeys(request[:0], &k), after)
	if err == nil {
		s.setKeys(k)
	}
	return dst, err
}

func (s *Sealer) seal(dst []byte, tag bertlv.Tag, data []byte, after stage) ([]byte, error) {
	if s.enc == nil {
		return dst, fmt.Errorf("bsp: seal: %w", ErrClosed)
	}
	s.begin()
	s.stage = after
	n := len(data)
	if tag != TagMetadata {
		n = padded(n)
	}
	start := len(dst)
	dst = bertlv.AppendHeader(dst, tag, n+macSize)
	content := len(dst)
	dst = append(dst, data...)
	if tag != TagMetadata {
		padding := [16]byte{0x80}
		dst = append(dst, padding[:n-len(data)]...)
		cipher.NewCBCEncrypter(s.enc, s.icv[:]).CryptBlocks(dst[content:], dst[content:])
	}
	return append(dst, s.authenticate(dst[start:])...), nil
}

// sealAll spreads data over as many blocks as it needs.
func (s *Sealer) sealAll(dst []byte, tag bertlv.Tag, data []byte) ([]byte, error) {
	for len(data) > 0 {
		n := min(len(data), maxPart(tag))
		var err error
		if dst, err = s.Seal(dst, tag, data[:n]); err != nil {
			return dst, err
		}
		data = data[n:]
	}
	return dst, nil
}

// Clear forgets the keys: nothing can be sealed afterwards.
func (s *Sealer) Clear() { s.chain.clear() }
