package atcsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	readSize = 4096
	maxLine  = 4096      // characters; longer ones are no answer
	maxInput = 256 << 10 // characters for one command, whatever they are
)

// deadliner is what files of terminals and connections can do.
type deadliner interface{ SetReadDeadline(time.Time) error }

// pump reads from r until it fails, so that others can wait for what comes with a
// context.
type pump struct {
	r      io.Reader
	blocks chan []byte
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
	err    error // why reading ended; after done
}

func newPump(r io.Reader) *pump {
	p := &pump{r: r, blocks: make(chan []byte), stop: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *pump) run() {
	defer close(p.done)
	idle := 0
	for {
		b := make([]byte, readSize)
		n, err := p.r.Read(b)
		if n > 0 {
			idle = 0
			select {
			case p.blocks <- b[:n]:
			case <-p.stop:
				return
			}
		}
		if idle++; err == nil && idle > readSize {
			err = io.ErrNoProgress
		}
		if err != nil {
			p.err = err
			return
		}
	}
}

// close ends the reading. Where the reader cannot be interrupted, its goroutine
// stays until the reader returns.
func (p *pump) close() {
	p.once.Do(func() { close(p.stop) })
	if d, ok := p.r.(deadliner); ok && d.SetReadDeadline(time.Unix(1, 0)) == nil {
		<-p.done
		_ = d.SetReadDeadline(time.Time{})
	}
}

var errClosed = errors.New("closed")

// next returns what came, or why nothing comes any more.
func (p *pump) next(ctx context.Context) ([]byte, error) {
	select {
	case b := <-p.blocks:
		return b, nil
	default:
	}
	select {
	case b := <-p.blocks:
		return b, nil
	case <-p.stop:
		return nil, errClosed
	case <-p.done:
		if p.err == nil {
			return nil, errClosed
		}
		return nil, fmt.Errorf("read: %w", p.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// splitter makes lines of what comes. Both ends of line count; empty lines do not.
type splitter struct {
	line []byte
	long bool // the line is too long and will be dropped
}

// feed returns the lines that b completes.
func (s *splitter) feed(b []byte) []string {
	var lines []string
	for _, c := range b {
		switch {
		case c == '\r' || c == '\n':
			if len(s.line) > 0 && !s.long {
				lines = append(lines, string(s.line))
			}
			s.line, s.long = s.line[:0], false
		case len(s.line) == maxLine:
			s.long = true
		default:
			s.line = append(s.line, c)
		}
	}
	return lines
}

// writer writes without keeping its caller waiting behind a device that does not
// take anything.
type writer struct {
	w     io.Writer
	turns chan struct{} // holds a token while nothing is being written
}

func newWriter(w io.Writer) *writer {
	x := &writer{w: w, turns: make(chan struct{}, 1)}
	x.turns <- struct{}{}
	return x
}

// write returns when b is written, or when ctx ends; then the rest of b goes out
// before anything else does.
func (x *writer) write(ctx context.Context, b []byte) error {
	select {
	case <-x.turns:
	case <-ctx.Done():
		return ctx.Err()
	}
	result := make(chan error, 1)
	go func() {
		_, err := x.w.Write(b)
		x.turns <- struct{}{}
		result <- err
	}()
	select {
	case err := <-result:
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
