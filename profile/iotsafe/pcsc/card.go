package pcsc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/iotregistry/sdk/profile/iotsafe"
)

// Defaults of Options.
const (
	DefaultSocket  = "/run/pcscd/pcscd.comm"
	DefaultTimeout = 10 * time.Second
)

// Options say where the card is. The zero value is the first reader with a card.
type Options struct {
	Socket  string        // of pcscd; "": DefaultSocket
	Reader  string        // name of the reader, as Readers has it; "": the first with a card in it
	Timeout time.Duration // for one message of the daemon, and one command of the card where its context has no deadline; 0: DefaultTimeout

	// Dial connects to the daemon, such as one whose socket is forwarded from a
	// machine of the same kind. Nil: to Socket.
	Dial func(ctx context.Context) (net.Conn, error)
}

func (o *Options) setDefaults() error {
	if o.Socket == "" {
		o.Socket = DefaultSocket
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Dial == nil {
		socket := o.Socket
		o.Dial = func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", socket) }
	}
	if o.Timeout < 0 || len(o.Reader) >= nameSize {
		return fmt.Errorf("%w: pcsc: a negative Timeout, or a Reader's name that is too long", iotsafe.ErrArgument)
	}
	return nil
}

// Reader is a card reader.
type Reader struct {
	Name    string
	Present bool   // there is a card in it
	ATR     []byte // of the card
}

// Readers returns the card readers that the daemon knows. ErrNoDaemon means that
// there is none to ask.
func Readers(ctx context.Context, opts Options) ([]Reader, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	c, err := dial(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.readers(ctx)
}

// Card is a card in a reader; it is an iotsafe.Transport. One command is under way
// at a time, and others wait for their turn. Use [Open].
type Card struct {
	conn     *conn
	timeout  time.Duration
	turn     chan struct{} // holds a token while no command is under way
	context  uint32
	handle   int32
	protocol uint32
	reader   string
	closed   bool
}

// Open connects to the card in a reader. Other programs may use it at the same
// time. ErrNoReader means that there is no card.
func Open(ctx context.Context, opts Options) (*Card, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	c, err := dial(ctx, opts)
	if err != nil {
		return nil, err
	}
	card := &Card{conn: c, timeout: opts.Timeout, turn: make(chan struct{}, 1), reader: opts.Reader}
	if err := card.connect(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	card.turn <- struct{}{}
	return card, nil
}

// Reader returns the name of the card's reader.
func (c *Card) Reader() string { return c.reader }

func (c *Card) connect(ctx context.Context) error {
	establish := establishMsg{Scope: scopeSystem}
	if err := c.ask(ctx, "establish a context", cmdEstablish, &establish, &establish.Result); err != nil {
		return err
	}
	c.context = establish.Context
	if c.reader == "" {
		readers, err := c.conn.readers(ctx)
		if err != nil {
			return err
		}
		for _, r := range readers {
			if r.Present {
				c.reader = r.Name
				break
			}
		}
		if c.reader == "" {
			return fmt.Errorf("%w: %d readers, all empty", ErrNoReader, len(readers))
		}
	}
	m := connectMsg{Context: c.context, Share: shareShared, Preferred: protocolT0 | protocolT1}
	copy(m.Reader[:], c.reader)
	if err := c.ask(ctx, "connect to "+c.reader, cmdConnect, &m, &m.Result); err != nil {
		return err
	}
	c.handle, c.protocol = m.Card, m.Active
	return nil
}

// ask sends a message whose answer has a result.
func (c *Card) ask(ctx context.Context, op string, command uint32, msg any, result *uint32) error {
	if err := c.conn.call(ctx, c.timeout, command, msg, nil, nil); err != nil {
		return err
	}
	if *result != 0 {
		return &Error{Op: op, Code: *result}
	}
	return nil
}

// Transmit sends one command APDU and returns the card's response. After a reset by
// another program it connects anew and returns iotsafe.ErrCardReset: what was
// selected on the card is selected no more. Where the daemon does not answer in
// time the connection is of no more use, and later calls fail with ErrClosed. A
// caller who gives up before does not end it: the next one waits for the answer.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) < 4 || len(command) > maxCommandLen {
		return nil, fmt.Errorf("%w: pcsc: a command of %d bytes", iotsafe.ErrArgument, len(command))
	}
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("pcsc: %w", ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		c.turn <- struct{}{}
		return nil, fmt.Errorf("pcsc: %w", err)
	}
	limit := c.timeout
	if deadline, ok := ctx.Deadline(); ok { // making a key takes longer
		limit = max(time.Until(deadline), 0)
	}
	type answer struct {
		response []byte
		err      error
	}
	answers := make(chan answer, 1)
	go func(ctx context.Context, command []byte) {
		defer func() { c.turn <- struct{}{} }()
		response, err := c.carry(ctx, limit, command)
		answers <- answer{response, err}
	}(context.WithoutCancel(ctx), bytes.Clone(command))
	select {
	case a := <-answers:
		return a.response, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("pcsc: %w", ctx.Err())
	}
}

// carry has the card carry out a command. The caller has the turn.
func (c *Card) carry(ctx context.Context, limit time.Duration, command []byte) ([]byte, error) {
	if c.closed {
		return nil, ErrClosed
	}
	response, code, err := c.transmit(ctx, limit, c.forProtocol(command))
	switch {
	case err != nil:
		return nil, err
	case code == codeReset:
		if err := c.reconnect(ctx); err != nil {
			return nil, err
		}
		return nil, &Error{Op: "transmit", Code: code}
	case code != 0:
		return nil, &Error{Op: "transmit", Code: code}
	}
	return response, nil
}

// forProtocol leaves out Le behind data where the card speaks T=0, which has no
// place for it (ISO/IEC 7816-3 section 12.1.2): the answer is fetched by 61xx.
func (c *Card) forProtocol(command []byte) []byte {
	if c.protocol == protocolT0 && len(command) > 5 && command[4] > 0 && len(command) == 4+1+int(command[4])+1 {
		return command[:len(command)-1]
	}
	return command
}

func (c *Card) transmit(ctx context.Context, limit time.Duration, command []byte) (response []byte, code uint32, err error) {
	m := transmitMsg{
		Card: c.handle, SendProtocol: c.protocol, SendPCI: pciSize, SendLength: uint32(len(command)),
		ReceiveProtocol: c.protocol, ReceivePCI: pciSize, ReceiveLength: maxResponse,
	}
	err = c.conn.call(ctx, limit, cmdTransmit, &m, command, func(r io.Reader) error {
		if m.Result != 0 {
			return nil
		}
		if m.ReceiveLength < 2 || m.ReceiveLength > maxResponse {
			return fmt.Errorf("%w: a response of %d bytes", ErrProtocol, m.ReceiveLength)
		}
		response = make([]byte, m.ReceiveLength)
		_, err := io.ReadFull(r, response)
		return err
	})
	return response, m.Result, err
}

func (c *Card) reconnect(ctx context.Context) error {
	m := reconnectMsg{Card: c.handle, Share: shareShared, Preferred: protocolT0 | protocolT1, Initialization: leaveCard}
	if err := c.ask(ctx, "reconnect", cmdReconnect, &m, &m.Result); err != nil {
		return err
	}
	c.protocol = m.Active
	return nil
}

// Close leaves the card as it is and ends the connection, after the command that is
// under way. The daemon forgets the rest by itself.
func (c *Card) Close() error {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.closed {
		return nil
	}
	c.closed = true
	ctx := context.Background()
	d := disconnectMsg{Card: c.handle, Disposition: leaveCard}
	if c.ask(ctx, "disconnect", cmdDisconnect, &d, &d.Result) == nil {
		r := releaseMsg{Context: c.context}
		_ = c.ask(ctx, "release", cmdRelease, &r, &r.Result)
	}
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("pcsc: %w", err)
	}
	return nil
}
