// Package euicc simulates the eUICC of a device. A [Card] is the part that the
// registry relies on: it has a device's ID and a key of its own, opens the
// profiles sealed to that key and keeps the newest.
//
//	card, err := euicc.New(euicc.Config{ID: id, Key: key, Registry: "iotregistry.ca"})
//	p, err := card.Install(sealed, trust)
//
// A [Chip] is the card as a modem sees it (GSMA SGP.22 version 2.5, and SGP.32
// version 1.2): it takes APDUs, downloads an operator's profiles from an SM-DP+,
// hands the sealed profiles that it finds in them to its Card, and carries out
// what an eIM has signed.
//
//	chip, err := euicc.NewChip(euicc.ChipConfig{EID: id, Certificate: cert, EUM: eum, Key: key, CIs: cis, Card: card, Trust: trust})
//	response, err := chip.Transmit(ctx, command)
//
// # What is simulated
//
// Logical channels 0 to 3, SELECT of the ISD-R, STORE DATA in blocks, GET
// RESPONSE. ES10a: the configured addresses. ES10b: info, challenge, mutual
// authentication, bound profile packages with all their cryptography, receipts,
// notifications, cancelling. ES10c: list, enable, disable, delete and name
// profiles, EID, an empty rules authorisation table, memory reset. Interrupted
// downloads keep their one-time key.
//
// As an IoT eUICC it keeps a list of eIMs with their counters and association
// tokens, from its maker, AddInitialEim or another eIM. It carries out their
// packages, in which the first failure is the last result and what came before
// stays, and keeps the signed results until they are acknowledged: 16 of them,
// after which the oldest go. Rollback, immediate enabling, certificates and the
// memory reset of SGP.32 are there. A package is carried out whole or, where the
// card fails in the middle, not at all. Each error that SGP.22 and SGP.32 know
// can be had by [Faults].
//
// Where public sources on SGP.32 leave it open, this is chosen: a package without
// a valid signature of a known eIM is answered by an unsigned undefinedError, the
// largest counter is 0x7FFFFF, a package may enable once and disable once before
// that, nothing is listed after profiles were changed, and an eIM that gets a new
// key may count anew.
//
// # What is not
//
// Profile elements other than header, end and those with sealed profiles are
// not looked into: no files, applets or network authentication come of them.
// There is no REFRESH towards a modem, no SM-DS, no IPA in the card, no fallback or
// emergency profile and no compact answers of SGP.32, no several profiles enabled
// at once, no ISD-P or ECASD to select, no NIST curve
// but P-256, no Brainpool, no revocation. Profile policy rules are obeyed, but
// PPR3 is not.
//
// # What lasts
//
// [Chip.Reset] is a loss of power: what a card keeps then, it keeps. Chip and
// Card live in the process's memory all the same. A program whose card is to
// outlive it keeps the keys of Config and ChipConfig itself, files a
// [Chip.Snapshot] whenever [Chip.Changed] has grown, before it lets the answer or
// the error out, and gives the newest to the next NewChip as State. Going back to
// an older one undoes the card's guard against replayed profiles. A Card without
// a Chip cannot be kept so.
//
//	response, err := chip.Transmit(ctx, command)
//	if n := chip.Changed(); n != saved {
//		state, err := chip.Snapshot()
//		// file state, then
//		saved = n
//	}
package euicc

import (
	"context"
	"crypto/hpke"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// ErrConfig is wrapped by errors about a Config that makes no card.
var ErrConfig = errors.New("euicc: incomplete configuration")

// Config says what a card is made with. ID, Key and Registry are required.
type Config struct {
	ID       eid.ID          // of the device the card is in
	Key      hpke.PrivateKey // key agreement; may live in hardware, see hpke.NewDHKEMPrivateKey
	Registry string          // the registry whose profiles the card takes

	// Use takes the profile that is in use from now on, nil for none, such as to
	// put it into an IoT SAFE applet on the same card. It is called once for each
	// change, one after the other, within the call that changes it; it may ask the
	// card what is in use, and nothing else. Nil: nobody wants to know.
	Use func(p *profile.Profile)
}

// Card is a simulated eUICC. It is safe for concurrent use.
type Card struct {
	cfg Config

	mu      sync.Mutex
	direct  *opened // from Install
	enabled *opened // of the operator's profile that is enabled on a chip
	newest  uint64  // ID of the newest profile accepted, whether in use or not
	changed uint64  // grows with direct and newest

	using sync.Mutex       // while Use is told
	used  *profile.Profile // what it was told last
	wake  chan struct{}    // closed when used changes; nil while nobody waits
}

// opened is an IoT profile and the seal that it came in. A state keeps the seal,
// so that the private key within is as safe as the card's key.
type opened struct {
	profile *profile.Profile
	sealed  []byte
}

// New returns a card without a profile.
func New(cfg Config) (*Card, error) {
	if cfg.ID.IsZero() || cfg.Key == nil || cfg.Registry == "" {
		return nil, fmt.Errorf("%w: ID, Key and Registry are required", ErrConfig)
	}
	return &Card{cfg: cfg}, nil
}

// ID returns the device ID.
func (c *Card) ID() eid.ID { return c.cfg.ID }

// PublicKey returns the key that profiles for this card are sealed to; makers
// file it at the registry.
func (c *Card) PublicKey() hpke.PublicKey { return c.cfg.Key.PublicKey() }

// Install opens a sealed profile and makes it the current one. It must be for
// this card, of its registry, newer than all before it, and signed by whom trust
// accepts; see [profile.Sealed.Open] for the errors. A refused profile changes
// nothing. Of several calls at a time the newest profile wins.
func (c *Card) Install(sealed []byte, trust func(chain []*x509.Certificate) error) (*profile.Profile, error) {
	// trust may ask the network, so the card stays usable meanwhile.
	o, err := c.open(sealed, c.Newest(), trust)
	if err != nil {
		return nil, err
	}
	defer c.tell()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.accept(o); err != nil {
		return nil, err
	}
	c.direct = o
	return o.profile, nil
}

// open opens a sealed profile that is newer than after, and changes nothing.
func (c *Card) open(sealed []byte, after uint64, trust func(chain []*x509.Certificate) error) (*opened, error) {
	s, err := profile.ParseSealed(sealed)
	if err != nil {
		return nil, err
	}
	p, err := s.Open(c.cfg.Key, profile.OpenOptions{
		Device: c.cfg.ID, Registry: c.cfg.Registry, After: after, Trust: trust,
	})
	if err != nil {
		return nil, err
	}
	return &opened{p, s.Bytes()}, nil
}

// accept remembers o as the newest. The caller holds the lock.
func (c *Card) accept(o *opened) error {
	if o.profile.ID <= c.newest {
		return fmt.Errorf("euicc: install %d: %w", o.profile.ID, profile.ErrReplayed)
	}
	c.newest = o.profile.ID
	c.changed++
	return nil
}

// store accepts o without using it, as a profile is stored disabled.
func (c *Card) store(o *opened) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accept(o)
}

// enable takes o, nil for none, as what comes with the enabled profile.
func (c *Card) enable(o *opened) {
	defer c.tell()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enabled = o
}

// tell lets know what is in use, where that has changed.
func (c *Card) tell() {
	c.using.Lock()
	defer c.using.Unlock()
	current, _ := c.Current()
	if current != c.used && c.cfg.Use != nil {
		c.cfg.Use(current)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = current
	if c.wake != nil { // also where it is as it was: who waits may have seen what was in between
		close(c.wake)
		c.wake = nil
	}
}

// Wait returns once the profile in use is another than p, nil for none, as
// Current has told it, or with the error of ctx. Where there is a Use, it has been
// told by then.
func (c *Card) Wait(ctx context.Context, p *profile.Profile) error {
	for {
		c.mu.Lock()
		if c.used != p && c.current() != p { // p may be on its way to Use
			c.mu.Unlock()
			return nil
		}
		if c.wake == nil {
			c.wake = make(chan struct{})
		}
		wake := c.wake
		c.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return fmt.Errorf("euicc: %w", context.Cause(ctx))
		}
	}
}

// Current returns the profile in use, and whether there is one. It is the card's
// own: do not change it.
//
// A profile from Install is in use at once. One that a [Chip] has found in an
// operator's profile is in use while that is enabled, older or not: whoever may
// enable profiles has chosen it. Of the two the newer wins.
func (c *Card) Current() (*profile.Profile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.current()
	return p, p != nil
}

// current is the profile in use, nil for none. The caller holds the lock.
func (c *Card) current() *profile.Profile {
	current := c.direct
	if c.enabled != nil && (current == nil || c.enabled.profile.ID > current.profile.ID) {
		current = c.enabled
	}
	if current == nil {
		return nil
	}
	return current.profile
}

// Newest returns the ID of the newest profile that the card has taken, 0 when
// there was none. It outlives the profile: only greater IDs are taken, so that
// what was disabled or deleted cannot be replayed.
func (c *Card) Newest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}
