package iotsafe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/internal/apdu"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

const (
	anyLength     = 256 // Le of commands whose answer's length is the card's matter
	smallestChunk = 16
	cleanUp       = 5 * time.Second // for what is left to do once a context has ended
	maxWait       = 5 * time.Second
	maxRounds     = 64 // commands that one may take with all its GET RESPONSEs
	insResponse   = words.INSGetResponse
	chainMask     = 0x80 // proprietary class
)

// harmless says whether a conversation may be repeated.
type harmless bool

// converse has f speak to the card while nobody else does. Where that is harmless,
// it is repeated after answers that got lost, and from the selection of the applet
// on after a reset of the card.
//
// Afterwards Options.OnChange hears whether the card spoke of a change.
func (c *Client) converse(ctx context.Context, repeat harmless, f func(context.Context) error) error {
	before := c.changeCount()
	err := c.quietly(ctx, repeat, f)
	if c.opts.OnChange != nil && c.changeCount() != before {
		c.opts.OnChange()
	}
	return err
}

// quietly is converse for those who deal with changes themselves.
func (c *Client) quietly(ctx context.Context, repeat harmless, f func(context.Context) error) error {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return fmt.Errorf("iotsafe: waiting for the card: %w", ctx.Err())
	}
	defer func() { c.turn <- struct{}{} }()
	return c.attempts(ctx, repeat, f)
}

func (c *Client) attempts(ctx context.Context, repeat harmless, f func(context.Context) error) error {
	if c.closed {
		return ErrClosed
	}
	wait, selected := c.opts.Wait, false
	for n := 0; ; {
		err := f(ctx)
		switch {
		case err == nil, ctx.Err() != nil:
			return err
		case !selected && isLost(err):
			selected = true
			if again := c.selectAgain(ctx); again != nil {
				return errors.Join(err, again)
			}
			if status(err) == 0 && !bool(repeat) {
				return err // nobody knows whether it was carried out
			}
		case !bool(repeat), n >= c.opts.Retries, !passing(err), c.opts.Sleep(ctx, wait) != nil:
			return err
		default:
			n, wait = n+1, min(2*wait, maxWait)
		}
	}
}

// patiently repeats one harmless step while the client is being opened.
func (c *Client) patiently(ctx context.Context, step func() error) error {
	wait := c.opts.Wait
	for n := 0; ; n++ {
		err := step()
		if err == nil || ctx.Err() != nil || n >= c.opts.Retries || !passing(err) || c.opts.Sleep(ctx, wait) != nil {
			return err
		}
		wait = min(2*wait, maxWait)
	}
}

// isLost reports whether the card may have forgotten channel and selection, as
// after a reset. Cards then answer as if they had never heard of the applet.
func isLost(err error) bool {
	return errors.Is(err, ErrCardReset) ||
		isStatus(err, swNoChannel, swNotSelected, apdu.ConditionsNotMet, apdu.WrongINS, apdu.WrongCLA)
}

// passing reports whether what failed might work when it is repeated: answers that
// got lost or were spoilt on their way, but no refusals.
func passing(err error) bool {
	for _, final := range []error{ErrCardRemoved, ErrNoApplet, ErrArgument, ErrNotFound, ErrTooLarge, ErrRandom} {
		if errors.Is(err, final) {
			return false
		}
	}
	return status(err) == 0
}

// exec has the applet carry out one command on the client's channel. The error is
// a *StatusError where the card refused, and where it said that its contents have
// changed; the response is complete then too.
func (c *Client) exec(ctx context.Context, name string, cmd apdu.Command) (apdu.Response, error) {
	return c.execWithin(ctx, c.opts.Timeout, name, cmd)
}

func (c *Client) execWithin(ctx context.Context, limit time.Duration, name string, cmd apdu.Command) (apdu.Response, error) {
	q := c.Quirks()
	cmd.CLA = q.class()
	if q.NoLe && len(cmd.Data) > 0 {
		cmd.Le = 0
	}
	r, err := c.send(ctx, limit, name, cmd)
	if isStatus(err, apdu.WrongLength) && len(cmd.Data) > 0 && cmd.Le > 0 {
		cmd.Le = 0 // as wolfSSL does, which some cards were made for
		again, errAgain := c.send(ctx, limit, name, cmd)
		if errAgain == nil {
			c.learned(func(q *Quirks) { q.NoLe = true })
			return again, nil
		}
	}
	return r, err
}

// send has the card carry out a command as it stands.
func (c *Client) send(ctx context.Context, limit time.Duration, name string, cmd apdu.Command) (apdu.Response, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := apdu.Send(limited, &fetcher{c: c}, cmd)
	var sw apdu.Status
	switch {
	case errors.As(err, &sw):
		err = &StatusError{Command: name, Status: uint16(sw)}
	case err == nil && r.SW == apdu.OKAdminDone:
		err = &StatusError{Command: name, Status: uint16(r.SW)}
	case errors.Is(err, apdu.ErrFormat), errors.Is(err, apdu.ErrEndless):
		err = fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("iotsafe: %s: the card did not answer within %v: %w", name, limit, err)
	case err != nil:
		err = fmt.Errorf("iotsafe: %s: %w", name, err)
	}
	if errors.Is(err, ErrChanged) {
		c.noteChange()
	}
	return r, err
}

// fetcher is the card as apdu.Send sees it: GET RESPONSE asks for no more than
// gets through, and in the class that the card wants it in.
type fetcher struct {
	c      *Client
	rounds int
}

// Transmit carries one command.
func (f *fetcher) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if f.rounds++; f.rounds > maxRounds {
		return nil, apdu.ErrEndless
	}
	if len(command) != 5 || command[1] != insResponse {
		return f.c.card.Transmit(ctx, command)
	}
	q := f.c.Quirks()
	get := append([]byte{}, command...)
	if want := int(get[4]); want == 0 || want > q.Chunk {
		get[4] = byte(q.Chunk)
	}
	if q.PlainGetResponse {
		get[0] &^= chainMask
	}
	r, err := f.c.card.Transmit(ctx, get)
	if err == nil && len(r) == 2 && r[0] == byte(apdu.WrongCLA>>8) && get[0]&chainMask != 0 {
		f.c.learned(func(q *Quirks) { q.PlainGetResponse = true })
		get[0] &^= chainMask
		return f.c.card.Transmit(ctx, get)
	}
	return r, err
}

// inChunks repeats ask with smaller requests for as long as answers are cut short
// on their way.
func (c *Client) inChunks(ask func(chunk int) (apdu.Response, error)) (apdu.Response, error) {
	for {
		chunk := c.Quirks().Chunk
		r, err := ask(chunk)
		if !errors.Is(err, ErrTruncated) || chunk == smallestChunk {
			return r, err
		}
		c.learned(func(q *Quirks) { q.Chunk = smaller(chunk) })
	}
}

// smaller is the next size to try: what fits into 256 characters of hexadecimal
// digits, then what Orange's library uses, then very little.
func smaller(chunk int) int {
	for _, n := range []int{120, 50} {
		if chunk > n {
			return n
		}
	}
	return smallestChunk
}
