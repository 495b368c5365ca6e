package audit

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Bounds on one entry, so that checking it takes time in proportion to its size.
const (
	maxDepth   = 8
	maxMembers = 256
)

// checkEntry demands of b what the package comment demands of an entry, and
// returns its time. The rules are there so that no two readers can understand
// the same bytes differently: encoding/json alone takes the last of two equal
// names, ignores case and replaces invalid UTF-8.
func checkEntry(b []byte) (time.Time, error) {
	var at time.Time
	switch {
	case len(b) > MaxEntry:
		return at, ErrTooLarge
	case len(b) == 0 || b[0] != '{':
		return at, malformed("the entry is no JSON object")
	case !utf8.Valid(b):
		return at, malformed("the entry is not valid UTF-8")
	case !json.Valid(b):
		return at, malformed("the entry is not valid JSON")
	}
	s := scanner{b: b}
	if err := s.value(1); err != nil {
		return at, err
	}
	if s.i != len(b) {
		return at, malformed("blanks after the entry")
	}
	if s.time == nil {
		return at, malformed("the entry has no time")
	}
	if err := at.UnmarshalJSON(s.time); err != nil || at.IsZero() {
		return time.Time{}, malformed("the entry's time is none of RFC 3339")
	}
	return at, nil
}

// scanner walks over JSON that is known to be valid.
type scanner struct {
	b    []byte
	i    int
	time []byte // value of the outermost member "time"
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// take skips the next byte if it is c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return malformed("the entry is nested too deeply")
	}
	switch s.peek() {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		s.text()
		return nil
	}
	start := s.i // a number, true, false or null
	for c := s.peek(); c > ' ' && c != ',' && c != ']' && c != '}'; c = s.peek() {
		s.i++
	}
	if s.i == start {
		return errBlanks()
	}
	return nil
}

func errBlanks() error { return malformed("the entry has blanks between its parts") }

// text skips a string and returns it with its quotes.
func (s *scanner) text() []byte {
	start := s.i
	for s.i++; s.i < len(s.b) && s.b[s.i] != '"'; s.i++ {
		if s.b[s.i] == '\\' {
			s.i++
		}
	}
	s.i = min(s.i+1, len(s.b))
	return s.b[start:s.i]
}

func (s *scanner) array(depth int) error {
	s.i++
	if s.take(']') {
		return nil
	}
	for range maxMembers {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errBlanks()
		}
	}
	return malformed("an array in the entry is too long")
}

func (s *scanner) object(depth int) error {
	s.i++
	if s.take('}') {
		return nil
	}
	var room [16][]byte // most objects need no more and stay off the heap
	names := room[:0]
	for range maxMembers {
		name, err := s.name(depth, names)
		if err != nil {
			return err
		}
		names = append(names, name)
		start := s.i
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if depth == 1 && string(name) == `"time"` {
			s.time = s.b[start:s.i]
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errBlanks()
		}
	}
	return malformed("an object in the entry has too many members")
}

// name skips a member's name and the colon after it.
func (s *scanner) name(depth int, names [][]byte) ([]byte, error) {
	if s.peek() != '"' {
		return nil, errBlanks()
	}
	name := s.text()
	if !s.take(':') {
		return nil, errBlanks()
	}
	if depth == 1 && !plainName(name) {
		return nil, malformed("the name of an outermost member has other characters than a to z, 0 to 9 and _")
	}
	name = unescaped(name)
	for _, other := range names {
		if bytes.Equal(name, other) {
			return nil, malformed("a member is there twice")
		}
	}
	return name, nil
}

func plainName(quoted []byte) bool {
	for _, c := range quoted[1 : len(quoted)-1] {
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(quoted) > 2
}

// unescaped returns a quoted name in a form by which equal names are equal
// bytes: "\u0061" is "a".
func unescaped(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted
	}
	var plain string
	if json.Unmarshal(quoted, &plain) != nil {
		return quoted
	}
	return []byte(`"` + plain + `"`)
}
