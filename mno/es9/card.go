package es9

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// Transport carries one command APDU to the eUICC and its response back, status
// word included. Implementations: a modem's AT+CSIM, a card reader, a simulator.
type Transport interface {
	// Transmit returns the card's response; its error means that there was none.
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
}

// DefaultChunk is how many bytes of a command go into one STORE DATA.
const DefaultChunk = 120

const (
	insManageChannel = 0x70
	insSelect        = 0xA4
	insStoreData     = 0xE2
	p1More, p1Last   = 0x11, 0x91
	maxChannel       = 19
	maxChunk         = 255
	cleanUp          = 30 * time.Second // for what is left to do once a context has ended
)

// isdR is the application that all functions of ES10 go to.
func isdR() []byte {
	return []byte{0xA0, 0, 0, 5, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 1, 0}
}

// CardError says that the eUICC did not do what a function of ES10 asks for.
type CardError struct {
	Function string // such as "AuthenticateServer"
	Reason   string // in SGP.22's words; empty where there is none
	Err      error  // what happened where there is no reason
}

// Error gives the function and why it failed.
func (e *CardError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("es9: eUICC: %s: %v", e.Function, e.Err)
	}
	return fmt.Sprintf("es9: eUICC: %s: %s", e.Function, e.Reason)
}

// Unwrap returns the cause.
func (e *CardError) Unwrap() error { return e.Err }

// channel is a logical channel of the card on which the ISD-R is selected.
type channel struct {
	card   Transport
	number byte
	chunk  int
}

// class returns the class byte for the channel (ISO/IEC 7816-4 section 5.4.1).
func (c *channel) class(base byte) byte {
	if c.number < 4 {
		return base | c.number
	}
	return base | 0x40 | (c.number - 4)
}

// openChannel opens a logical channel and selects the ISD-R there.
func openChannel(ctx context.Context, card Transport, chunk int) (*channel, error) {
	if card == nil {
		return nil, errors.New("es9: set Card of the LPA")
	}
	if chunk == 0 {
		chunk = DefaultChunk
	}
	if chunk < 0 || chunk > maxChunk {
		return nil, fmt.Errorf("es9: Chunk of the LPA is 1 to %d bytes", maxChunk)
	}
	r, err := apdu.Send(ctx, card, apdu.Command{INS: insManageChannel, Le: 1})
	if err != nil {
		return nil, &CardError{Function: "open a logical channel", Err: err}
	}
	if len(r.Data) != 1 || r.Data[0] == 0 || r.Data[0] > maxChannel {
		return nil, &CardError{Function: "open a logical channel", Err: errors.New("the answer is no channel number")}
	}
	c := &channel{card: card, number: r.Data[0], chunk: chunk}
	if _, err := apdu.Send(ctx, card, apdu.Command{CLA: c.class(0), INS: insSelect, P1: 4, Data: isdR()}); err != nil {
		c.close(ctx)
		return nil, &CardError{Function: "select the ISD-R", Err: err}
	}
	return c, nil
}

// close gives the channel back, also where ctx has ended. A card that was reset
// has closed it already, so the answer does not matter.
func (c *channel) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	_, _ = apdu.Send(ctx, c.card, apdu.Command{INS: insManageChannel, P1: 0x80, P2: c.number})
}

// store sends data by STORE DATA in as many blocks as it needs and returns the
// answer to the last one (SGP.22 section 5.7.2).
func (c *channel) store(ctx context.Context, data []byte) ([]byte, error) {
	for n := 0; ; n++ {
		block := data[:min(c.chunk, len(data))]
		data = data[len(block):]
		cmd := apdu.Command{CLA: c.class(0x80), INS: insStoreData, P1: p1More, P2: byte(n), Data: block}
		if len(data) == 0 {
			cmd.P1 = p1Last
		}
		r, err := apdu.Send(ctx, c.card, cmd)
		switch {
		case err != nil:
			return nil, err
		case len(data) == 0:
			return r.Data, nil
		case len(r.Data) > 0:
			return nil, errors.New("answer to a block that was not the last")
		}
	}
}

// function10 has the eUICC carry out req and decodes its answer.
func function10[T any, P interface {
	*T
	rsp.Message
}](ctx context.Context, c *channel, name string, req rsp.Message) (*T, error) {
	b, err := rsp.Encode(req)
	if err != nil {
		return nil, &CardError{Function: name, Err: err}
	}
	answer, err := c.store(ctx, b)
	if err != nil {
		return nil, &CardError{Function: name, Err: err}
	}
	v, err := rsp.Decode[T, P](answer)
	if err != nil {
		return nil, &CardError{Function: name, Err: err}
	}
	return v, nil
}

// object has the eUICC carry out a request that was put together from parts, and
// returns its answer as it came, an object with this tag. What an eUICC signs for
// a server is for the server to understand.
func (c *channel) object(ctx context.Context, name string, req []byte, tag bertlv.Tag) (bertlv.TLV, error) {
	answer, err := c.store(ctx, req)
	if err != nil {
		return bertlv.TLV{}, &CardError{Function: name, Err: err}
	}
	t, err := bertlv.Parse(answer)
	if err == nil && t.Tag != tag {
		err = fmt.Errorf("answer with tag %v instead of %v", t.Tag, tag)
	}
	if err == nil && len(answer) > rsp.MaxMessage {
		err = fmt.Errorf("answer of %d bytes", len(answer))
	}
	if err != nil {
		return bertlv.TLV{}, &CardError{Function: name, Err: err}
	}
	return t, nil
}

// accepted reports whether an answer is the first of the two that the functions
// of a download have: the eUICC's consent, or its refusal.
func accepted(t bertlv.TLV) bool {
	_, err := t.Find(tagSuccess)
	return err == nil
}
