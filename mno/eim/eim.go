package eim

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// Config are the settings of an [EIM]. ID, Key and CIs are required.
type Config struct {
	// ID is the name that eUICCs know the eIM by (eimId), 1 to 128 characters. It
	// cannot change once eUICCs have it.
	ID string

	// FQDN is where devices reach the eIM. It goes into the configuration of
	// eUICCs; empty leaves it out.
	FQDN string

	// Key signs packages: ECDSA on P-256. eUICCs that know its public key take no
	// other.
	Key crypto.Signer

	// Certificate of Key, in DER, which the configuration of eUICCs has instead of
	// the public key. Nil: the public key.
	Certificate []byte

	// IndirectDownload says in the configuration of eUICCs that devices may
	// download by way of the eIM.
	IndirectDownload bool

	// CIs are the root certificates, in DER, whose eUICCs are managed. Where there
	// is one, eUICCs are asked to sign under it.
	CIs [][]byte

	// Open manages any eUICC with a certificate of one of CIs. Its record is made
	// once it has shown this certificate, or when the operator asks for something.
	// Otherwise eUICCs have to be registered first.
	Open bool

	// Store keeps what is known of each eUICC; nil means a new [Memory].
	Store Store

	// Notify takes news for the operator: what came of a job. It should return nil
	// only when the operator has it; until then the device is not told that its
	// result was taken, and provides it again. The same news may come twice, and
	// where several eIMs share a Store, of news that differ those that are Proven
	// count. It may call the eIM, but not provide results. Nil means that nobody
	// wants to know; see [EIM.Status].
	Notify func(ctx context.Context, ev Event) error

	// Forward takes a notification that an eUICC has signed for an SM-DP+
	// (PendingNotification of SGP.22, DER), to be delivered there. Once it returns
	// nil, the eUICC may forget the notification. Nil means that devices deliver
	// notifications themselves.
	Forward func(ctx context.Context, device eid.ID, notification []byte) error

	Attempts   int // of a job whose device tells failures without proof, 1 to 100; 0 means 3
	MaxQueue   int // jobs that wait for one device, 1 to 1000; 0 means 16
	MaxHistory int // ended jobs kept for each device, 1 to 1000; 0 means 32

	Now  func() time.Time // nil means time.Now
	Rand io.Reader        // nil means crypto/rand.Reader; must be safe for concurrent use
	Log  *slog.Logger     // what results were of no use, and why; nil means no log
}

// EIM manages eUICCs. It is safe for concurrent use; several may share a [Store].
type EIM struct {
	cfg      Config
	verifier cert.Verifier
	ciKeyID  []byte // of the only CI; nil where there are several
	config   []byte // see Configuration

	// preparing has one poll of a device at a time sign what all its polls get, and
	// concluding one result at a time be told. Devices share the locks by the hash
	// of their EIDs.
	preparing, concluding [64]sync.Mutex
}

var _ esipa.Backend = (*EIM)(nil)

// New returns an eIM, or an error that names the setting that is wrong.
func New(cfg Config) (*EIM, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	e := &EIM{cfg: cfg, verifier: cert.Verifier{CIs: cfg.CIs, Now: cfg.Now}}
	for _, der := range cfg.CIs {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("eim: Config.CIs: %w", err)
		}
		e.ciKeyID = root.SubjectKeyId
	}
	if len(cfg.CIs) > 1 || len(e.ciKeyID) == 0 {
		e.ciKeyID = nil
	}
	var err error
	if e.config, err = e.configuration(); err != nil {
		return nil, err
	}
	return e, nil
}

// complete puts defaults in and checks what can be checked alone.
func (c *Config) complete() error {
	if c.Key == nil {
		return errors.New("eim: set Config.Key to the key that signs packages")
	}
	if key, ok := c.Key.Public().(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return errors.New("eim: Config.Key is no ECDSA key on P-256")
	}
	if len(c.CIs) == 0 {
		return errors.New("eim: set Config.CIs to the roots of the eUICCs that are managed")
	}
	for _, n := range []struct {
		value   *int
		name    string
		initial int
		most    int
	}{
		{&c.Attempts, "Attempts", 3, 100},
		{&c.MaxQueue, "MaxQueue", 16, 1000},
		{&c.MaxHistory, "MaxHistory", 32, 1000},
	} {
		if *n.value == 0 {
			*n.value = n.initial
		}
		if *n.value < 1 || *n.value > n.most {
			return fmt.Errorf("eim: Config.%s is 1 to %d", n.name, n.most)
		}
	}
	c.defaults()
	return nil
}

func (c *Config) defaults() {
	if c.Store == nil {
		c.Store = new(Memory)
	}
	if c.Notify == nil {
		c.Notify = func(context.Context, Event) error { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = crand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Configuration returns the EimConfigurationData object (SGP.32 section
// 2.11.1.1.1, DER) that makes an eUICC obey this eIM, for whoever makes the card
// or sets up the device. Its counter starts at zero and it has no association
// token; an eUICC that is given another start, or draws a token, is to be
// registered with them.
func (e *EIM) Configuration() ([]byte, error) {
	return append([]byte(nil), e.config...), nil
}

func (e *EIM) configuration() ([]byte, error) {
	key, err := e.signingKey()
	if err != nil {
		return nil, err
	}
	c := rsp.EIMConfigurationData{
		EIMID: e.cfg.ID, IDType: ptr(e.idType()), Counter: ptr(int64(0)), SigningKey: key,
		Protocols: ptr(rsp.EIMRetrieveHTTPS), CIKeyID: e.ciKeyID, IndirectDownload: e.cfg.IndirectDownload,
	}
	if e.cfg.FQDN != "" {
		c.FQDN = &e.cfg.FQDN
	}
	b, err := rsp.Encode(&rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{c}})
	if err != nil {
		return nil, fmt.Errorf("eim: Config.ID or FQDN: %w", err)
	}
	list, err := bertlv.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("eim: configuration: %w", err)
	}
	one, err := list.Find(0xA0, 0x30)
	if err != nil {
		return nil, fmt.Errorf("eim: configuration: %w", err)
	}
	return one.Raw, nil
}

func (e *EIM) signingKey() (*rsp.EIMKey, error) {
	if e.cfg.Certificate == nil {
		spki, err := x509.MarshalPKIXPublicKey(e.cfg.Key.Public())
		if err != nil {
			return nil, fmt.Errorf("eim: Config.Key: %w", err)
		}
		return &rsp.EIMKey{PublicKey: spki}, nil
	}
	c, err := x509.ParseCertificate(e.cfg.Certificate)
	if err != nil {
		return nil, fmt.Errorf("eim: Config.Certificate: %w", err)
	}
	if key, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || !key.Equal(e.cfg.Key.Public()) {
		return nil, errors.New("eim: Config.Certificate is not of Config.Key")
	}
	return &rsp.EIMKey{Certificate: e.cfg.Certificate}, nil
}

func (e *EIM) idType() rsp.EIMIDType {
	if _, err := rsp.ParseOID(e.cfg.ID); err == nil {
		return rsp.EIMIDOID
	}
	if e.cfg.ID == e.cfg.FQDN {
		return rsp.EIMIDFQDN
	}
	return rsp.EIMIDProprietary
}

func ptr[T any](v T) *T { return &v }
