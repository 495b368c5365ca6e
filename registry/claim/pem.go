package claim

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"iter"
	"strings"
)

// maxBlock bounds the base64 of one PEM block, in bytes. A device's certificate
// has about 1,000.
const maxBlock = 64 << 10

// maxShown is how much of a wrong text gets into an error.
const maxShown = 40

// block is one PEM block (RFC 7468).
type block struct {
	line int    // of its BEGIN
	kind string // "CERTIFICATE"
	der  []byte
	err  error // wraps ErrPEM or ErrSecret; der is unusable then
}

// blocks returns those of a file in one pass, with a result for each BEGIN.
// Package encoding/pem would leave out the damaged ones and knows no lines.
// What stands between blocks is ignored: OpenSSL writes explanations there.
func blocks(text []byte) iter.Seq[block] {
	return func(yield func(block) bool) {
		var open bool
		var at block
		var body []byte
		line := 0
		for l := range bytes.Lines(bytes.TrimPrefix(text, []byte("\uFEFF"))) {
			line++
			l = bytes.TrimSpace(l)
			switch kind, begin, end := boundary(l); {
			case begin:
				if open && !yield(at.damaged("has no END")) {
					return
				}
				open, at, body = true, block{line: line, kind: kind}, body[:0]
			case end && open:
				open = false
				if !yield(at.close(kind, body)) {
					return
				}
			case open && len(body) <= maxBlock:
				body = append(body, l[:min(len(l), maxBlock+1)]...)
			}
		}
		if open {
			yield(at.damaged("has no END"))
		}
	}
}

// boundary returns the label of a line that begins or ends a block.
func boundary(line []byte) (kind string, begin, end bool) {
	s, ok := bytes.CutSuffix(line, []byte("-----"))
	if !ok {
		return "", false, false
	}
	if s, ok := bytes.CutPrefix(s, []byte("-----BEGIN ")); ok {
		return shown(s), true, false
	}
	s, end = bytes.CutPrefix(s, []byte("-----END "))
	return shown(s), false, end
}

func shown(s []byte) string { return string(s[:min(len(s), maxShown)]) }

// close decodes the block. RFC 7468 allows no headers, and those of OpenSSL's
// old key files are no base64.
func (b block) close(end string, body []byte) block {
	switch {
	case strings.HasSuffix(b.kind, "PRIVATE KEY"):
		b.err = ErrSecret
		return b
	case end != b.kind:
		return b.damaged(fmt.Sprintf("begins as %q and ends as %q", b.kind, end))
	case len(body) > maxBlock:
		return b.damaged(fmt.Sprintf("has more than %d bytes", maxBlock))
	}
	der, err := base64.StdEncoding.AppendDecode(nil, body)
	if err != nil {
		return b.damaged("is not in base64")
	}
	b.der = der
	return b
}

func (b block) damaged(how string) block {
	b.err = fmt.Errorf("%w: it %s", ErrPEM, how)
	return b
}
