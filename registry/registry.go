package registry

import (
	"crypto"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
)

// Defaults of Config.
const (
	DefaultOverlap  = 72 * time.Hour
	DefaultCodeTTL  = 14 * 24 * time.Hour // RFC 9154 leaves it to policy; registries use 14 days
	DefaultValidity = 10 * 365 * 24 * time.Hour
	DefaultCertTTL  = 3600 // seconds

	DefaultRedemption = 30 * 24 * time.Hour // RFC 3915, as most registries have it
	DefaultPurge      = 5 * 24 * time.Hour
	DefaultLease      = time.Minute
)

// Config is what a Registry is made of. Zone, Store, Authority and Publisher
// are required; no number or duration may be negative.
type Config struct {
	// Zone is the registry's DNS zone, "iotregistry.ca". It is also the
	// registry's ID in every sealed profile.
	Zone string

	Store     Store
	Authority *profile.Authority
	Publisher publish.Publisher

	// Operators delivers sealed profiles, by account ID of the operator.
	Operators map[string]mno.Operator

	FirstProfileID uint64        // ID of the first profile ever; 0 means 1
	Overlap        time.Duration // how long a superseded profile's records stay at most; 0 means DefaultOverlap
	CodeTTL        time.Duration // life of an authorization code; 0 means DefaultCodeTTL
	Validity       time.Duration // of device certificates; 0 means DefaultValidity
	CertTTL        uint32        // TTL of CERT records in seconds; 0 means DefaultCertTTL
	Redemption     time.Duration // how long a deleted device can be restored; 0 means DefaultRedemption
	PurgeAfter     time.Duration // from then until it is forgotten; 0 means DefaultPurge
	EnrollEvery    time.Duration // how long a device waits between two new keys; 0 means DefaultEnrollEvery
	RequestTTL     time.Duration // how long answers are kept for repeated calls; 0 means DefaultRequestTTL

	// AuditKey signs the heads of the audit trail. Nil leaves them unsigned:
	// then who can write to the store can rewrite the whole trail.
	AuditKey crypto.Signer

	// AllowUnclaimed accepts a public key that only the owner's list vouches
	// for. Whoever can edit such a list can have profiles sealed to a key of
	// theirs, so the zero value asks for the maker's claim.
	AllowUnclaimed bool

	// OnJob, where given, learns how a job goes on, from the goroutine that works
	// on it. It must not wait.
	OnJob func(Job)

	Lease   time.Duration    // how long a process may work on what it has claimed; 0 means DefaultLease
	Workers int              // parallel issuing; 0 means GOMAXPROCS
	Orders  int              // parallel orders to one call's operators; 0 means 16
	Batch   int              // devices in one transaction and one zone change; 0 means 500. A call repeated by key must find it unchanged.
	Now     func() time.Time // nil means time.Now
	Rand    io.Reader        // source of codes and salts; nil means crypto/rand.Reader
	Logger  *slog.Logger     // nil means none

	// Trace, where given, learns how long the inner steps took: "build",
	// "commit", "publish", "order", "withdraw". It is called from the goroutine
	// of the call that works.
	Trace func(step string, devices int, took time.Duration)
}

// Registry is the engine. It is safe for concurrent use, and several may share
// one store.
type Registry struct {
	Config
	store Store
	log   *slog.Logger
	wake  chan struct{}

	mu       sync.RWMutex
	handlers map[Op]Handler // of jobs
	stamp    string         // of the last ID
	drawn    int            // IDs of that stamp
}

// New checks the configuration and returns a Registry that works on its store.
// Call [Registry.Resume] once before serving, so that what an earlier process
// left unfinished is finished.
func New(cfg Config) (*Registry, error) {
	switch {
	case cfg.Store == nil:
		return nil, fmt.Errorf("registry: new: %w: Store is required", ErrInvalid)
	case cfg.Authority == nil:
		return nil, fmt.Errorf("registry: new: %w: Authority is required", ErrInvalid)
	case cfg.Publisher == nil:
		return nil, fmt.Errorf("registry: new: %w: Publisher is required", ErrInvalid)
	}
	// The longest legal device ID shows whether every device name will fit.
	if _, err := dane.DeviceName(1<<63, "89049032123451234512345678901235", cfg.Zone); err != nil {
		return nil, fmt.Errorf("registry: new: %w: Zone: %w", ErrInvalid, err)
	}
	if err := cfg.refuseNegatives(); err != nil {
		return nil, err
	}
	setDefault(&cfg.FirstProfileID, 1)
	setDefault(&cfg.Overlap, DefaultOverlap)
	setDefault(&cfg.CodeTTL, DefaultCodeTTL)
	setDefault(&cfg.Validity, DefaultValidity)
	setDefault(&cfg.CertTTL, DefaultCertTTL)
	setDefault(&cfg.Redemption, DefaultRedemption)
	setDefault(&cfg.PurgeAfter, DefaultPurge)
	setDefault(&cfg.RequestTTL, DefaultRequestTTL)
	setDefault(&cfg.EnrollEvery, DefaultEnrollEvery)
	setDefault(&cfg.Lease, DefaultLease)
	setDefault(&cfg.Workers, runtime.GOMAXPROCS(0))
	setDefault(&cfg.Orders, 16)
	setDefault(&cfg.Batch, 500)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Registry{Config: cfg, store: cfg.Store, log: cfg.Logger, wake: make(chan struct{}, 1)}
	r.handlers = r.ownHandlers()
	return r, nil
}

func (c *Config) refuseNegatives() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Overlap", int64(c.Overlap)}, {"CodeTTL", int64(c.CodeTTL)}, {"Validity", int64(c.Validity)},
		{"Redemption", int64(c.Redemption)}, {"PurgeAfter", int64(c.PurgeAfter)}, {"RequestTTL", int64(c.RequestTTL)},
		{"EnrollEvery", int64(c.EnrollEvery)},
		{"Lease", int64(c.Lease)}, {"Workers", int64(c.Workers)}, {"Orders", int64(c.Orders)}, {"Batch", int64(c.Batch)},
	} {
		if f.value < 0 {
			return fmt.Errorf("registry: new: %w: %s must not be negative", ErrInvalid, f.name)
		}
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// now is the registry's clock in the precision that every store keeps.
func (r *Registry) now() time.Time { return r.Now().UTC().Truncate(time.Millisecond) }

// timed begins a step; calling the result ends it.
func (r *Registry) timed(step string, devices int) func() {
	if r.Trace == nil || devices == 0 {
		return func() {}
	}
	begin := time.Now()
	return func() { r.Trace(step, devices, time.Since(begin)) }
}
