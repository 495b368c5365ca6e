package iotsafe

import (
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/apdu"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

const (
	maxChannel  = 19
	closeOne    = 0x80
	selectByAID = 0x04
)

// selectApplet opens a logical channel and selects the applet there. Without
// channels, and for applets that want to be alone, it takes the basic one.
func (c *Client) selectApplet(ctx context.Context) error {
	channel, err := c.openChannel(ctx)
	if err != nil {
		return err
	}
	err = c.selectOn(ctx, channel)
	if err == nil || channel == 0 || ctx.Err() != nil {
		return err
	}
	c.closeChannel(ctx)
	if errors.Is(err, ErrNoApplet) && c.selectOn(ctx, 0) == nil {
		return nil
	}
	return err
}

// selectAgain does the same on a card that may have lost its channels, or not.
func (c *Client) selectAgain(ctx context.Context) error {
	c.closeChannel(ctx)
	return c.selectApplet(ctx)
}

// openChannel returns 0 where there are no channels but the basic one.
func (c *Client) openChannel(ctx context.Context) (int, error) {
	r, err := c.send(ctx, c.opts.Timeout, "open a logical channel", apdu.Command{INS: words.INSManageChannel, Le: 1})
	channel := 0
	switch {
	case ctx.Err() != nil, fatal(err):
		return 0, err
	case err == nil && len(r.Data) == 1 && r.Data[0] <= maxChannel:
		channel = int(r.Data[0])
	}
	c.learned(func(q *Quirks) { q.Channel = channel })
	return channel, nil
}

func (c *Client) selectOn(ctx context.Context, channel int) error {
	c.learned(func(q *Quirks) { q.Channel, q.AID = channel, nil })
	var last error
	for _, aid := range c.opts.AIDs {
		cmd := apdu.Command{CLA: channelClass(0, channel), INS: words.INSSelect, P1: selectByAID, Data: aid}
		_, err := c.send(ctx, c.opts.Timeout, "SELECT", cmd)
		if isStatus(err, apdu.WrongLength) { // wants to be told that an answer may come
			cmd.Le = anyLength
			_, err = c.send(ctx, c.opts.Timeout, "SELECT", cmd)
		}
		if err == nil || isStatus(err, apdu.OKAdminDone) {
			c.learned(func(q *Quirks) { q.AID = aid })
			return nil
		}
		if status(err) == 0 {
			return err
		}
		last = err
	}
	return fmt.Errorf("%w (%d tried: %w)", ErrNoApplet, len(c.opts.AIDs), last)
}

// closeChannel gives the channel back, also where ctx has ended. A card that was
// reset has closed it already, so the answer does not matter.
func (c *Client) closeChannel(ctx context.Context) {
	channel := c.Quirks().Channel
	if channel == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	_, _ = c.send(ctx, cleanUp, "close a logical channel", apdu.Command{INS: words.INSManageChannel, P1: closeOne, P2: byte(channel)})
	c.learned(func(q *Quirks) { q.Channel = 0 })
}

// channelClass returns the class byte for a channel (ISO/IEC 7816-4 section
// 5.4.1, ETSI TS 102 221 section 10.1.1).
func channelClass(base byte, channel int) byte {
	if channel < 4 {
		return base | byte(channel)
	}
	return base | 0x40 | byte(channel-4)
}
