package rsp

import (
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// The JSON binding of ES9+ carries two members alone that have a tag each:
// signatures (5F37) and the key ID of a CI (04).

// EncodeSignature returns r and s with tag and length.
func EncodeSignature(signature []byte) ([]byte, error) {
	return encodeField(tagSignature, signature, signatureSize, signatureSize)
}

// DecodeSignature returns the 64 bytes of r and s.
func DecodeSignature(b []byte) ([]byte, error) {
	return decodeField(tagSignature, b, signatureSize, signatureSize)
}

// EncodeKeyID returns a subject key ID with tag and length.
func EncodeKeyID(id []byte) ([]byte, error) { return encodeField(tagOctets, id, 1, maxKeyID) }

// DecodeKeyID returns the subject key ID, 20 bytes as a rule.
func DecodeKeyID(b []byte) ([]byte, error) { return decodeField(tagOctets, b, 1, maxKeyID) }

const maxKeyID = 64

func encodeField(tag bertlv.Tag, content []byte, least, most int) ([]byte, error) {
	if _, err := checked(least, most).encode(content); err != nil {
		return nil, fmt.Errorf("rsp: %w: %v %w", ErrFormat, tag, err)
	}
	return bertlv.Append(nil, tag, content), nil
}

func decodeField(tag bertlv.Tag, b []byte, least, most int) ([]byte, error) {
	t, err := parseStrictly(b)
	if err != nil {
		return nil, fmt.Errorf("rsp: %w", err)
	}
	if t.Tag != tag {
		return nil, fmt.Errorf("rsp: %w: tag %v instead of %v", ErrFormat, t.Tag, tag)
	}
	content, err := checked(least, most).decode(t.Value)
	if err != nil {
		return nil, fmt.Errorf("rsp: %w: %v %w", ErrFormat, tag, err)
	}
	return content, nil
}
