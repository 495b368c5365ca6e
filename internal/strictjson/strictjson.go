// Package strictjson decodes JSON that others sent: one value and nothing after
// it, no name twice in an object, and a bounded shape. The encoding/json package
// alone takes the last of two members with the same name, in either case.
//
//	err := strictjson.Decode(body, &v, strictjson.Limits{Depth: 8, Names: 256})
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits bound the shape of what is decoded; its size is for the caller to bound
// before. Zero allows nothing.
type Limits struct {
	Depth int // objects and arrays within each other
	Names int // member names in all

	// Members bounds the names of one object; 0 means Names.
	Members int

	// Elements bounds those of one array; 0 means that the text's size does. More
	// are ErrElements, before anything is made of them.
	Elements int

	// Unknown refuses members that the target does not have.
	Unknown bool
}

// ErrElements says that an array has more elements than Limits.Elements.
var ErrElements = errors.New("an array has too many elements")

// Decode decodes one JSON object into v. The errors say what is wrong with the
// text and show at most a part of it.
func Decode(data []byte, v any, l Limits) error {
	if !utf8.Valid(data) {
		return errors.New("body is not UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return errors.New("body is not a JSON object")
	}
	var text json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&text); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("unexpected end of JSON input")
		}
		return err
	}
	if len(bytes.TrimLeft(data[dec.InputOffset():], " \t\r\n")) > 0 {
		return errors.New("there is more after top-level object")
	}
	if err := checkNames(text, l); err != nil {
		return err
	}
	dec = json.NewDecoder(bytes.NewReader(text))
	if l.Unknown {
		dec.DisallowUnknownFields()
	}
	return dec.Decode(v)
}

// member is a name, and how deep the object is that has it.
type member struct {
	depth int
	name  string
}

// checkNames looks for names that repeat, and for more of anything than l allows,
// in JSON that has been found valid: a string followed by a colon is a name. What
// commas part are elements, also in objects, which have no more members than that.
func checkNames(data []byte, l Limits) error {
	var names []member // of the objects open at this point
	var commas []int   // of the objects and arrays open at this point
	depth, total := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if depth++; depth > l.Depth {
				return fmt.Errorf("nested deeper than %d", l.Depth)
			}
			commas = append(commas, 0)
		case ',':
			if commas[depth-1]++; l.Elements > 0 && commas[depth-1] >= l.Elements {
				return fmt.Errorf("%w: more than %d", ErrElements, l.Elements)
			}
		case '}', ']':
			for len(names) > 0 && names[len(names)-1].depth == depth {
				names = names[:len(names)-1]
			}
			depth--
			commas = commas[:depth]
		case '"':
			start := i
			i = stringEnd(data, i)
			if !isName(data[i+1:]) {
				continue
			}
			if total++; total > l.Names {
				return fmt.Errorf("more than %d members", l.Names)
			}
			m := member{depth: depth}
			if err := json.Unmarshal(data[start:i+1], &m.name); err != nil {
				return err
			}
			if err := m.join(names, l); err != nil {
				return err
			}
			names = append(names, m)
		}
	}
	return nil
}

// isName reports whether what follows a string makes it a member's name.
func isName(rest []byte) bool {
	for _, c := range rest {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == ':'
		}
	}
	return false
}

// join reports why the innermost open object cannot have the name too.
func (m member) join(names []member, l Limits) error {
	n := 1
	for i := len(names) - 1; i >= 0 && names[i].depth == m.depth; i-- {
		if n++; l.Members > 0 && n > l.Members {
			return fmt.Errorf("more than %d members in one object", l.Members)
		}
		if strings.EqualFold(names[i].name, m.name) {
			return fmt.Errorf("member %q appears twice", limited(m.name))
		}
	}
	return nil
}

// limited cuts a peer's text to what may be shown.
func limited(s string) string {
	const most = 255
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "?")
	}
	return s
}

// stringEnd returns the index of the quote that ends the string beginning at i.
func stringEnd(data []byte, i int) int {
	for i++; i < len(data) && data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return min(i, len(data)-1)
}
