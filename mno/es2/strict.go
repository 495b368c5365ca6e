package es2

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of a request's shape; its size is bounded by [MaxBody].
const (
	maxDepth = 8   // objects and arrays within each other
	maxNames = 256 // member names in all
)

// decodeStrict decodes one JSON object: nothing may follow it, names may not
// repeat within an object (also not in another case, which encoding/json would
// take for the same member), and its shape is bounded. Members it does not know
// are skipped, as SGP.22 section 6.5.1 wants.
func decodeStrict(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("body is not UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return errors.New("body is not a JSON object")
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	return checkNames(data)
}

// member is a name, and how deep the object is that has it.
type member struct {
	depth int
	name  string
}

// checkNames looks for names that repeat, in JSON that has been found valid: a
// string followed by a colon is a name.
func checkNames(data []byte) error {
	var names []member // of the objects open at this point
	depth, total := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested deeper than %d", maxDepth)
			}
		case '}', ']':
			for len(names) > 0 && names[len(names)-1].depth == depth {
				names = names[:len(names)-1]
			}
			depth--
		case '"':
			start := i
			i = stringEnd(data, i)
			if rest := bytes.TrimLeft(data[i+1:], " \t\r\n"); len(rest) == 0 || rest[0] != ':' {
				continue
			}
			if total++; total > maxNames {
				return fmt.Errorf("more than %d members", maxNames)
			}
			m := member{depth: depth}
			if err := json.Unmarshal(data[start:i+1], &m.name); err != nil {
				return err
			}
			if m.in(names) {
				return fmt.Errorf("member %q appears twice", limited(m.name))
			}
			names = append(names, m)
		}
	}
	return nil
}

// in reports whether the innermost open object has the name already.
func (m member) in(names []member) bool {
	for i := len(names) - 1; i >= 0 && names[i].depth == m.depth; i-- {
		if strings.EqualFold(names[i].name, m.name) {
			return true
		}
	}
	return false
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
