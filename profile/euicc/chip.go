package euicc

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// Defaults of a ChipConfig.
const (
	DefaultMemory      = 512 << 10 // bytes
	DefaultMaxProfiles = 16
)

// maxMaxProfiles is how many profiles ES10c can list.
const maxMaxProfiles = rsp.MaxProfiles

// ChipConfig says what a chip is made with. EID, Certificate, EUM, Key and CIs
// are required.
type ChipConfig struct {
	EID         eid.ID        // of kind EID; the subject's serial number in Certificate
	Certificate []byte        // CERT.EUICC, DER
	EUM         []byte        // CERT.EUM, DER
	Key         crypto.Signer // SK.EUICC, ECDSA on P-256; may live in hardware
	CIs         [][]byte      // certificates of the CIs whose SM-DP+s are trusted, DER

	DefaultSMDP string // FQDN of the default SM-DP+; "": none; State has its own
	RootSMDS    string // FQDN of the root SM-DS; "": "lpa.ds.gsma.com"
	Memory      int    // bytes for profile packages; 0: DefaultMemory
	MaxProfiles int    // profiles installed at a time, at most 256; 0: DefaultMaxProfiles

	// ForbidRules are profile policy rules that no profile may bring: bit 1 for
	// PPR1, bit 2 for PPR2, bit 3 for PPR3.
	ForbidRules uint32

	// Card takes the sealed profiles in elements of Issuer, a dotted object
	// identifier, signed by whom Trust accepts. Trust may not call the chip. A
	// nil Card leaves those elements alone; otherwise all three are required.
	Card   *Card
	Issuer string
	Trust  func(chain []*x509.Certificate) error

	// EIMs are the eIMs that the maker puts in, each an EimConfigurationData of
	// SGP.32 in DER with counter and signing key; nil is none. An association
	// token is -1, for one to be drawn, or what maker and eIM have agreed upon, at
	// most 2^31. State has its own.
	EIMs [][]byte

	// State is from Snapshot, of a chip with the same EID and a Card with the same
	// ID and key; nil is a new chip. The Card given with it may not have taken any
	// profile yet.
	State []byte

	Now    func() time.Time                                 // nil: time.Now
	Random io.Reader                                        // nil: the system's
	Sleep  func(ctx context.Context, d time.Duration) error // for Faults.Delay; nil: waits
}

// Chip is a simulated eUICC that speaks APDUs. It is safe for concurrent use;
// like a card it carries out one command at a time.
type Chip struct {
	cfg      ChipConfig
	eid      rsp.EID
	verifier cert.Verifier
	info     rsp.EUICCInfo1 // key IDs

	faults faultState

	mu       sync.Mutex
	channels [channelCount]channel
	session  session
	kept     []oneTimeKey // of interrupted downloads, the oldest first
	profiles []*installed
	pending  []notification // the oldest first
	sequence int64          // of the newest notification
	smdp     string         // default SM-DP+
	changed  uint64         // grows with whatever is in a state

	eims      []*eim
	tokens    int64                    // the newest association token
	results   []rsp.EUICCPackageResult // signed, not yet acknowledged, the oldest first
	immediate immediate
	back      *rollback // nil: none is allowed
	fresh     *fresh    // nil: nothing was installed in this session
	shown     []byte    // metadata the user has agreed to; nil: any
	failure   error     // why the last package was not installed
}

// NewChip returns a chip without profiles, or with those of cfg.State. Its error
// wraps [ErrConfig] where the parts do not belong together, and [ErrState] where
// the state is not one that they can go on from.
func NewChip(cfg ChipConfig) (*Chip, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	id, err := rsp.ParseEID(cfg.EID.String())
	if err != nil || cfg.EID.Kind() != eid.EID {
		return nil, fmt.Errorf("%w: the EID has to have 32 digits", ErrConfig)
	}
	keyID, err := cfg.issuer()
	if err != nil {
		return nil, err
	}
	c := &Chip{cfg: cfg, eid: id, smdp: cfg.DefaultSMDP}
	c.info = rsp.EUICCInfo1{SVN: version(2, 5, 0), SignKeys: [][]byte{keyID}}
	for _, der := range cfg.CIs {
		ci, err := x509.ParseCertificate(der)
		if err != nil || len(ci.SubjectKeyId) == 0 {
			return nil, fmt.Errorf("%w: a CI is no certificate with a key ID", ErrConfig)
		}
		c.info.VerifyKeys = append(c.info.VerifyKeys, ci.SubjectKeyId)
	}
	if _, err := rsp.Encode(&c.info); err != nil {
		return nil, fmt.Errorf("%w: CIs: %w", ErrConfig, err)
	}
	c.verifier = cert.Verifier{CIs: cfg.CIs, Now: cfg.Now}
	c.cfg.State = nil // its keys are not to be had twice
	if cfg.State == nil {
		err = c.provision(cfg.EIMs)
	} else {
		err = c.restore(cfg.State)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// complete checks what is required and puts the defaults in.
func (c *ChipConfig) complete() error {
	if c.EID.IsZero() || c.Key == nil || len(c.Certificate) == 0 || len(c.EUM) == 0 || len(c.CIs) == 0 {
		return fmt.Errorf("%w: EID, Certificate, EUM, Key and CIs are required", ErrConfig)
	}
	if c.Card != nil {
		if _, err := rsp.ParseOID(c.Issuer); err != nil || c.Trust == nil {
			return fmt.Errorf("%w: Card wants Issuer, a dotted object identifier, and Trust", ErrConfig)
		}
		if id := c.Card.ID(); id.Kind() == eid.EID && id != c.EID {
			return fmt.Errorf("%w: Card is of another EID", ErrConfig)
		}
	}
	if checkAddress(c.DefaultSMDP) != nil {
		return fmt.Errorf("%w: DefaultSMDP is too long or not UTF-8", ErrConfig)
	}
	if c.Memory < 0 || c.MaxProfiles < 0 || c.MaxProfiles > maxMaxProfiles {
		return fmt.Errorf("%w: Memory or MaxProfiles out of range", ErrConfig)
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.MaxProfiles == 0 {
		c.MaxProfiles = DefaultMaxProfiles
	}
	if c.RootSMDS == "" {
		c.RootSMDS = "lpa.ds.gsma.com"
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	return nil
}

// issuer checks that certificates, key and EID belong together and returns the
// key ID of the CI. Whether they are valid is for SM-DP+s to say: chips with bad
// certificates are worth testing with.
func (c *ChipConfig) issuer() ([]byte, error) {
	leaf, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: Certificate: %w", ErrConfig, err)
	}
	eum, err := x509.ParseCertificate(c.EUM)
	if err != nil {
		return nil, fmt.Errorf("%w: EUM: %w", ErrConfig, err)
	}
	own, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || !own.Equal(c.Key.Public()):
		return nil, fmt.Errorf("%w: Key is not that of Certificate", ErrConfig)
	case leaf.Subject.SerialNumber != c.EID.String():
		return nil, fmt.Errorf("%w: Certificate is of another EID", ErrConfig)
	case !bytes.Equal(leaf.AuthorityKeyId, eum.SubjectKeyId):
		return nil, fmt.Errorf("%w: Certificate is of another EUM", ErrConfig)
	case len(eum.AuthorityKeyId) == 0:
		return nil, fmt.Errorf("%w: EUM does not name its CI's key", ErrConfig)
	}
	return eum.AuthorityKeyId, nil
}

func version(major, minor, patch byte) []byte { return []byte{major, minor, patch} }

// EID returns the chip's identifier.
func (c *Chip) EID() eid.ID { return c.cfg.EID }

// Reset takes the power away and gives it back, and puts a removed card in
// again: channels, answers not fetched and sessions are gone; profiles,
// notifications and the one-time keys of interrupted downloads stay.
func (c *Chip) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loseVolatile()
	c.faults.insert()
}

func (c *Chip) loseVolatile() {
	c.channels = [channelCount]channel{}
	c.session = session{}
	c.shown, c.fresh = nil, nil
}

// ShowMetadata tells the chip which metadata (StoreMetadataRequest, DER) the user
// has agreed to. Until the next challenge or Reset, a package with other metadata
// fails with installFailedDueToDataMismatch. Without a call any will do: in
// SGP.22 it is the LPA that compares.
func (c *Chip) ShowMetadata(metadata []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = bytes.Clone(metadata)
}

// InstallError returns why the last bound profile package was not installed, nil
// where it was. What goes over the air are only numbers. It is in no Snapshot.
func (c *Chip) InstallError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// ProfileState is an installed profile as [Chip.Profiles] lists it.
type ProfileState struct {
	ICCID   string           // 18 to 20 digits
	Name    string           // from the metadata
	Enabled bool             // at most one is
	IoT     *profile.Profile // the opened IoT profile in it; nil: none. The chip's own: do not change it
}

// Profiles lists what is installed, the oldest first.
func (c *Chip) Profiles() []ProfileState {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []ProfileState
	for _, p := range c.profiles {
		s := ProfileState{ICCID: string(p.metadata.ICCID), Name: p.metadata.ProfileName, Enabled: p.enabled}
		if p.iot != nil {
			s.IoT = p.iot.profile
		}
		list = append(list, s)
	}
	return list
}

// Free returns how many bytes of memory are left for profiles.
func (c *Chip) Free() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.free()
}

func (c *Chip) free() int {
	n := c.cfg.Memory
	for _, p := range c.profiles {
		n -= p.size
	}
	return n
}

func (c *Chip) sign(text []byte) ([]byte, error) {
	return rsp.Sign(c.cfg.Random, c.cfg.Key, text)
}

// errInternal is for what fails in the simulation itself, such as its key: the
// card has no words for it.
var errInternal = errors.New("euicc: the card itself fails")

// ErrRemoved means that the card was taken out; [Chip.Reset] puts it in again.
var ErrRemoved = errors.New("euicc: the card was removed")

// Transmit carries out one command APDU and returns the response APDU, status
// word included. Its errors are the context's and [ErrRemoved]; whatever is
// wrong with the command is a status word.
func (c *Chip) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	fault, err := c.faults.next(command)
	if err != nil {
		return nil, err
	}
	if fault.delay > 0 {
		if err := c.cfg.Sleep(ctx, fault.delay); err != nil {
			return nil, fmt.Errorf("euicc: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("euicc: %w", err)
	}
	var response apdu.Response
	switch {
	case fault.status != 0:
		response.SW = apdu.Status(fault.status)
	case !fault.removed || fault.done:
		response = c.execute(command)
	}
	if fault.removed {
		c.loseVolatile()
		return nil, ErrRemoved
	}
	return response.Marshal(), nil
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
