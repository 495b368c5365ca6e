// Package applet simulates the security applet of a SIM as GSMA IoT SAFE (IoT.05)
// describes it: a store of files, keys and secrets that a device reads and signs
// with, by APDUs, and whose private keys never leave it.
//
//	card, err := applet.New(applet.Config{Quirks: applet.CIRACard()})
//	objects, err := applet.CIRA(p, applet.CIRAOptions{Issuer: issuer}) // p is an IoT profile
//	err = card.Put(objects...)
//	response, err := card.Transmit(ctx, command)
//
// An [Applet] is an apdu.Transport, so that whatever carries APDUs can stand in
// front of it: a client, or a modem's AT+CSIM.
//
// # What is simulated
//
// Logical channels 0 to 3, SELECT by whole and partial AIDs, GET RESPONSE, all
// commands of IoT.05 with access conditions, states, functions and sessions, for
// ECDSA and ECDH on P-256, SHA-256, SHA-384 and SHA-512, the PRF of TLS 1.2 and
// the extraction of HKDF. [Applet.BeginUpdate] is the registry's remote
// administration, with the status words that tell a device about it. How real
// cards differ from each other is in [Quirks], and what goes wrong in [Faults].
//
// # What is not
//
// The text of IoT.05 was not at hand: this is from five implementations that cite
// it, and no claim of conformance. There are no RSA and no Brainpool keys, no
// command chaining, no secure messaging. A usage is told to whoever asks for it,
// and enforced for keys of TLS 1.3 that sign full texts only: of a hash nobody can
// tell what it is of.
//
// # What lasts
//
// [Applet.Reset] is a loss of power. A program whose card is to outlive it files
// an [Applet.Snapshot] whenever [Applet.Changed] has grown, before it lets the
// answer out, and gives the newest to the next New as State.
package applet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/iotsafe"
)

// ErrConfig is wrapped by errors about a Config that makes no card.
var ErrConfig = errors.New("applet: unusable configuration")

// ErrRemoved means that the card was taken out; [Applet.Reset] puts it in again.
var ErrRemoved = errors.New("applet: the card was removed")

// errInternal is for what fails in the simulation itself, such as its key.
var errInternal = errors.New("applet: the card itself fails")

// Limits say how much the applet's store holds; each may be 0, which is the
// default, to 255. Clients are told.
type Limits struct {
	Files       int // default 32
	PrivateKeys int // default 8
	PublicKeys  int // default 16
	Secrets     int // default 8
	Sessions    int // default 6; they are numbered from 0 on each channel, and counted together
}

// Config says what a card is made with. The zero value is an empty one that
// follows IoT.05.
type Config struct {
	// Objects are in the card at first. Next to a State, only the private keys
	// whose signers live elsewhere are taken from them.
	Objects []Object

	Quirks Quirks
	Limits Limits

	// StrictChannels refuses commands on logical channels that were not opened.
	// wolfSSL sends such, and its users' cards take them.
	StrictChannels bool

	// State is from Snapshot; nil is a new card.
	State []byte

	Random io.Reader                                        // of keys and GET RANDOM; nil: the system's
	Sleep  func(ctx context.Context, d time.Duration) error // for Faults.Delay and Quirks.KeyGeneration; nil: waits
}

// Applet is a simulated card. It is safe for concurrent use; like a card it
// carries out one command at a time.
type Applet struct {
	cfg    Config // without Objects and State
	faults faultState

	mu       sync.Mutex
	channels [channelCount]channel
	objects  []*object // in the order they are listed in
	update   *Update   // going on; nil: none
	told     []*object // by this command, the first on them since their update
	changed  uint64    // grows with objects
}

// New returns a card with the objects of cfg, or those of its State. Its errors
// wrap [ErrConfig], [ErrObject], [ErrFull] or [ErrState].
func New(cfg Config) (*Applet, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	a := &Applet{cfg: cfg}
	a.cfg.Objects, a.cfg.State = nil, nil // its keys are not to be had twice
	if cfg.State != nil {
		if err := a.restore(cfg.State, cfg.Objects); err != nil {
			return nil, err
		}
		return a, nil
	}
	if err := a.Put(cfg.Objects...); err != nil {
		return nil, err
	}
	a.changed = 0
	return a, nil
}

// complete checks the numbers and puts the defaults in.
func (c *Config) complete() error {
	for _, l := range []struct {
		value *int
		usual int
	}{
		{&c.Limits.Files, 32}, {&c.Limits.PrivateKeys, 8}, {&c.Limits.PublicKeys, 16},
		{&c.Limits.Secrets, 8}, {&c.Limits.Sessions, 6},
	} {
		if *l.value < 0 || *l.value > 255 {
			return fmt.Errorf("%w: a limit is not within 0 and 255", ErrConfig)
		}
		if *l.value == 0 {
			*l.value = l.usual
		}
	}
	if err := c.Quirks.complete(); err != nil {
		return err
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	return nil
}

// Reset takes the power away and gives it back, and puts a removed card in again:
// channels, sessions, volatile keys and an update that has not ended are gone.
func (a *Applet) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loseVolatile()
	a.faults.insert()
}

func (a *Applet) loseVolatile() {
	a.channels = [channelCount]channel{}
	a.update = nil
	for _, o := range a.objects {
		if o.volatile {
			o.empty()
		}
	}
}

// Transmit carries out one command APDU and returns the response APDU, status
// word included. Its errors are the context's and [ErrRemoved]; whatever is wrong
// with the command is a status word.
func (a *Applet) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	fault, err := a.faults.next(command)
	if err != nil {
		return nil, err
	}
	delay := fault.delay
	if len(command) > 1 && command[1] == iotsafe.INSGenerateKeyPair && fault.status == 0 {
		delay += a.cfg.Quirks.KeyGeneration
	}
	if err := a.wait(ctx, delay); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("applet: %w", err)
	}
	var response apdu.Response
	switch {
	case fault.status != 0:
		response.SW = apdu.Status(fault.status)
	case !fault.removed || fault.done:
		response = a.execute(command)
	}
	if fault.removed {
		a.loseVolatile()
		return nil, ErrRemoved
	}
	return response.Marshal(), nil
}

func (a *Applet) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if err := a.cfg.Sleep(ctx, d); err != nil {
		return fmt.Errorf("applet: %w", err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
