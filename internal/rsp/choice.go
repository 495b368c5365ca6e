package rsp

import (
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// alternative is one member of a choice that has no tag of its own.
type alternative struct {
	tag   bertlv.Tag
	there bool // encoding: this is the one
	code  func()
}

func nodeChoice[T any, P interface {
	*T
	node
}](c *coder, tag bertlv.Tag, p *P) alternative {
	return alternative{tag, *p != nil, func() { optional(c, tag, p) }}
}

func codeChoice[T ~int](c *coder, tag bertlv.Tag, p **T) alternative {
	return alternative{tag, *p != nil, func() { optCode(c, tag, p) }}
}

// oneOf reads or writes exactly one of the known alternatives. Whatever else
// comes is kept in other.
func (c *coder) oneOf(what string, other *[]byte, known ...alternative) {
	b := *other
	if c.decoding {
		b = c.rest
	} else if !c.putKnown(what, len(*other) > 0, known) {
		return
	}
	t, _, err := bertlv.Read(b)
	if err != nil {
		c.fail("%s: %w", what, err)
		return
	}
	for _, a := range known {
		switch {
		case a.tag != t.Tag:
		case c.decoding:
			a.code()
			return
		default:
			c.fail("%v is a known %s", t.Tag, what)
			return
		}
	}
	c.raw(t.Tag, other, MaxMessage)
}

// putKnown writes the alternative that is there, and reports whether it is the
// other one that has to be written.
func (c *coder) putKnown(what string, other bool, known []alternative) bool {
	n := 0
	for _, a := range known {
		if a.there {
			n++
			a.code()
		}
	}
	if other {
		n++
	}
	if n != 1 {
		c.fail("%s is exactly one of the alternatives, %d are there", what, n)
	}
	return other && n == 1
}

// choices is an optional list of such choices; nil stands for its absence.
func choices[T any](c *coder, tag bertlv.Tag, p *[]T, most int, one func(e *T, c *coder)) {
	if !c.absent(tag, *p == nil) {
		c.within(tag, func(c *coder) { elements(c, p, most, one) })
	}
}

func elements[T any](c *coder, p *[]T, most int, one func(e *T, c *coder)) {
	if c.decoding {
		*p = []T{}
	}
	c.each(len(*p), most, func(i int) {
		if c.decoding {
			*p = append(*p, *new(T))
		}
		one(&(*p)[i], c)
	})
}

const compactText = "%v: the compact form of SGP.32 is not supported; the full one has to be asked for"

// refuseCompact gives an understandable error where a compact form comes next.
func (c *coder) refuseCompact(tags ...bertlv.Tag) {
	if !c.decoding || c.err != nil || len(c.rest) == 0 {
		return
	}
	t, _, err := bertlv.Read(c.rest)
	for _, tag := range tags {
		if err == nil && t.Tag == tag {
			c.fail(compactText, tag)
		}
	}
}

// rawFull is raw for an eUICC's answer, in which A2 stands for the compact form.
func (c *coder) rawFull(tag bertlv.Tag, p *[]byte, most int) {
	c.raw(tag, p, most)
	c.notCompact(tag, *p)
}

func (c *coder) notCompact(tag bertlv.Tag, answer []byte) {
	if c.err != nil {
		return
	}
	t, err := bertlv.Parse(answer)
	if err != nil {
		c.fail("%v: %w", tag, err)
		return
	}
	if first, _, err := bertlv.Read(t.Value); err == nil && first.Tag == 0xA2 {
		c.fail(compactText, tag)
	}
}

// retag returns the object b with another tag instead of its own.
func (c *coder) retag(b []byte, own, other bertlv.Tag) []byte {
	t, err := bertlv.Parse(b)
	switch {
	case err != nil:
		c.fail("%v: %w", own, err)
	case t.Tag != own:
		c.fail("%v is %v", own, t.Tag)
	default:
		return bertlv.Append(nil, other, t.Value)
	}
	return nil
}

// certificateAs is a certificate or public key whose tag 30 another has replaced.
// It is kept with 30.
func (c *coder) certificateAs(tag bertlv.Tag, p *[]byte) {
	member(c, tag, p, kind[[]byte]{
		func(b []byte) ([]byte, error) {
			if len(b) > maxCertificate {
				return nil, fmt.Errorf("has %d bytes, at most %d", len(b), maxCertificate)
			}
			return bertlv.Append(nil, tagSequence, b), nil
		},
		func(v []byte) ([]byte, error) {
			t, err := parseStrictly(v)
			if err != nil {
				return nil, err
			}
			if t.Tag != tagSequence || len(t.Value) > maxCertificate {
				return nil, fmt.Errorf("is no sequence of at most %d bytes", maxCertificate)
			}
			return t.Value, nil
		},
	})
}

func (c *coder) optCertificateAs(tag bertlv.Tag, p *[]byte) {
	if !c.absent(tag, *p == nil) {
		c.certificateAs(tag, p)
	}
}

// UnwrapCertificate returns the certificate within b where a sender has put the
// member's tag around a certificate, instead of in place of its tag 30. Anything
// else is returned as it is.
func UnwrapCertificate(b []byte) []byte {
	t, err := bertlv.Parse(b)
	if err != nil || t.Tag != tagSequence {
		return b
	}
	inner, rest, err := bertlv.Read(t.Value)
	if err != nil || inner.Tag != tagSequence || len(rest) > 0 {
		return b
	}
	return inner.Raw
}

// NewAssociationToken as the association token of an eIM to be added asks the
// eUICC to draw one.
const NewAssociationToken int64 = -1

// association is an association token, which is a number or NewAssociationToken.
func association() kind[int64] {
	positive := number[int64](1 << 62)
	return kind[int64]{
		func(b []byte) (int64, error) {
			if len(b) == 1 && b[0] == 0xFF {
				return NewAssociationToken, nil
			}
			return positive.decode(b)
		},
		func(v int64) ([]byte, error) {
			if v == NewAssociationToken {
				return []byte{0xFF}, nil
			}
			return positive.encode(v)
		},
	}
}

// eimID is the name of an eIM, 1 to 128 characters.
func eimID() kind[string] {
	names := text(128)
	filled := func(s string) error {
		if s == "" {
			return fmt.Errorf("is empty")
		}
		return nil
	}
	return kind[string]{
		func(b []byte) (string, error) {
			if err := filled(string(b)); err != nil {
				return "", err
			}
			return names.decode(b)
		},
		func(s string) ([]byte, error) {
			if err := filled(s); err != nil {
				return nil, err
			}
			return names.encode(s)
		},
	}
}

func (c *coder) eimTransaction(tag bertlv.Tag, p *TransactionID) {
	c.optOctets(tag, (*[]byte)(p), 1, maxTransactionID)
}
