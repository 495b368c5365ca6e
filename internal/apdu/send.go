package apdu

import (
	"context"
	"errors"
	"fmt"
)

// Bounds of one [Send].
const (
	maxResponse = 1 << 20 // bytes of response data in all
	maxRounds   = 1 << 12 // commands sent for one
	maxResized  = 2       // repetitions in a row with another Le
)

// ErrEndless means that a card's answer did not end within the bounds.
var ErrEndless = errors.New("apdu: the card's answer does not end")

// ErrTransmit means that the way to the card failed: the command was carried out
// or not. It wraps the transport's error.
var ErrTransmit = errors.New("apdu: transmit")

const (
	insGetResponse = 0xC0
	chaining       = 0x10 // class bit: more of the command follows (ISO/IEC 7816-4 section 5.4.1)
)

// Send has the card carry out c and collects its whole answer: on 61xx it asks
// for the rest by GET RESPONSE, in c's class and logical channel, on 6Cxx it
// repeats with the length the card names. The work is bounded.
//
// The error is the final [Status] where it is no success; the response is
// complete then too. Any other error means that no answer was had.
func Send(ctx context.Context, t Transport, c Command) (Response, error) {
	var data []byte
	resized := 0
	for range maxRounds {
		r, err := once(ctx, t, c)
		if err != nil {
			return Response{}, err
		}
		if len(data)+len(r.Data) > maxResponse {
			return Response{}, ErrEndless
		}
		data = append(data, r.Data...)
		switch length := int(r.SW & 0xFF); r.SW >> 8 {
		case 0x61:
			resized = 0
			c = Command{CLA: c.CLA &^ chaining, INS: insGetResponse, Le: anyOr(length)}
		case 0x6C:
			if resized++; resized > maxResized {
				return Response{}, ErrEndless
			}
			c.Le = anyOr(length)
		default:
			return Response{Data: data, SW: r.SW}, r.SW.Err()
		}
	}
	return Response{}, ErrEndless
}

func once(ctx context.Context, t Transport, c Command) (Response, error) {
	b, err := c.Marshal()
	if err != nil {
		return Response{}, err
	}
	if err := ctx.Err(); err != nil {
		return Response{}, fmt.Errorf("apdu: %w", err)
	}
	if b, err = t.Transmit(ctx, b); err != nil {
		return Response{}, fmt.Errorf("%w: %w", ErrTransmit, err)
	}
	return ParseResponse(b)
}

// anyOr reads the length byte of 61xx and 6Cxx: 00 is 256 or more.
func anyOr(length int) int {
	if length == 0 {
		return 256
	}
	return length
}
