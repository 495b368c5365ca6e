package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// lineReader reads lines of bounded length.
type lineReader struct {
	r      *bufio.Reader
	long   []byte // a line that did not fit the reader's buffer, kept for the next
	max    int
	number int // of the line read last, from 1
}

func newLineReader(r io.Reader, limit int) *lineReader {
	if limit <= 0 || limit > MaxLine {
		limit = MaxLine
	}
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10), max: limit}
}

// next returns the next line without its end, valid until the next call, and
// io.EOF itself after the last.
func (l *lineReader) next() ([]byte, error) {
	l.number++
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.rest(line)
	}
	switch {
	case err == io.EOF && len(line) == 0:
		l.number--
		return nil, io.EOF
	case err == io.EOF: // the last line may lack its end
	case err != nil && !errors.Is(err, ErrTooLarge):
		return nil, fmt.Errorf("read: %w", err)
	case err != nil:
		return nil, err
	default:
		line = line[:len(line)-1]
	}
	if len(line) > l.max {
		return nil, ErrTooLarge
	}
	return line, nil
}

// rest completes a line of which start is the beginning.
func (l *lineReader) rest(start []byte) ([]byte, error) {
	l.long = append(l.long[:0], start...)
	for {
		part, err := l.r.ReadSlice('\n')
		l.long = append(l.long, part...)
		switch {
		case len(l.long) > l.max+1:
			return nil, ErrTooLarge
		case !errors.Is(err, bufio.ErrBufferFull):
			return l.long, err
		}
	}
}
