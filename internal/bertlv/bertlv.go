// Package bertlv reads and writes BER-TLV objects (ITU-T X.690 section 8.1) as
// eUICCs, SIM applets and SM-DP+ exchange them: tags of several bytes (BF20),
// definite lengths. Use [Parse] to read and [Append] to write.
//
// What was read stays as it was received: [TLV].Raw is what signatures are
// checked over. Lengths are written in the shortest form, as DER wants; on
// reading longer forms are accepted. Nothing here knows ASN.1 types, the order
// or the number of members: that is for the caller to check.
package bertlv

import (
	"errors"
	"fmt"
)

// Limits of what [Parse] accepts.
const (
	MaxDepth = 16      // constructed objects within each other
	MaxItems = 1 << 14 // objects in all
	maxTag   = 4       // bytes of a tag
	maxLen   = 4       // bytes of a length, after the first
)

// Why bytes are not BER-TLV. Errors of this package wrap one of these.
var (
	ErrTruncated = errors.New("ends within an object")
	ErrTag       = errors.New("not a tag of 1 to 4 bytes")
	ErrLength    = errors.New("not a definite length of 1 to 5 bytes")
	ErrTrailing  = errors.New("bytes follow the object")
	ErrDepth     = errors.New("objects are nested too deeply")
	ErrItems     = errors.New("too many objects")
	ErrMissing   = errors.New("no such object")
	ErrPrimitive = errors.New("not a constructed object")
)

// Tag is a tag's bytes as one big-endian number, such as 0x30 or 0xBF20.
type Tag uint32

// Constructed reports whether objects with this tag hold further objects.
func (t Tag) Constructed() bool {
	for t > 0xFF {
		t >>= 8
	}
	return t&0x20 != 0
}

// String returns the tag in hexadecimal, such as "BF20".
func (t Tag) String() string { return fmt.Sprintf("%02X", uint32(t)) }

// TLV is one object. Value and Raw share the memory it was read from.
type TLV struct {
	Tag   Tag
	Value []byte // the content
	Raw   []byte // tag, length and content as received
}

// Parse reads b as exactly one object and checks everything inside it, within
// the limits above.
func Parse(b []byte) (TLV, error) {
	t, rest, err := Read(b)
	if err != nil {
		return TLV{}, err
	}
	if len(rest) != 0 {
		return TLV{}, fmt.Errorf("bertlv: %w %v", ErrTrailing, t.Tag)
	}
	items := MaxItems
	if err := check(t, MaxDepth, &items); err != nil {
		return TLV{}, err
	}
	return t, nil
}

func check(t TLV, depth int, items *int) error {
	if *items--; *items < 0 {
		return fmt.Errorf("bertlv: %w", ErrItems)
	}
	if !t.Tag.Constructed() {
		return nil
	}
	if depth == 0 {
		return fmt.Errorf("bertlv: %w", ErrDepth)
	}
	for b := t.Value; len(b) > 0; {
		child, rest, err := Read(b)
		if err == nil {
			err = check(child, depth-1, items)
		}
		if err != nil {
			return fmt.Errorf("%w in %v", err, t.Tag)
		}
		b = rest
	}
	return nil
}

// Read reads the first object of b and returns what follows it. The content is
// not looked into.
func Read(b []byte) (t TLV, rest []byte, err error) {
	tag, n, err := readTag(b)
	if err != nil {
		return TLV{}, nil, err
	}
	length, m, err := readLength(b[n:])
	if err != nil {
		return TLV{}, nil, fmt.Errorf("%w of %v", err, tag)
	}
	start := n + m
	if length > len(b)-start {
		return TLV{}, nil, fmt.Errorf("bertlv: %w: %v has %d of %d bytes", ErrTruncated, tag, len(b)-start, length)
	}
	end := start + length
	return TLV{Tag: tag, Value: b[start:end:end], Raw: b[:end:end]}, b[end:], nil
}

func readTag(b []byte) (Tag, int, error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("bertlv: %w", ErrTruncated)
	}
	tag := Tag(b[0])
	if tag == 0 { // end-of-contents, or padding
		return 0, 0, fmt.Errorf("bertlv: %w", ErrTag)
	}
	if tag&0x1F != 0x1F {
		return tag, 1, nil
	}
	for n := 1; n < len(b); n++ {
		if n == maxTag || n == 1 && b[n] == 0x80 {
			return 0, 0, fmt.Errorf("bertlv: %w", ErrTag)
		}
		tag = tag<<8 | Tag(b[n])
		if b[n]&0x80 == 0 {
			return tag, n + 1, nil
		}
	}
	return 0, 0, fmt.Errorf("bertlv: %w", ErrTruncated)
}

func readLength(b []byte) (length, n int, err error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("bertlv: %w", ErrTruncated)
	}
	if b[0] < 0x80 {
		return int(b[0]), 1, nil
	}
	n = int(b[0] & 0x7F)
	if n == 0 || n > maxLen { // 0: indefinite
		return 0, 0, fmt.Errorf("bertlv: %w", ErrLength)
	}
	if len(b) < 1+n {
		return 0, 0, fmt.Errorf("bertlv: %w", ErrTruncated)
	}
	var l uint64
	for _, c := range b[1 : 1+n] {
		l = l<<8 | uint64(c)
	}
	if l > 1<<31-1 { // fits an int everywhere
		return 0, 0, fmt.Errorf("bertlv: %w", ErrLength)
	}
	return int(l), 1 + n, nil
}

// Children returns the objects inside a constructed one, at most [MaxItems].
func (t TLV) Children() ([]TLV, error) {
	if !t.Tag.Constructed() {
		return nil, fmt.Errorf("bertlv: %w: %v", ErrPrimitive, t.Tag)
	}
	var list []TLV
	for b := t.Value; len(b) > 0; {
		child, rest, err := Read(b)
		if err != nil {
			return nil, fmt.Errorf("%w in %v", err, t.Tag)
		}
		if len(list) == MaxItems {
			return nil, fmt.Errorf("bertlv: %w in %v", ErrItems, t.Tag)
		}
		list, b = append(list, child), rest
	}
	return list, nil
}

// Find follows tags downwards, taking the first object with each tag, and
// returns the last one; its error is [ErrMissing] where there is none. Objects
// with other tags are skipped.
func (t TLV) Find(tags ...Tag) (TLV, error) {
	for _, tag := range tags {
		if !t.Tag.Constructed() {
			return TLV{}, fmt.Errorf("bertlv: %w: %v, looking for %v", ErrPrimitive, t.Tag, tag)
		}
		var child TLV
		b := t.Value
		for child.Raw == nil || child.Tag != tag {
			if len(b) == 0 {
				return TLV{}, fmt.Errorf("bertlv: %w: %v in %v", ErrMissing, tag, t.Tag)
			}
			var err error
			if child, b, err = Read(b); err != nil {
				return TLV{}, fmt.Errorf("%w in %v", err, t.Tag)
			}
		}
		t = child
	}
	return t, nil
}

// Append appends an object whose content is the parts one after the other.
func Append(dst []byte, tag Tag, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	dst = AppendHeader(dst, tag, n)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// AppendHeader appends the tag and the length of an object of n bytes, which the
// caller appends, or sends, next.
func AppendHeader(dst []byte, tag Tag, n int) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		if tag>>shift != 0 {
			dst = append(dst, byte(tag>>shift))
		}
	}
	if n < 0x80 {
		return append(dst, byte(n))
	}
	size := 1
	for n>>(8*size) != 0 {
		size++
	}
	dst = append(dst, 0x80|byte(size))
	for size--; size >= 0; size-- {
		dst = append(dst, byte(n>>(8*size)))
	}
	return dst
}
