// Package euicc simulates the part of an eUICC that the registry relies on: it
// has a device's ID and a key of its own, opens the profiles sealed to that key
// and keeps the newest.
//
//	card, err := euicc.New(euicc.Config{ID: id, Key: key, Registry: "iotregistry.ca"})
//	p, err := card.Install(sealed, trust)
//
// It is a simulation: what it installs is in the process's memory, key
// included, and gone when the process ends.
package euicc

import (
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

// Config says what a card is made with. All fields are required.
type Config struct {
	ID       eid.ID          // of the device the card is in
	Key      hpke.PrivateKey // key agreement; may live in hardware, see hpke.NewDHKEMPrivateKey
	Registry string          // the registry whose profiles the card takes
}

// Card is a simulated eUICC. It is safe for concurrent use.
type Card struct {
	cfg Config

	mu      sync.Mutex
	current *profile.Profile
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
// this card, of its registry, newer than the current one, and signed by whom
// trust accepts; see [profile.Sealed.Open] for the errors. A refused profile
// changes nothing. Of several calls at a time the newest profile wins.
func (c *Card) Install(sealed []byte, trust func(chain []*x509.Certificate) error) (*profile.Profile, error) {
	s, err := profile.ParseSealed(sealed)
	if err != nil {
		return nil, err
	}
	// trust may ask the network, so the card stays usable meanwhile.
	p, err := s.Open(c.cfg.Key, profile.OpenOptions{
		Device: c.cfg.ID, Registry: c.cfg.Registry, After: c.Newest(), Trust: trust,
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && p.ID <= c.current.ID {
		return nil, fmt.Errorf("euicc: install %d: %w", p.ID, profile.ErrReplayed)
	}
	c.current = p
	return p, nil
}

// Current returns the installed profile, and whether there is one. It is the
// card's own: do not change it.
func (c *Card) Current() (*profile.Profile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, c.current != nil
}

// Newest returns the ID of the installed profile, 0 when there is none.
func (c *Card) Newest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return 0
	}
	return c.current.ID
}
