package iotsafe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

const (
	derSequence = 0x30
	headerRead  = 4  // bytes that tell how long a certificate is
	spareReads  = 16 // beyond what a file of the largest size takes in the smallest pieces
)

// ReadFile returns a file's contents. A file that begins as a DER SEQUENCE or as a
// JSON object ends where that ends, whatever the card has behind it; any other has
// the size that the card tells, or goes on until the card has no more.
//
// A file of padding alone is ErrNotFound. One that ends too early is ErrMalformed,
// one that does not end within Options.MaxFile is ErrTooLarge.
func (c *Client) ReadFile(ctx context.Context, name Name) (data []byte, err error) {
	err = c.converse(ctx, true, func(ctx context.Context) error {
		data, err = c.readFile(ctx, name)
		return err
	})
	return data, err
}

// reading is a file that is being read.
type reading struct {
	name  Name
	data  []byte
	end   int  // where it ends; -1 where that is not known
	own   bool // it says itself where it ends
	plain bool // it only looked as if it did
	asked bool // the card was asked for the size
}

func (c *Client) readFile(ctx context.Context, name Name) ([]byte, error) {
	f := &reading{name: name, end: -1}
	for reads := 0; f.end < 0 || len(f.data) < f.end; reads++ {
		if reads > c.opts.MaxFile/smallestChunk+spareReads {
			return nil, malformed("READ FILE", "%v comes in too small pieces", name)
		}
		if f.end > c.opts.MaxFile || len(f.data) >= c.opts.MaxFile {
			return nil, fmt.Errorf("%w: %v", ErrTooLarge, name)
		}
		more, err := c.readMore(ctx, f)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	return c.finish(f)
}

// readMore reads on and looks for the end in what is there. It reports whether the
// card had anything more.
func (c *Client) readMore(ctx context.Context, f *reading) (bool, error) {
	want := c.Quirks().Chunk
	if f.end >= 0 {
		want = min(want, f.end-len(f.data))
	}
	part, err := c.readPart(ctx, f.name, len(f.data), want)
	if isStatus(err, apdu.WrongLength, apdu.WrongP1P2, swWrongOffset) && len(f.data) == 0 {
		// A card that gives all or nothing: ask for what there is.
		if err := c.askSize(ctx, f); err != nil {
			return false, err
		}
		want = headerRead
		if f.end >= 0 {
			want = min(c.Quirks().Chunk, f.end)
		}
		part, err = c.readPart(ctx, f.name, 0, want)
	}
	switch {
	case err != nil && len(f.data) > 0 && isPastEnd(err):
		return false, nil
	case err != nil:
		return false, err
	}
	f.data = append(f.data, part...)
	if f.lookForEnd() {
		if err := c.askSize(ctx, f); err != nil {
			return false, err
		}
	}
	return len(part) > 0, nil
}

// lookForEnd looks whether what is there says where it ends, and reports whether
// the card should be asked for it. Text may begin with a 0, which is the tag of a
// SEQUENCE: what is complete has to be one.
func (f *reading) lookForEnd() (ask bool) {
	if end, ok := ownEnd(f.data); ok && !f.plain {
		f.end, f.own = end, true
		if f.data[0] == derSequence && len(f.data) >= end {
			if _, err := bertlv.Parse(f.data[:end]); err != nil {
				f.end, f.own, f.plain = -1, false, true
			}
		}
	}
	return len(f.data) >= headerRead && !f.own && (f.plain || !mayEnd(f.data))
}

// readPart reads once.
func (c *Client) readPart(ctx context.Context, name Name, offset, want int) ([]byte, error) {
	which, err := c.encode(name, File)
	if err != nil {
		return nil, err
	}
	r, err := c.inChunks(func(chunk int) (apdu.Response, error) {
		return c.exec(ctx, "READ FILE", apdu.Command{
			INS: words.INSReadFile, P1: byte(offset >> 8), P2: byte(offset), Data: which, Le: min(want, chunk),
		})
	})
	if isStatus(err, swEndOfFile, apdu.MoreData) {
		err = nil
	}
	return r.Data, err
}

// isPastEnd reports how cards answer to a READ FILE that begins behind the end.
func isPastEnd(err error) bool {
	return isStatus(err, apdu.WrongP1P2, swWrongOffset, apdu.NotFound, apdu.WrongData, apdu.WrongLength)
}

// askSize asks the card once how long the file is, if it can tell.
func (c *Client) askSize(ctx context.Context, f *reading) error {
	if f.asked || c.Quirks().NoObjectData {
		return nil
	}
	f.asked = true
	o, err := c.find(ctx, File, f.name)
	if err != nil {
		if status(err) != 0 && !errors.Is(err, ErrChanged) || errors.Is(err, ErrMalformed) || errors.Is(err, ErrNotFound) {
			return nil // it cannot
		}
		return err
	}
	size := o.Size
	if swapped := size>>8 | size&0xFF<<8; size > c.opts.MaxFile && swapped <= c.opts.MaxFile {
		size = swapped // little endian, as Orange's library has it
	}
	if size >= len(f.data) && size > 0 {
		f.end = size
	}
	return nil
}

// finish cuts off what is no contents.
func (c *Client) finish(f *reading) ([]byte, error) {
	blank := len(bytes.Trim(f.data, "\x00")) == 0 || len(bytes.Trim(f.data, "\xFF")) == 0
	switch {
	case blank:
		return nil, fmt.Errorf("%w: %v is empty", ErrNotFound, f.name)
	case f.end > len(f.data), !f.own && !f.plain && mayEnd(f.data):
		return nil, malformed("READ FILE", "%v ends after %d bytes, in the middle", f.name, len(f.data))
	case f.end < 0:
		return f.data, nil
	}
	if f.own && len(f.data) > f.end {
		c.learned(func(q *Quirks) { q.PaddedFiles = true })
	}
	return f.data[:f.end:f.end], nil
}

// ownEnd returns where data says that it ends.
func ownEnd(data []byte) (end int, ok bool) {
	if len(data) == 0 {
		return 0, false
	}
	switch data[0] {
	case derSequence:
		return derEnd(data)
	case '{':
		d := json.NewDecoder(bytes.NewReader(data))
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return 0, false
		}
		return int(d.InputOffset()), true
	}
	return 0, false
}

// derEnd reads the length of an object without having all of it.
func derEnd(data []byte) (int, bool) {
	if len(data) < 2 {
		return 0, false
	}
	if data[1] < 0x80 {
		return 2 + int(data[1]), true
	}
	n := int(data[1] & 0x7F)
	if n == 0 || n > 3 || len(data) < 2+n {
		return 0, false
	}
	length := 0
	for _, b := range data[2 : 2+n] {
		length = length<<8 | int(b)
	}
	return 2 + n + length, true
}

// mayEnd reports whether data has begun as something that says where it ends, and
// has not got there.
func mayEnd(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	if data[0] == '{' {
		return unfinished(data)
	}
	return data[0] == derSequence && len(data) < headerRead
}

// unfinished reports whether a JSON object lacks only its end.
func unfinished(data []byte) bool {
	var v json.RawMessage
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&v)
	return errors.Is(err, io.ErrUnexpectedEOF)
}
