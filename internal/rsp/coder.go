package rsp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// coder walks over the members of one object in their order. The same layout
// reads and writes, so that the two cannot differ. After the first error it does
// nothing more.
type coder struct {
	decoding bool
	rest     []byte       // decoding: what has not been taken
	out      []byte       // encoding: what has been put
	known    []bertlv.Tag // asked for so far
	closed   bool         // nothing may follow the known members
	err      error
}

func nameOf(n node) string {
	name := fmt.Sprintf("%T", n)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// parseStrictly reads b as one object in DER, as far as lengths and tags go.
func parseStrictly(b []byte) (bertlv.TLV, error) {
	t, err := bertlv.Parse(b)
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return t, strict(t)
}

// strict looks for what BER allows and DER does not. Parse has bounded the depth.
func strict(t bertlv.TLV) error {
	if header := bertlv.AppendHeader(nil, t.Tag, len(t.Value)); len(header)+len(t.Value) != len(t.Raw) {
		return fmt.Errorf("%w: length of %v is not the shortest", ErrFormat, t.Tag)
	}
	if t.Raw[0]&0x1F == 0x1F && t.Raw[1] < 0x1F {
		return fmt.Errorf("%w: tag %v is not the shortest", ErrFormat, t.Tag)
	}
	if !t.Tag.Constructed() {
		return nil
	}
	for b := t.Value; len(b) > 0; {
		child, rest, err := bertlv.Read(b)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if err := strict(child); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func decodeNode(t bertlv.TLV, n node) error {
	c := &coder{decoding: true, rest: t.Value}
	n.layout(c)
	r := n.received()
	r.Raw, r.Extra = t.Raw, c.rest
	c.extra(r.Extra)
	if len(r.Extra) == 0 {
		r.Extra = nil
	}
	return c.named(n)
}

// named puts the name of what failed before the error; groups have none.
func (c *coder) named(n node) error {
	if _, ok := n.(*group); ok || c.err == nil {
		return c.err
	}
	return fmt.Errorf("%s: %w", nameOf(n), c.err)
}

func encodeNode(tag bertlv.Tag, n node) ([]byte, error) {
	c := &coder{}
	n.layout(c)
	c.extra(n.received().Extra)
	if c.err != nil {
		return nil, c.named(n)
	}
	return bertlv.Append(nil, tag, c.out, n.received().Extra), nil
}

// extra checks what follows the known members: nothing that should have come
// before, and nothing at all in a choice.
func (c *coder) extra(b []byte) {
	for len(b) > 0 && c.err == nil {
		t, rest, err := bertlv.Read(b)
		switch {
		case err != nil:
			c.fail("%w", err)
		case c.closed:
			c.fail("%v is not expected here", t.Tag)
		case slices.Contains(c.known, t.Tag):
			c.fail("%v is repeated or out of order", t.Tag)
		case !c.decoding: // what was received has been looked at as a whole
			if _, err := parseStrictly(t.Raw); err != nil {
				c.fail("%w", err)
			}
		}
		b = rest
	}
}

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
}

// take returns the next member if it has this tag.
func (c *coder) take(tag bertlv.Tag) (bertlv.TLV, bool) {
	c.known = append(c.known, tag)
	if c.err != nil || len(c.rest) == 0 {
		return bertlv.TLV{}, false
	}
	t, rest, err := bertlv.Read(c.rest)
	if err != nil {
		c.fail("%w", err)
		return bertlv.TLV{}, false
	}
	if t.Tag != tag {
		return bertlv.TLV{}, false
	}
	c.rest = rest
	return t, true
}

// need is take for what may not be absent.
func (c *coder) need(tag bertlv.Tag) (bertlv.TLV, bool) {
	t, ok := c.take(tag)
	if !ok {
		c.fail("%v is missing", tag)
	}
	return t, ok
}

func (c *coder) put(tag bertlv.Tag, content []byte) {
	c.known = append(c.known, tag)
	if c.err == nil {
		c.out = bertlv.Append(c.out, tag, content)
	}
}

// choose says that exactly one of the members is there, and nothing else.
func (c *coder) choose(present ...bool) {
	c.closed = true
	c.exactlyOne(present...)
}

// exactlyOne is choose where other members may follow.
func (c *coder) exactlyOne(present ...bool) {
	n := 0
	for _, p := range present {
		if p {
			n++
		}
	}
	if n != 1 {
		c.fail("exactly one alternative is wanted, %d are there", n)
	}
}

// nested is a member that has members itself.
func nested(c *coder, tag bertlv.Tag, n node) {
	if !c.decoding {
		c.append(tag, n)
		return
	}
	if t, ok := c.need(tag); ok {
		if err := decodeNode(t, n); err != nil {
			c.err = err
		}
	}
}

func (c *coder) append(tag bertlv.Tag, n node) {
	c.known = append(c.known, tag)
	if c.err != nil {
		return
	}
	b, err := encodeNode(tag, n)
	if err != nil {
		c.err = err
		return
	}
	c.out = append(c.out, b...)
}

// optional is nested for a member that may be absent, which nil stands for.
func optional[T any, P interface {
	*T
	node
}](c *coder, tag bertlv.Tag, p *P) {
	if !c.decoding {
		if c.known = append(c.known, tag); *p != nil {
			c.append(tag, *p)
		}
		return
	}
	if t, ok := c.take(tag); ok {
		n := P(new(T))
		if err := decodeNode(t, n); err != nil {
			c.err = err
		}
		*p = n
	}
}

// group is a member that only holds others, such as a tagged choice or list;
// nil stands for its absence where it is optional.
type group struct {
	Received
	members func(c *coder)
}

func (g *group) layout(c *coder) {
	g.members(c)
	c.closed = true
}

// within runs members on the content of a member that is always there.
func (c *coder) within(tag bertlv.Tag, members func(c *coder)) {
	nested(c, tag, &group{members: members})
}

// each repeats one, which reads one element, until the content is used up, or
// until n elements are written.
func (c *coder) each(n, most int, one func(i int)) {
	for i := 0; c.err == nil && (c.decoding && len(c.rest) > 0 || !c.decoding && i < n); i++ {
		if i == most {
			c.fail("more than %d elements", most)
			return
		}
		one(i)
	}
}

// list is a SEQUENCE OF objects; nil stands for its absence if it may be absent.
func list[T any, P interface {
	*T
	node
}](c *coder, tag, element bertlv.Tag, p *[]T, most int, mayBeAbsent bool) {
	if mayBeAbsent && c.absent(tag, *p == nil) {
		return
	}
	c.within(tag, func(c *coder) {
		if c.decoding {
			*p = []T{}
		}
		c.each(len(*p), most, func(i int) {
			if c.decoding {
				*p = append(*p, *new(T))
			}
			nested(c, element, P(&(*p)[i]))
		})
	})
}

// absent reports whether an optional member is not there.
func (c *coder) absent(tag bertlv.Tag, unset bool) bool {
	c.known = append(c.known, tag)
	if !c.decoding {
		return unset
	}
	if c.err != nil || len(c.rest) == 0 {
		return true
	}
	t, _, err := bertlv.Read(c.rest)
	return err != nil || t.Tag != tag
}
