package rsp

import (
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// The elements of a profile package that are known here by their tags (TCA
// eUICC Profile Package: Interoperable Format Technical Specification).
const (
	TagProfileHeader bertlv.Tag = 0xA0
	TagNonStandard   bertlv.Tag = 0xA9
	TagProfileEnd    bertlv.Tag = 0xAA
)

// maxElements is how many elements a profile package may have.
const maxElements = 1024

// ElementHeader stands at the beginning of every element but the first.
type ElementHeader struct {
	Received
	Mandated bool // the card refuses the profile if it does not know the element
	ID       int  // 0 to 32767, to be counted up within the package
}

func (m *ElementHeader) layout(c *coder) {
	c.flag(0x80, &m.Mandated)
	code(c, 0x81, &m.ID)
}

// ProfileHeader is the first element of a profile package.
type ProfileHeader struct {
	Received
	Major, Minor int    // version of the format
	Type         string // free text; "": none
	ICCID        ICCID  // written here in the order of reading
	POL          []byte // nil: none
	Services     []byte // the whole A5 object
	Templates    []OID  // file system templates the card must know
}

func (*ProfileHeader) tag() bertlv.Tag { return TagProfileHeader }
func (*ProfileHeader) limit() int      { return MaxPackage }
func (m *ProfileHeader) layout(c *coder) {
	member(c, 0x80, &m.Major, number[int](255))
	member(c, 0x81, &m.Minor, number[int](255))
	if !c.absent(0x82, m.Type == "") {
		c.text(0x82, &m.Type, 100)
		if m.Type == "" {
			c.fail("82 is empty")
		}
	}
	member(c, 0x83, &m.ICCID, plainICCIDKind())
	c.optOctets(0x84, &m.POL, 0, 16)
	c.raw(0xA5, &m.Services, 1024)
	c.within(0xA6, func(c *coder) {
		c.each(len(m.Templates), 64, func(i int) {
			if c.decoding {
				m.Templates = append(m.Templates, "")
			}
			c.oid(tagOID, &m.Templates[i])
		})
	})
}

// NonStandard is an element whose content its issuer alone understands. Cards
// that do not know the issuer pass over it unless it is mandated.
type NonStandard struct {
	Received
	Header  ElementHeader
	Issuer  OID
	Content []byte
}

func (*NonStandard) tag() bertlv.Tag { return TagNonStandard }
func (*NonStandard) limit() int      { return MaxPackage }
func (m *NonStandard) layout(c *coder) {
	nested(c, 0xA0, &m.Header)
	c.oid(0x81, &m.Issuer)
	c.octets(0x82, &m.Content, 0, MaxPackage)
}

// ProfileEnd is the last element of a profile package.
type ProfileEnd struct {
	Received
	Header ElementHeader
}

func (*ProfileEnd) tag() bertlv.Tag   { return TagProfileEnd }
func (m *ProfileEnd) layout(c *coder) { nested(c, 0xA0, &m.Header) }

// ProfileElements cuts a profile package into its elements, which it does not
// look into beyond their being BER-TLV, and checks that a header comes first, an
// end last, and neither in between. The elements share b's memory.
func ProfileElements(b []byte) ([]bertlv.TLV, error) {
	if len(b) > MaxPackage {
		return nil, fmt.Errorf("rsp: profile package: %w: %d bytes, at most %d", ErrFormat, len(b), MaxPackage)
	}
	var list []bertlv.TLV
	for len(b) > 0 {
		t, rest, err := bertlv.Read(b)
		if err == nil {
			_, err = bertlv.Parse(t.Raw)
		}
		if err != nil {
			return nil, fmt.Errorf("rsp: profile package: element %d: %w: %w", len(list), ErrFormat, err)
		}
		if len(list) == maxElements {
			return nil, fmt.Errorf("rsp: profile package: %w: more than %d elements", ErrFormat, maxElements)
		}
		if (t.Tag == TagProfileHeader) != (len(list) == 0) || (t.Tag == TagProfileEnd) != (len(rest) == 0) {
			return nil, fmt.Errorf("rsp: profile package: %w: begins with a header, ends with an end, each there once", ErrFormat)
		}
		list, b = append(list, t), rest
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("rsp: profile package: %w: empty", ErrFormat)
	}
	return list, nil
}

// WrapProfile makes the smallest profile package that carries content: a header
// for the profile's number and type, one element of the issuer's, an end. No
// card refuses it for an issuer it does not know.
func WrapProfile(iccid ICCID, profileType string, issuer OID, content []byte) ([]byte, error) {
	parts := []Message{
		&ProfileHeader{Major: 2, Minor: 3, Type: profileType, ICCID: iccid, Services: bertlv.Append(nil, 0xA5)},
		&NonStandard{Header: ElementHeader{ID: 1}, Issuer: issuer, Content: content},
		&ProfileEnd{Header: ElementHeader{Mandated: true, ID: 2}},
	}
	var b []byte
	for _, p := range parts {
		element, err := Encode(p)
		if err != nil {
			return nil, err
		}
		b = append(b, element...)
	}
	if len(b) > MaxPackage {
		return nil, fmt.Errorf("rsp: profile package: %w: %d bytes, at most %d", ErrFormat, len(b), MaxPackage)
	}
	return b, nil
}

// InsertNonStandard returns the profile package b with one more element of the
// issuer's before its end, numbered after all others by the end's own number,
// which grows by one.
func InsertNonStandard(b []byte, issuer OID, content []byte) ([]byte, error) {
	list, err := ProfileElements(b)
	if err != nil {
		return nil, err
	}
	last := list[len(list)-1]
	end, err := Decode[ProfileEnd](last.Raw)
	if err != nil {
		return nil, err
	}
	element, err := Encode(&NonStandard{Header: ElementHeader{ID: end.Header.ID}, Issuer: issuer, Content: content})
	if err != nil {
		return nil, err
	}
	end.Header.ID++
	tail, err := Encode(end)
	if err != nil {
		return nil, err
	}
	body := b[: len(b)-len(last.Raw) : len(b)-len(last.Raw)]
	return append(append(body, element...), tail...), nil
}

// FindNonStandard returns the content of the one element of this issuer in the
// profile package b. Its error is ErrFormat also where there is none, or two.
func FindNonStandard(b []byte, issuer OID) ([]byte, error) {
	list, err := ProfileElements(b)
	if err != nil {
		return nil, err
	}
	var found []byte
	n := 0
	for _, t := range list {
		if t.Tag != TagNonStandard {
			continue
		}
		e, err := Decode[NonStandard](t.Raw)
		if err != nil {
			return nil, err
		}
		if e.Issuer == issuer {
			found, n = e.Content, n+1
		}
	}
	if n != 1 {
		return nil, fmt.Errorf("rsp: profile package: %w: %d elements of issuer %s, wants one", ErrFormat, n, issuer)
	}
	return found, nil
}
