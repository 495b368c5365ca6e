package dnssec

import (
	"strconv"
	"strings"
)

// name is a domain name in canonical wire form: uncompressed, in lower case,
// with the root label (RFC 4034 section 6.2). Suffixes are cheap and equality
// is that of strings.
type name string

const root name = "\x00"

// parseName reads presentation form; a missing final dot is supplied.
func parseName(s string) (name, bool) {
	if s == "." || s == "" {
		return root, s != ""
	}
	var buf [256]byte
	n, start := 1, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if n-start == 1 || n-start > 64 || n >= 255 {
				return "", false
			}
			buf[start], start = byte(n-start-1), n
			n++
			continue
		case c == '\\':
			b, used := unescape(s[i+1:])
			if used == 0 {
				return "", false
			}
			c, i = b, i+used
		}
		if n >= 255 {
			return "", false
		}
		buf[n] = lower(c)
		n++
	}
	if n-start > 1 { // no final dot
		if n-start > 64 || n >= 255 {
			return "", false
		}
		buf[start] = byte(n - start - 1)
		n++
	}
	return name(buf[:n]), true
}

// unescape reads what follows a backslash: three digits or one octet.
func unescape(s string) (b byte, used int) {
	if s == "" {
		return 0, 0
	}
	if s[0] < '0' || s[0] > '9' {
		return s[0], 1
	}
	if len(s) < 3 {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[:3], 10, 8)
	if err != nil {
		return 0, 0
	}
	return byte(v), 3
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// parent returns the name without its first label. The root is its own parent.
func (n name) parent() name {
	if n == root {
		return root
	}
	return n[1+int(n[0]):]
}

// label returns the first label without its length.
func (n name) label() string { return string(n[1 : 1+int(n[0])]) }

// labels counts labels, without the root's.
func (n name) labels() int {
	count := 0
	for n != root {
		n, count = n.parent(), count+1
	}
	return count
}

// suffix returns the last so many labels.
func (n name) suffix(labels int) name {
	for skip := n.labels() - labels; skip > 0; skip-- {
		n = n.parent()
	}
	return n
}

// within reports whether n is at or below p.
func (n name) within(p name) bool {
	for len(n) > len(p) {
		n = n.parent()
	}
	return n == p
}

func (n name) below(p name) bool { return n != p && n.within(p) }

func (n name) isWildcard() bool { return len(n) > 2 && n[0] == 1 && n[1] == '*' }

// wildcard returns the wildcard directly below n, or "" if there is no room.
func (n name) wildcard() name {
	if len(n)+2 > 255 {
		return ""
	}
	return "\x01*" + n
}

// compare orders names as RFC 4034 section 6.1 does.
func (n name) compare(m name) int {
	var a, b [128]uint8
	i, j := n.offsets(&a), m.offsets(&b)
	for i > 0 && j > 0 {
		i, j = i-1, j-1
		if c := strings.Compare(n[a[i]:].label(), m[b[j]:].label()); c != 0 {
			return c
		}
	}
	return i - j
}

func (n name) offsets(off *[128]uint8) int {
	count, at := 0, 0
	for n[at] != 0 {
		off[count] = uint8(at)
		at, count = at+1+int(n[at]), count+1
	}
	return count
}

// common returns the deepest name at or above both.
func (n name) common(m name) name {
	for !n.within(m) {
		m = m.parent()
	}
	return m
}

// downFrom lists the names from just below top down to n.
func (n name) downFrom(top name) []name {
	count := n.labels() - top.labels()
	if count <= 0 {
		return nil
	}
	list := make([]name, count)
	for i := count - 1; i >= 0; i-- {
		list[i], n = n, n.parent()
	}
	return list
}

// String returns presentation form, fully qualified.
func (n name) String() string {
	if n == root || n == "" {
		return "."
	}
	var b strings.Builder
	for ; n != root; n = n.parent() {
		for _, c := range []byte(n.label()) {
			switch {
			case strings.IndexByte(`."\;()@$ '`, c) >= 0:
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < '!' || c > '~':
				b.WriteString("\\" + string([]byte{'0' + c/100, '0' + c/10%10, '0' + c%10}))
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('.')
	}
	return b.String()
}
