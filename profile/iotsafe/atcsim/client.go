package atcsim

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/iotregistry/sdk/profile/iotsafe"
)

// Defaults of Options.
const (
	DefaultTimeout = 90 * time.Second
	DefaultProbe   = 2 * time.Second
	DefaultLate    = 2 * time.Second
	DefaultSettle  = 100 * time.Millisecond
)

// maxCommand bounds a command: extended lengths do not fit into a line.
const maxCommand = 4 + 1 + 255 + 1

// ErrModem means that what the modem says is no answer to AT+CSIM.
var ErrModem = errors.New("atcsim: the modem's answer is none to AT+CSIM")

// ModemError is a modem's refusal. It is iotsafe.ErrCardRemoved, for errors.Is,
// where the modem says that there is no SIM.
type ModemError struct {
	Line string // "ERROR", or "+CME ERROR: ..." (3GPP TS 27.007 section 9.2)
}

// Error gives the modem's line.
func (e *ModemError) Error() string { return "atcsim: modem answered " + e.Line }

// Is reports whether target is ErrCardRemoved and the modem says that.
func (e *ModemError) Is(target error) bool {
	text := strings.ToUpper(strings.TrimSpace(strings.TrimPrefix(e.Line, "+CME ERROR:")))
	return target == iotsafe.ErrCardRemoved && (text == "10" || text == "SIM NOT INSERTED")
}

// Options say how long a client waits. The zero value is right for most modems.
type Options struct {
	Timeout time.Duration // for one answer, where the context allows for more; 0: DefaultTimeout
	Probe   time.Duration // for the modem's first sign of life; 0: DefaultProbe
	Late    time.Duration // for an answer after the OK that should follow it; 0: DefaultLate
	Settle  time.Duration // of silence after which old lines are over; 0: DefaultSettle
}

// Client sends APDUs to the SIM in a modem; it is an iotsafe.Transport. One command
// is under way at a time, and others wait for their turn.
type Client struct {
	opts  Options
	rw    io.ReadWriter
	in    *pump
	out   *writer
	turn  chan struct{} // holds a token while no command is under way
	state session
}

// session belongs to whoever has the turn.
type session struct {
	split   splitter
	lines   []string // that were read and not looked at yet
	ready   bool     // the modem has shown signs of life
	echo    bool     // it repeats what it is told
	repeats bool     // it has said something twice
	owed    int      // final results that commands before are still to get
}

// NewClient returns a client for the modem behind rw. Nothing is sent before the
// first command. The client reads from rw all the time until Close.
func NewClient(rw io.ReadWriter, opts Options) *Client {
	opts.Timeout = or(opts.Timeout, DefaultTimeout)
	opts.Probe = or(opts.Probe, DefaultProbe)
	opts.Late = or(opts.Late, DefaultLate)
	opts.Settle = or(opts.Settle, DefaultSettle)
	c := &Client{opts: opts, rw: rw, in: newPump(rw), out: newWriter(rw), turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

func or(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Close ends the reading and closes what the client was made with, if that can be
// closed.
func (c *Client) Close() error {
	c.in.close()
	if closer, ok := c.rw.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Transmit sends one command APDU and returns the card's response. An answer that
// is shorter than it says is iotsafe.ErrTruncated; a refusal is a *ModemError.
func (c *Client) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) < 4 || len(command) > maxCommand {
		return nil, fmt.Errorf("%w: atcsim: a command of %d bytes does not fit into AT+CSIM", iotsafe.ErrArgument, len(command))
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("atcsim: %w", ctx.Err())
	}
	defer func() { c.turn <- struct{}{} }()
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	response, err := c.carry(ctx, command)
	if err != nil && ctx.Err() != nil {
		c.state.ready = false // it may have been reset, and echo or not as it likes
	}
	return response, err
}

// carry says the command and reads the answer.
func (c *Client) carry(ctx context.Context, command []byte) ([]byte, error) {
	text := strings.ToUpper(hex.EncodeToString(command))
	response, err := c.command(ctx, fmt.Sprintf("AT+CSIM=%d,\"%s\"", len(text), text))
	if err != nil && !errors.Is(err, ErrModem) && !errors.Is(err, iotsafe.ErrTruncated) && !errors.As(err, new(*ModemError)) {
		err = fmt.Errorf("atcsim: %w", err)
	}
	return response, err
}

// prepare gets to where the modem has nothing left to say and knows whether it
// echoes.
func (c *Client) prepare(ctx context.Context) error {
	s := &c.state
	if s.repeats || s.owed > 0 {
		if err := c.settle(ctx); err != nil {
			return fmt.Errorf("atcsim: %w", err)
		}
	}
	c.drain()
	if s.ready {
		return nil
	}
	probe, cancel := context.WithTimeout(ctx, c.opts.Probe)
	defer cancel()
	// A modem that ignores ATE1 has no echo; the AT after it shows.
	for _, line := range []string{"ATE1", "AT"} {
		echoed, err := c.attention(probe, line)
		if err != nil {
			return fmt.Errorf("atcsim: the modem does not answer to AT; is it the right port and speed? %w", err)
		}
		s.echo = echoed
	}
	s.ready = true
	return nil
}

// attention sends a command without an answer of its own, waits for silence after
// its result, and reports whether the modem repeated it.
func (c *Client) attention(ctx context.Context, line string) (echoed bool, err error) {
	if err := c.say(ctx, line); err != nil {
		return false, err
	}
	answered := false
	for budget := maxInput; ; {
		got, err := c.lineOrSilence(ctx, &budget, answered)
		switch {
		case err != nil:
			return false, err
		case got == "" && answered:
			c.state.owed = 0
			return echoed, nil
		case isEcho(got, line):
			echoed = true
		case isFinal(got):
			answered = true
		}
	}
}

// say writes a line, to which the modem owes a final result.
func (c *Client) say(ctx context.Context, line string) error {
	c.state.owed++
	return c.out.write(ctx, []byte(line+"\r"))
}

// settle waits for silence: what is owed to commands before will not come then.
func (c *Client) settle(ctx context.Context) error {
	for budget := maxInput; ; {
		got, err := c.lineOrSilence(ctx, &budget, true)
		if err != nil {
			return err
		}
		if got == "" {
			c.state.owed = 0
			return nil
		}
	}
}

// lineOrSilence returns the next line, or none where silent and nothing is said for
// a while.
func (c *Client) lineOrSilence(ctx context.Context, budget *int, silent bool) (string, error) {
	if !silent {
		return c.line(ctx, budget)
	}
	quiet, cancel := context.WithTimeout(ctx, c.opts.Settle)
	defer cancel()
	line, err := c.line(quiet, budget)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return "", nil
	}
	return line, err
}

// drain drops what has come meanwhile. An answer among it was a repetition.
func (c *Client) drain() {
	for _, line := range c.state.lines {
		c.stale(line)
	}
	c.state.lines = nil
	for budget := maxInput; budget > 0; {
		select {
		case b := <-c.in.blocks:
			budget -= len(b)
			for _, line := range c.state.split.feed(b) {
				c.stale(line)
			}
		default:
			return
		}
	}
}

func (c *Client) stale(line string) {
	if isAnswer(line) {
		c.state.repeats = true
	}
}

// line returns the next line that is not blank. Budget bounds the characters of all of them.
func (c *Client) line(ctx context.Context, budget *int) (string, error) {
	s := &c.state
	for {
		for len(s.lines) > 0 {
			line := strings.TrimSpace(s.lines[0])
			s.lines = s.lines[1:]
			if line != "" {
				return line, nil
			}
		}
		if *budget <= 0 {
			return "", fmt.Errorf("%w: more than %d characters of something else", ErrModem, maxInput)
		}
		b, err := c.in.next(ctx)
		if err != nil {
			return "", err
		}
		*budget -= len(b)
		s.lines = s.split.feed(b)
	}
}
