package iotsafe

import (
	"bytes"
	"context"
	"io"

	"github.com/iotregistry/sdk/internal/apdu"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

const (
	minRandom = 8       // bytes: fewer could be zeros, or what they were before, by chance
	maxRandom = 1 << 16 // bytes of one call
)

// Random returns n random bytes from the card, at most 65536. A card that answers
// large requests with zeros is asked for less; one that gives nothing else, or the
// same bytes twice, is ErrRandom.
func (c *Client) Random(ctx context.Context, n int) (b []byte, err error) {
	if n < 0 || n > maxRandom {
		return nil, invalid("between 0 and %d random bytes can be asked for", maxRandom)
	}
	err = c.converse(ctx, true, func(ctx context.Context) error {
		b = make([]byte, 0, n)
		for len(b) < n {
			part, err := c.random(ctx, n-len(b))
			if err != nil {
				return err
			}
			b = append(b, part[:min(len(part), n-len(b))]...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// random asks once for about n bytes, then for fewer for as long as the answer is
// not random.
func (c *Client) random(ctx context.Context, n int) ([]byte, error) {
	for {
		q := c.Quirks()
		ask := max(min(n, q.Chunk, or(q.MaxRandom, DefaultChunk)), minRandom)
		r, err := c.inChunks(func(chunk int) (apdu.Response, error) {
			ask = min(ask, chunk)
			return c.exec(ctx, "GET RANDOM", apdu.Command{INS: words.INSGetRandom, Le: ask})
		})
		if isStatus(err, apdu.MoreData) && len(r.Data) > 0 { // as Thales' card says "done"
			err = nil
		}
		switch {
		case isStatus(err, apdu.WrongLength, apdu.WrongData, apdu.WrongP1P2) && ask > minRandom: // too many at once
		case err != nil:
			return nil, err
		case len(r.Data) < minRandom:
			return nil, malformed("GET RANDOM", "%d bytes instead of %d", len(r.Data), ask)
		case isRandom(r.Data) && !bytes.Equal(r.Data, c.lastRandom):
			c.lastRandom = bytes.Clone(r.Data)
			return r.Data, nil
		case ask == minRandom:
			return nil, ErrRandom
		}
		c.learned(func(q *Quirks) { q.MaxRandom = max(ask/2, minRandom) })
	}
}

// isRandom reports whether b has no run of zeros that chance would not make within
// the lifetime of a card.
func isRandom(b []byte) bool {
	return !bytes.Contains(b, make([]byte, minRandom))
}

// RandomReader returns the card's random bytes as a reader, under Options.Context.
// It is slow: one read of 255 bytes may take a second.
func (c *Client) RandomReader() io.Reader { return randomReader{c} }

type randomReader struct{ c *Client }

// Read fills p.
func (r randomReader) Read(p []byte) (int, error) {
	b, err := r.c.Random(r.c.opts.Context(), min(len(p), maxRandom))
	return copy(p, b), err
}
