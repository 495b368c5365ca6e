package euicc

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/rsp"
)

// ErrState is wrapped by errors about a state that no chip can go on from.
var ErrState = errors.New("euicc: unusable state; restore the last good one with the configuration it was taken with, or none for a new chip")

// MaxState is the most bytes that Snapshot makes and NewChip reads. An ordinary
// profile takes about 10,000 of them, however large its package was.
const MaxState = 8 << 20

// stateFormat is the version; it grows with each change that older readers would
// misunderstand.
const stateFormat = "euicc-state/1"

// state is what a Snapshot holds: a line with the version and a checksum, which
// finds accidents, not enemies, and then this as JSON. All texts in it are base64
// or plain ASCII, which every version of encoding/json writes alike, so that a
// state can be demanded to be exactly as it would be written.
type state struct {
	EID      string         `json:"eid"`
	SMDP     []byte         `json:"smdp,omitempty"` // default SM-DP+
	Sequence int64          `json:"sequence"`
	Profiles []savedProfile `json:"profiles,omitempty"`
	Pending  [][]byte       `json:"pending,omitempty"` // as they are delivered
	Keys     []savedKey     `json:"keys,omitempty"`
	Card     *savedCard     `json:"card,omitempty"`

	EIMs      []byte         `json:"eims,omitempty"` // AddInitialEimRequest, with counters
	Tokens    int64          `json:"tokens,omitempty"`
	Results   [][]byte       `json:"results,omitempty"`   // EuiccPackageResult
	Immediate []byte         `json:"immediate,omitempty"` // ConfigureImmediateProfileEnablingRequest
	Rollback  *savedRollback `json:"rollback,omitempty"`
}

type savedRollback struct {
	ICCID       []byte `json:"iccid"` // digits
	EIM         []byte `json:"eim"`
	Counter     int64  `json:"counter"`
	Transaction []byte `json:"transaction,omitempty"`
	Result      int64  `json:"result"`
}

type savedProfile struct {
	Metadata  []byte `json:"metadata"`  // StoreMetadataRequest
	Configure []byte `json:"configure"` // ConfigureISDPRequest
	AID       []byte `json:"aid"`
	Nickname  []byte `json:"nickname,omitempty"`
	Size      int    `json:"size"`
	Enabled   bool   `json:"enabled,omitempty"`
	IoT       []byte `json:"iot,omitempty"` // sealed, as it came
}

type savedKey struct {
	Server string `json:"server"`
	Key    []byte `json:"key"`
}

// savedCard has no enabled profile: that is the enabled one's.
type savedCard struct {
	ID     string `json:"id"`
	Newest uint64 `json:"newest"`
	Direct []byte `json:"direct,omitempty"` // sealed, as it came
}

// Changed returns a number that grows with each change of what Snapshot keeps, of
// the Card too. Whoever saves asks for it before Snapshot, so that a change in
// between is saved twice rather than not at all.
func (c *Chip) Changed() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.changed
	if card := c.cfg.Card; card != nil {
		card.mu.Lock()
		defer card.mu.Unlock()
		n += card.changed
	}
	return n
}

// Snapshot returns what chip and Card keep without power, for ChipConfig.State:
// profiles, notifications, the one-time keys of interrupted downloads, the default
// SM-DP+, eIMs with their counters, results of eUICC packages, what may be enabled
// at once or rolled back, and which IoT profiles the Card has taken. Channels, sessions and faults
// are not in it. It is of one moment, between two commands.
//
// The bytes are secret: they hold private keys, if only of downloads that are not
// done; IoT profiles stay sealed to the Card's key. The keys of Config and
// ChipConfig are not in them. It fails where they would be more than MaxState;
// profiles have to be deleted then.
func (c *Chip) Snapshot() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := state{EID: c.cfg.EID.String(), SMDP: []byte(c.smdp), Sequence: c.sequence}
	for _, p := range c.profiles {
		saved, err := p.save()
		if err != nil {
			return nil, fmt.Errorf("%w: snapshot: profile %s: %w", errInternal, p.metadata.ICCID, err)
		}
		s.Profiles = append(s.Profiles, saved)
	}
	for _, n := range c.pending {
		b, err := n.Encode() // what an LPA gets, byte by byte, and what its signature is over
		if err != nil {
			return nil, fmt.Errorf("%w: snapshot: a notification: %w", errInternal, err)
		}
		s.Pending = append(s.Pending, b)
	}
	for _, k := range c.kept {
		s.Keys = append(s.Keys, savedKey{string(k.server), k.key.Bytes()})
	}
	if c.cfg.Card != nil {
		s.Card = c.cfg.Card.save()
	}
	if err := c.saveIoT(&s); err != nil {
		return nil, fmt.Errorf("%w: snapshot: %w", errInternal, err)
	}
	return s.encode()
}

// saveIoT adds what an IoT eUICC keeps.
func (c *Chip) saveIoT(s *state) (err error) {
	if s.Tokens = c.tokens; len(c.eims) > 0 {
		if s.EIMs, err = eimList(c.eims); err != nil {
			return err
		}
	}
	for _, m := range c.results {
		b, err := rsp.Encode(&m)
		if err != nil {
			return err
		}
		s.Results = append(s.Results, b)
	}
	if c.immediate != (immediate{}) {
		if s.Immediate, err = rsp.Encode(c.immediate.request()); err != nil {
			return err
		}
	}
	if b := c.back; b != nil {
		s.Rollback = &savedRollback{[]byte(b.iccid), []byte(b.eim), b.counter, b.transaction, b.result}
	}
	return nil
}

func (s *state) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("%w: snapshot: %w", errInternal, err)
	}
	b := append(stateHeader(body), body...)
	if len(b) > MaxState {
		return nil, fmt.Errorf("euicc: snapshot: %d bytes, more than %d: delete profiles", len(b), MaxState)
	}
	return b, nil
}

// stateHeader is the first line, before body.
func stateHeader(body []byte) []byte {
	return fmt.Appendf(nil, "%s %x\n", stateFormat, sha256.Sum256(body))
}

func (p *installed) save() (saved savedProfile, err error) {
	saved = savedProfile{AID: p.aid, Size: p.size, Enabled: p.enabled}
	if saved.Metadata, err = rsp.Encode(p.metadata); err != nil {
		return saved, err
	}
	if saved.Configure, err = rsp.Encode(&rsp.ConfigureISDPRequest{Proprietary: p.proprietary}); err != nil {
		return saved, err
	}
	if p.nickname != nil {
		saved.Nickname = []byte(*p.nickname)
	}
	if p.iot != nil {
		saved.IoT = p.iot.sealed
	}
	return saved, nil
}

func (c *Card) save() *savedCard {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &savedCard{ID: c.cfg.ID.String(), Newest: c.newest}
	if c.direct != nil {
		s.Direct = c.direct.sealed
	}
	return s
}
