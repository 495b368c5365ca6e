package rsp

import (
	"fmt"
	"math/bits"
	"unicode/utf8"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// kind turns the content of a primitive object into a value and back.
type kind[T any] struct {
	decode func(b []byte) (T, error)
	encode func(v T) ([]byte, error)
}

func member[T any](c *coder, tag bertlv.Tag, p *T, k kind[T]) {
	if !c.decoding {
		b, err := k.encode(*p)
		if err != nil {
			c.fail("%v %w", tag, err)
		}
		c.put(tag, b)
		return
	}
	if t, ok := c.need(tag); ok {
		c.assign(tag, decodeInto(p, t.Value, k))
	}
}

func maybe[T any](c *coder, tag bertlv.Tag, p **T, k kind[T]) {
	if c.absent(tag, *p == nil) {
		return
	}
	if c.decoding {
		*p = new(T)
	}
	member(c, tag, *p, k)
}

func decodeInto[T any](p *T, b []byte, k kind[T]) (err error) {
	*p, err = k.decode(b)
	return err
}

func (c *coder) assign(tag bertlv.Tag, err error) {
	if err != nil {
		c.fail("%v %w", tag, err)
	}
}

// checked is a kind whose content is kept, within limits in bytes.
func checked(least, most int) kind[[]byte] {
	check := func(b []byte) ([]byte, error) {
		if len(b) < least || len(b) > most {
			return nil, fmt.Errorf("has %d bytes, wants %d to %d", len(b), least, most)
		}
		return b, nil
	}
	return kind[[]byte]{check, check}
}

func (c *coder) octets(tag bertlv.Tag, p *[]byte, least, most int) {
	member(c, tag, p, checked(least, most))
}

// optOctets has nil for what is absent.
func (c *coder) optOctets(tag bertlv.Tag, p *[]byte, least, most int) {
	if !c.absent(tag, *p == nil) {
		c.octets(tag, p, least, most)
	}
}

// text is a UTF8String; its limit is in characters.
func text(most int) kind[string] {
	check := func(s string) error {
		if n := utf8.RuneCountInString(s); n > most {
			return fmt.Errorf("has %d characters, at most %d", n, most)
		}
		if !utf8.ValidString(s) {
			return fmt.Errorf("is not UTF-8")
		}
		return nil
	}
	return kind[string]{
		func(b []byte) (string, error) { return string(b), check(string(b)) },
		func(s string) ([]byte, error) { return []byte(s), check(s) },
	}
}

func (c *coder) text(tag bertlv.Tag, p *string, most int)     { member(c, tag, p, text(most)) }
func (c *coder) optText(tag bertlv.Tag, p **string, most int) { maybe(c, tag, p, text(most)) }

// number is an INTEGER from zero to most.
func number[T ~int | ~int64](most int64) kind[T] {
	check := func(v T) error {
		if int64(v) < 0 || int64(v) > most {
			return fmt.Errorf("is %d, wants 0 to %d", v, most)
		}
		return nil
	}
	return kind[T]{
		func(b []byte) (v T, err error) {
			if len(b) == 0 || len(b) > 8 || b[0] >= 0x80 || len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
				return 0, fmt.Errorf("is no number in the shortest form, from zero to 2^63-1")
			}
			var n int64
			for _, x := range b {
				n = n<<8 | int64(x)
			}
			if n > most {
				return 0, fmt.Errorf("is %d, at most %d", n, most)
			}
			return T(n), nil
		},
		func(v T) ([]byte, error) {
			if err := check(v); err != nil {
				return nil, err
			}
			b := make([]byte, bits.Len64(uint64(v))/8+1) // one bit more for the sign
			for i := range b {
				b[len(b)-1-i] = byte(int64(v) >> (8 * i))
			}
			return b, nil
		},
	}
}

// maxCode is the largest of the codes in error and reason fields that is read.
// They end at 127 today.
const maxCode = 0x7FFF

func code[T ~int](c *coder, tag bertlv.Tag, p *T)     { member(c, tag, p, number[T](maxCode)) }
func optCode[T ~int](c *coder, tag bertlv.Tag, p **T) { maybe(c, tag, p, number[T](maxCode)) }

func (c *coder) number(tag bertlv.Tag, p *int64)     { member(c, tag, p, number[int64](1<<62)) }
func (c *coder) optNumber(tag bertlv.Tag, p **int64) { maybe(c, tag, p, number[int64](1<<62)) }

// boolean is FF or 00.
func (c *coder) boolean(tag bertlv.Tag, p *bool) {
	member(c, tag, p, kind[bool]{
		func(b []byte) (bool, error) {
			if len(b) != 1 || b[0] != 0 && b[0] != 0xFF {
				return false, fmt.Errorf("is neither FF nor 00")
			}
			return b[0] == 0xFF, nil
		},
		func(v bool) ([]byte, error) {
			if v {
				return []byte{0xFF}, nil
			}
			return []byte{0}, nil
		},
	})
}

// flag is an optional NULL.
func (c *coder) flag(tag bertlv.Tag, p *bool) {
	if !c.absent(tag, !*p) {
		*p = true
		var empty []byte
		c.octets(tag, &empty, 0, 0)
	}
}

// namedBits is a BIT STRING whose bits have names: bit 0 of the value is the
// first of the string, trailing zero bits are not written.
func namedBits[T ~uint32]() kind[T] {
	return kind[T]{decodeBits[T], func(v T) ([]byte, error) { return encodeBits(uint32(v)), nil }}
}

func decodeBits[T ~uint32](b []byte) (T, error) {
	if len(b) < 1 || len(b) > 5 || b[0] > 7 {
		return 0, fmt.Errorf("is no bit string of at most 32 bits")
	}
	if len(b) == 1 {
		if b[0] != 0 {
			return 0, fmt.Errorf("is empty and has unused bits")
		}
		return 0, nil
	}
	if bits.TrailingZeros8(b[len(b)-1]) != int(b[0]) {
		return 0, fmt.Errorf("has trailing zero bits, or unused bits that are set")
	}
	var v uint32
	for i, x := range b[1:] {
		v |= uint32(bits.Reverse8(x)) << (8 * i)
	}
	return T(v), nil
}

func encodeBits(v uint32) []byte {
	n := bits.Len32(v)
	b := make([]byte, 1+(n+7)/8)
	for i := range b[1:] {
		b[1+i] = bits.Reverse8(byte(v >> (8 * i)))
	}
	b[0] = byte(8*(len(b)-1) - n)
	return b
}

// raw is a member that is carried whole, tag included, and not looked into.
func (c *coder) raw(tag bertlv.Tag, p *[]byte, most int) {
	if c.decoding {
		if t, ok := c.need(tag); ok {
			*p = t.Raw
		}
	} else if t, err := parseStrictly(*p); err != nil {
		c.fail("%v: %w", tag, err)
	} else if t.Tag != tag {
		c.fail("%v is %v", tag, t.Tag)
	} else {
		c.known = append(c.known, tag)
		c.out = append(c.out, t.Raw...)
	}
	if len(*p) > most {
		c.fail("%v has %d bytes, at most %d", tag, len(*p), most)
	}
}

func (c *coder) optRaw(tag bertlv.Tag, p *[]byte, most int) {
	if !c.absent(tag, *p == nil) {
		c.raw(tag, p, most)
	}
}

// Members that occur in many messages.

const (
	tagSequence  bertlv.Tag = 0x30
	tagInteger   bertlv.Tag = 0x02
	tagOctets    bertlv.Tag = 0x04
	tagOID       bertlv.Tag = 0x06
	tagText      bertlv.Tag = 0x0C
	tagICCID     bertlv.Tag = 0x5A
	tagSignature bertlv.Tag = 0x5F37
	tagOneTime   bertlv.Tag = 0x5F49

	maxCertificate = 16 << 10
	maxAddress     = 255
	signatureSize  = 64 // r and s on P-256 (BSI TR-03111)
	pointSize      = 65 // 04, x, y on P-256
)

func (c *coder) signature(p *[]byte)   { c.octets(tagSignature, p, signatureSize, signatureSize) }
func (c *coder) certificate(p *[]byte) { c.raw(tagSequence, p, maxCertificate) }
func (c *coder) oneTimeKey(p *[]byte)  { c.octets(tagOneTime, p, pointSize, pointSize) }
func (c *coder) address(tag bertlv.Tag, p *string) {
	c.text(tag, p, maxAddress)
}

func (c *coder) transaction(tag bertlv.Tag, p *TransactionID) {
	c.octets(tag, (*[]byte)(p), 1, maxTransactionID)
}

// keyIDs is a SEQUENCE OF SubjectKeyIdentifier.
func (c *coder) keyIDs(tag bertlv.Tag, p *[][]byte) {
	c.within(tag, func(c *coder) { c.octetsEach(tagOctets, p, 1, maxKeyID, 32) })
}

// octetsEach reads octet strings with the same tag to the end.
func (c *coder) octetsEach(tag bertlv.Tag, p *[][]byte, least, longest, most int) {
	c.each(len(*p), most, func(i int) {
		if c.decoding {
			*p = append(*p, nil)
		}
		c.octets(tag, &(*p)[i], least, longest)
	})
}
