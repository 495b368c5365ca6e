package euicc

import (
	"bytes"
	"crypto/ecdh"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/iotregistry/sdk/internal/rsp"
)

// restore puts a state into a chip that is new. The Card comes last, so that an
// error leaves it as it was.
func (c *Chip) restore(b []byte) error {
	s, err := decodeState(b)
	if err == nil {
		err = c.take(s)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

// decodeState reads what encode makes. Its errors do not quote the secrets.
func decodeState(b []byte) (*state, error) {
	if len(b) > MaxState {
		return nil, fmt.Errorf("%d bytes, more than %d", len(b), MaxState)
	}
	line, body, _ := bytes.Cut(b, []byte("\n"))
	if format, _, _ := strings.Cut(string(line[:min(len(line), 100)]), " "); format != stateFormat {
		return nil, errors.New("it does not begin with " + stateFormat + ", the version that this program reads")
	}
	if !bytes.HasPrefix(b, stateHeader(body)) {
		return nil, errors.New("it is damaged: the checksum is not that of its bytes")
	}
	s := &state{}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, errors.New("it is not the JSON document it should be")
	}
	if again, err := s.encode(); err != nil || !bytes.Equal(again, b) {
		return nil, errors.New("it has members that this program does not write")
	}
	return s, nil
}

func (c *Chip) take(s *state) error {
	if s.EID != c.cfg.EID.String() {
		return errors.New("it is of another EID")
	}
	if err := checkAddress(string(s.SMDP)); err != nil {
		return fmt.Errorf("default SM-DP+: %w", err)
	}
	c.smdp = string(s.SMDP)
	for _, saved := range s.Profiles {
		if err := c.takeProfile(saved); err != nil {
			return err
		}
	}
	if err := c.takePending(s); err != nil {
		return err
	}
	if err := c.takeKeys(s.Keys); err != nil {
		return err
	}
	if err := c.takeIoT(s); err != nil {
		return err
	}
	return c.takeCard(s.Card)
}

// takeProfile adds a profile that could have been installed after those before.
func (c *Chip) takeProfile(saved savedProfile) error {
	p, err := saved.decode()
	if err != nil {
		return err
	}
	number := p.metadata.ICCID
	switch {
	case c.find(rsp.ProfileID{ICCID: &number, AID: p.aid}) != nil:
		return fmt.Errorf("profile %s is there twice", number)
	case p.enabled && c.current() != nil:
		return errors.New("several profiles are enabled")
	case len(c.profiles) >= c.cfg.MaxProfiles, p.size <= 0, p.size > c.free():
		return fmt.Errorf("profile %s exceeds MaxProfiles or Memory", number)
	case len(saved.IoT) > 0 && c.cfg.Card == nil:
		return fmt.Errorf("profile %s was opened by a Card, which is missing", number)
	case len(saved.IoT) > 0:
		if p.iot, err = c.cfg.Card.reopen(saved.IoT); err != nil {
			return err
		}
	}
	c.profiles = append(c.profiles, p)
	return nil
}

// decode reads all but the IoT profile.
func (s *savedProfile) decode() (*installed, error) {
	p := &installed{aid: s.AID, size: s.Size, enabled: s.Enabled}
	var err error
	if p.metadata, err = rsp.Decode[rsp.StoreMetadataRequest](s.Metadata); err != nil {
		return nil, err
	}
	configure, err := rsp.Decode[rsp.ConfigureISDPRequest](s.Configure)
	if err != nil {
		return nil, err
	}
	p.proprietary = configure.Proprietary
	if len(s.Nickname) > 0 {
		q := rsp.SetNicknameRequest{ICCID: p.metadata.ICCID, Nickname: string(s.Nickname)}
		if _, err := rsp.Encode(&q); err != nil {
			return nil, err
		}
		p.nickname = &q.Nickname
	}
	if len(p.aid) != len(isdr()) || !bytes.HasPrefix(p.aid, isdr()[:14]) {
		return nil, fmt.Errorf("profile %s has the AID of no ISD-P", p.metadata.ICCID)
	}
	return p, nil
}

func (c *Chip) takePending(s *state) error {
	if len(s.Pending) > maxPending || s.Sequence < 0 {
		return errors.New("more notifications than a chip keeps, or numbers below zero")
	}
	last := int64(0)
	for _, b := range s.Pending {
		n, err := rsp.DecodePendingNotification(b)
		if err != nil {
			return err
		}
		number := n.Metadata().SeqNumber
		if number <= last || number > s.Sequence {
			return errors.New("notifications are out of order")
		}
		last = number
		c.pending = append(c.pending, notification{*n})
	}
	c.sequence = s.Sequence
	return nil
}

func (c *Chip) takeKeys(saved []savedKey) error {
	if len(saved) > maxKept {
		return errors.New("more one-time keys than a chip keeps")
	}
	for _, k := range saved {
		server, err := rsp.ParseOID(k.Server)
		if err != nil {
			return err
		}
		key, err := ecdh.P256().NewPrivateKey(k.Key)
		if err != nil {
			return errors.New("a one-time key is none")
		}
		c.kept = append(c.kept, oneTimeKey{server, key})
	}
	return nil
}

// takeCard gives the Card what is its own. A state from before there was a Card
// leaves it new.
func (c *Chip) takeCard(s *savedCard) error {
	for _, p := range c.profiles {
		if p.iot != nil && (s == nil || p.iot.profile.ID > s.Newest) {
			return errors.New("an IoT profile is newer than the newest")
		}
	}
	switch {
	case s == nil:
		return nil
	case c.cfg.Card == nil:
		return errors.New("it was taken with a Card, which is missing")
	}
	if err := c.cfg.Card.restore(s); err != nil {
		return err
	}
	c.follow()
	return nil
}

// restore wants a card that has not taken a profile: one that has would forget
// it, and with it what may not be replayed.
func (c *Card) restore(s *savedCard) (err error) {
	var direct *opened
	if len(s.Direct) > 0 {
		if direct, err = c.reopen(s.Direct); err != nil {
			return err
		}
	}
	defer c.tell()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.ID != c.cfg.ID.String():
		return errors.New("it was taken with a Card of another ID")
	case direct != nil && direct.profile.ID > s.Newest:
		return errors.New("an IoT profile is newer than the newest")
	case c.newest != 0:
		return errors.New("the Card has taken a profile already; give a new one")
	}
	c.direct, c.newest = direct, s.Newest
	return nil
}

// reopen opens what was accepted before, and so asks nobody whether to trust it.
func (c *Card) reopen(sealed []byte) (*opened, error) {
	return c.open(sealed, 0, func([]*x509.Certificate) error { return nil })
}
