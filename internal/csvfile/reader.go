package csvfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// reader reads the records of a CSV file (RFC 4180 section 2). Package
// encoding/csv would keep a cell of any size in memory, and let a quotation
// mark that is never closed swallow the rest of the file; here the line after
// a wrong record is read as a new one.
type reader struct {
	r     *bufio.Reader
	err   error // of the reader, once it has failed or ended
	line  int   // of the next record
	cells [][]byte
}

func newReader(r io.Reader, limit int64) *reader {
	c := &reader{r: bufio.NewReaderSize(&limitedReader{r, limit}, 4*maxRecord), line: 1}
	if b, _ := c.window(); bytes.HasPrefix(b, []byte("\uFEFF")) {
		_, _ = c.r.Discard(len("\uFEFF"))
	}
	return c
}

// limitedReader fails with ErrTooLarge instead of reading more than left bytes.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		l.left = 0
		return n - 1, fmt.Errorf("%w: too many bytes", ErrTooLarge)
	}
	return n, err
}

// window returns what can be seen of the file, maxRecord bytes at most, and
// whether that is all there will ever be.
func (c *reader) window() (b []byte, all bool) {
	n := maxRecord
	if c.err != nil {
		n = min(n, c.r.Buffered())
	}
	b, err := c.r.Peek(n)
	if c.err == nil {
		c.err = err
	}
	return b, c.err != nil && len(b) == c.r.Buffered()
}

// record returns the cells of the next record, valid until the next call. With
// wrong the record is unusable and the one after it can be read; err, which may
// be io.EOF, is the end.
func (c *reader) record() (cells [][]byte, wrong, err error) {
	b, all := c.window()
	if len(b) == 0 {
		return nil, nil, c.err
	}
	atEOF := all && errors.Is(c.err, io.EOF)
	c.cells = c.cells[:0]
	for rest, last := b, false; !last; {
		var cell []byte
		cell, rest, last, err = cutCell(rest, atEOF)
		switch {
		case errors.Is(err, errShort) && all && !atEOF:
			return nil, nil, c.err
		case err != nil:
			return nil, c.skip(b, err), nil
		case last:
			c.advance(b[:len(b)-len(rest)])
		}
		c.cells = append(c.cells, cell)
	}
	return c.cells, nil, nil
}

// skip goes to the line after the one that b begins with and returns what is
// wrong with it.
func (c *reader) skip(b []byte, err error) error {
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		c.advance(b[:end+1])
		return ErrQuote
	}
	c.advance(b)
	if !errors.Is(err, errShort) || len(b) < maxRecord {
		return c.skipLine(ErrQuote)
	}
	return c.skipLine(fmt.Errorf("%w: it has more than %d bytes", ErrCell, maxRecord))
}

// skipLine discards the rest of a line of any length and returns reason.
func (c *reader) skipLine(reason error) error {
	for {
		_, err := c.r.ReadSlice('\n')
		switch {
		case err == nil:
			c.line++
			return reason
		case !errors.Is(err, bufio.ErrBufferFull):
			if c.err == nil {
				c.err = err
			}
			return reason
		}
	}
}

func (c *reader) advance(b []byte) {
	c.line += bytes.Count(b, []byte("\n"))
	_, _ = c.r.Discard(len(b)) // b is buffered
}

// errShort means that a cell does not end in what can be seen.
var errShort = errors.New("cell is cut off")

// cutCell returns the first cell of b, what follows it, and whether it is the
// last of its record. At the end of the file a record needs no line end.
func cutCell(b []byte, atEOF bool) (cell, rest []byte, last bool, err error) {
	if len(b) > 0 && b[0] == '"' {
		if cell, rest, err = cutQuoted(b[1:]); err != nil {
			return nil, nil, false, err
		}
		rest = bytes.TrimLeft(rest, " \t\r")
	} else {
		end := bytes.IndexAny(b, ",\n\"")
		if end < 0 {
			end = len(b)
		}
		cell, rest = b[:end], b[end:]
	}
	switch {
	case len(rest) == 0 && atEOF:
		return cell, nil, true, nil
	case len(rest) == 0:
		return nil, nil, false, errShort
	case rest[0] == ',':
		return cell, rest[1:], false, nil
	case rest[0] == '\n':
		return cell, rest[1:], true, nil
	}
	return nil, nil, false, ErrQuote
}

// cutQuoted returns the text up to the quotation mark that closes it, two being
// one that does not.
func cutQuoted(b []byte) (text, rest []byte, err error) {
	for i := 0; ; i += 2 {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return nil, nil, errShort
		}
		if i += n; i+1 == len(b) || b[i+1] != '"' {
			return bytes.ReplaceAll(b[:i], []byte(`""`), []byte(`"`)), b[i+1:], nil
		}
	}
}
