package publish

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Names are handled as uncompressed lower-case wire form, and kept in a zone
// under keys: the labels below the origin from the top down, each escaped and
// ended by a zero octet. Keys compare as octet strings in the canonical order
// of RFC 4034 s6.1, and the key of a name is a prefix of the keys of all names
// below it.

const (
	maxName   = 255
	maxLabels = 128
)

// packName returns the lower-case wire form of a domain name in text.
func packName(name string) ([]byte, error) {
	var buf [maxName + 1]byte
	n, err := dns.PackDomainName(dns.Fqdn(name), buf[:], 0, nil, false)
	if err != nil || n > maxName {
		return nil, fmt.Errorf("publish: %q is no domain name", name)
	}
	wire := bytes.Clone(buf[:n])
	lower(wire)
	return wire, nil
}

// nameText returns the text form of a wire name.
func nameText(wire []byte) string {
	s, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return "?"
	}
	return s
}

// lower maps ASCII letters in place. Length octets are below 'A', so it may
// run over a whole wire name.
func lower(wire []byte) {
	for i, c := range wire {
		if 'A' <= c && c <= 'Z' {
			wire[i] = c + 'a' - 'A'
		}
	}
}

// nameEnd returns the offset behind the uncompressed name at off, or -1.
func nameEnd(msg []byte, off int) int {
	for start := off; off < len(msg) && off-start < maxName; {
		n := int(msg[off])
		switch {
		case n == 0:
			return off + 1
		case n > 63:
			return -1
		}
		off += n + 1
	}
	return -1
}

// labelStarts appends the offset of every label of a valid wire name, root
// excluded.
func labelStarts(starts []int, wire []byte) []int {
	for off := 0; wire[off] != 0; off += int(wire[off]) + 1 {
		starts = append(starts, off)
	}
	return starts
}

// signedLabels counts the labels of an owner as RRSIG does: without the root
// and without a leading asterisk (RFC 4034 s3.1.3).
func signedLabels(wire []byte) uint8 {
	var n uint8
	for off := 0; wire[off] != 0; off += int(wire[off]) + 1 {
		n++
	}
	if isWildcard(wire) {
		n--
	}
	return n
}

func isWildcard(wire []byte) bool {
	return len(wire) > 2 && wire[0] == 1 && wire[1] == '*'
}

// below reports whether wire is at or below origin, and how long the part
// above the origin is.
func below(wire, origin []byte) (int, bool) {
	cut := len(wire) - len(origin)
	if cut < 0 || !bytes.Equal(wire[cut:], origin) {
		return 0, false
	}
	off := 0
	for off < cut {
		off += int(wire[off]) + 1
	}
	return cut, off == cut
}

// relativeKey returns the key of the labels in rel: the part of a wire name
// that stands before the origin.
func relativeKey(rel []byte) string {
	if len(rel) == 0 {
		return ""
	}
	var starts [maxLabels]int
	n := 0
	for off := 0; off < len(rel); off += int(rel[off]) + 1 {
		starts[n] = off
		n++
	}
	var buf [2 * maxName]byte
	key := buf[:0]
	for n--; n >= 0; n-- {
		label := rel[starts[n]+1 : starts[n]+1+int(rel[starts[n]])]
		for _, c := range label {
			if c <= 1 {
				key = append(key, 1)
				c++
			}
			key = append(key, c)
		}
		key = append(key, 0)
	}
	return string(key)
}

// appendOwner appends the wire name of a key: the inverse of relativeKey.
func appendOwner(dst []byte, key string, origin []byte) []byte {
	for end := len(key); end > 0; {
		start := strings.LastIndexByte(key[:end-1], 0) + 1
		at := len(dst)
		dst = append(dst, 0)
		for i := start; i < end-1; i++ {
			c := key[i]
			if c == 1 {
				i++
				c = key[i] - 1
			}
			dst = append(dst, c)
		}
		dst[at] = byte(len(dst) - at - 1)
		end = start
	}
	return append(dst, origin...)
}

// commonKey returns the key of the deepest name at or above both a and b.
func commonKey(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:strings.LastIndexByte(a[:n], 0)+1]
}

// parentKeys yields the keys of every name above key, the origin first.
func parentKeys(key string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i < len(key); {
			if !yield(key[:i]) {
				return
			}
			i += strings.IndexByte(key[i:], 0) + 1
		}
	}
}

// afterKey returns the least string above every key with the given prefix,
// which must be the key of a name below the origin.
func afterKey(key string) string { return key[:len(key)-1] + "\x01" }
