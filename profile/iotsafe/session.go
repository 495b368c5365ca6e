package iotsafe

import (
	"context"

	"github.com/iotregistry/sdk/internal/apdu"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// session carries out a command that has an Init, an update and a close. After the
// last block most cards have closed the session already; then, and unless always,
// the close is left out, since each command costs a tenth of a second.
func (c *Client) session(ctx context.Context, name string, init byte, data []byte, always bool, update func(session byte) error) error {
	if err := c.beginSession(ctx, name, init, data); err != nil {
		return err
	}
	q := c.Quirks()
	err := update(q.Session)
	if err != nil || always || q.CloseSessions {
		c.endSession(ctx, name, init, q.Session)
	}
	return err
}

// beginSession sends the Init. The session's number is 0 on some cards and at least
// 1 on others, and a session may still be open.
func (c *Client) beginSession(ctx context.Context, name string, init byte, data []byte) error {
	open := func() error {
		_, err := c.exec(ctx, name+" INIT", apdu.Command{INS: init, P1: words.P1Open, P2: c.Quirks().Session, Data: data})
		return err
	}
	err := open()
	if isStatus(err, apdu.WrongP1P2) && c.Quirks().Session == 0 {
		c.learned(func(q *Quirks) { q.Session = 1 })
		if err = open(); isStatus(err, apdu.WrongP1P2) {
			c.learned(func(q *Quirks) { q.Session = 0 })
		}
	}
	if isStatus(err, apdu.ConditionsNotMet) && !c.Quirks().CloseSessions {
		c.endSession(ctx, name, init, c.Quirks().Session)
		if again := open(); again == nil {
			c.learned(func(q *Quirks) { q.CloseSessions = true })
			return nil
		}
	}
	return err
}

// endSession closes a session, also where ctx has ended. It does not matter if it
// was closed already.
func (c *Client) endSession(ctx context.Context, name string, init, session byte) {
	cmd := apdu.Command{CLA: c.Quirks().class(), INS: init, P1: words.P1Close, P2: session, Le: anyLength}
	_, _ = c.send(context.WithoutCancel(ctx), cleanUp, name+" close", cmd)
}
