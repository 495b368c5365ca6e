package iotsafe

import (
	"bytes"
	"context"
	"sync"
	"time"

	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// Defaults of Options.
const (
	DefaultChunk           = 255 // bytes
	DefaultMaxFile         = 16 << 10
	DefaultTimeout         = 10 * time.Second
	DefaultGenerateTimeout = time.Minute
	DefaultRetries         = 2
	DefaultWait            = 200 * time.Millisecond
)

// maxFile is how far READ FILE can reach.
const maxFile = 1 << 16

// Transport carries one command APDU to the card and its response back, status
// word included. Implementations: atcsim.Client, pcsc.Card, a simulated applet.
type Transport interface {
	// Transmit returns the card's response; its error means that there was none. It
	// must return soon after ctx ends. It is called for one command at a time. Where
	// they apply it wraps ErrCardRemoved, ErrCardReset and ErrTruncated.
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
}

// Options say how a client works. The zero value is right for most cards.
type Options struct {
	AIDs     [][]byte // applets to look for; nil: those that are known to be in use
	PeerSlot Name     // where ECDH and VerifyWith put other people's keys; zero: Container(5)

	Chunk           int           // bytes asked for at a time, 16 to 255; 0: DefaultChunk
	MaxFile         int           // bytes of a file, at most 65536; 0: DefaultMaxFile
	Timeout         time.Duration // for one command; 0: DefaultTimeout
	GenerateTimeout time.Duration // for making a key; 0: DefaultGenerateTimeout
	Retries         int           // repetitions of what is harmless; 0: DefaultRetries, negative: none
	Wait            time.Duration // before the first repetition, doubled each time; 0: DefaultWait

	// Context is what Sign of a Signer and Read of a random source run under, whose
	// callers give none. Nil: context.Background; Timeout holds in any case.
	Context func() context.Context

	// OnChange is called after each call but Profile in which the card said that its
	// contents have changed, by the goroutine of that call. It may call the client.
	// Nil: nobody is told but by ErrChanged and Changed.
	OnChange func()

	Now   func() time.Time                                 // for certificates; nil: time.Now
	Sleep func(ctx context.Context, d time.Duration) error // before repetitions; nil: waits
}

// Client speaks to the IoT SAFE applet of one card. It is safe for concurrent use:
// one conversation with the card takes place at a time, the others wait for their
// turn or for the end of their contexts. Use [Open].
type Client struct {
	card Transport
	opts Options
	turn chan struct{} // holds a token while nobody speaks to the card

	// Of whoever has the turn.
	closed     bool
	lastRandom []byte

	mu      sync.Mutex // for what follows; never held while the card works
	quirks  Quirks
	changes uint64        // how often the card has spoken of a change
	told    uint64        // how many of them Changed and Profile have dealt with
	changed chan struct{} // closed at the next change
}

// Open finds the applet on a card, selects it on a logical channel of its own (on
// the basic channel where card or modem has no others) and learns how this card
// differs from others. ErrNoApplet means that the card has no such applet.
func Open(ctx context.Context, card Transport, opts Options) (*Client, error) {
	if card == nil {
		return nil, invalid("there is no Transport")
	}
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	c := &Client{card: card, opts: opts, turn: make(chan struct{}, 1), changed: make(chan struct{})}
	c.quirks = Quirks{Chunk: opts.Chunk, IDWidth: 1}
	if err := c.patiently(ctx, func() error { return c.selectApplet(ctx) }); err != nil {
		return nil, err
	}
	if err := c.learn(ctx); err != nil {
		c.closeChannel(ctx)
		return nil, err
	}
	c.turn <- struct{}{}
	return c, nil
}

func (o *Options) setDefaults() error {
	o.Chunk = or(o.Chunk, DefaultChunk)
	o.MaxFile = or(o.MaxFile, DefaultMaxFile)
	o.Timeout = or(o.Timeout, DefaultTimeout)
	o.GenerateTimeout = or(o.GenerateTimeout, DefaultGenerateTimeout)
	o.Retries = or(o.Retries, DefaultRetries)
	o.Wait = or(o.Wait, DefaultWait)
	o.PeerSlot = or(o.PeerSlot, Container(words.CIRAPeer))
	switch {
	case o.Chunk < smallestChunk || o.Chunk > DefaultChunk:
		return invalid("Options.Chunk is %d to %d bytes", smallestChunk, DefaultChunk)
	case o.MaxFile < 0 || o.MaxFile > maxFile:
		return invalid("Options.MaxFile is at most %d bytes", maxFile)
	case o.Timeout < 0 || o.GenerateTimeout < 0 || o.Wait < 0:
		return invalid("a duration in Options is negative")
	}
	if o.AIDs == nil {
		o.AIDs = words.AIDs()
	}
	for _, aid := range o.AIDs {
		if len(aid) < 5 || len(aid) > 16 { // ISO/IEC 7816-4 section 8.2.1.2
			return invalid("an AID in Options has 5 to 16 bytes")
		}
	}
	if o.Context == nil {
		o.Context = context.Background
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close gives the logical channel back. It waits for the call that is going on.
// Later calls fail with ErrClosed. The transport stays open: it is the caller's.
func (c *Client) Close() error {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if !c.closed {
		c.closed = true
		c.closeChannel(context.Background())
	}
	return nil
}

// Quirks returns what is known of the card so far.
func (c *Client) Quirks() Quirks {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.quirks
	q.AID = bytes.Clone(q.AID)
	return q
}

// learned writes down something about the card.
func (c *Client) learned(f func(*Quirks)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.quirks)
}

// Changed waits until the card has said, in answer to some other call, that its
// contents have changed, and tells each change once. Changes that [Client.Profile]
// has read already are not told. Its error is ctx's.
//
// A card only speaks when it is asked: without other calls nothing is noticed.
func (c *Client) Changed(ctx context.Context) error {
	for {
		c.mu.Lock()
		next, news := c.changed, c.changes != c.told
		c.told = c.changes
		c.mu.Unlock()
		if news {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// noteChange writes down that the card spoke of a change.
func (c *Client) noteChange() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client) changeCount() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}
