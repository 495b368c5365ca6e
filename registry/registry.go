package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
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

	// AllowUnclaimed accepts a public key that only the owner's list vouches
	// for. Whoever can edit such a list can have profiles sealed to a key of
	// theirs, so the zero value asks for the maker's claim.
	AllowUnclaimed bool

	Workers int              // parallel issuing; 0 means GOMAXPROCS
	Orders  int              // parallel orders to one call's operators; 0 means 16
	Batch   int              // devices in one transaction and one zone change; 0 means 500
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
	return &Registry{Config: cfg, store: cfg.Store, log: cfg.Logger}, nil
}

func (c *Config) refuseNegatives() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Overlap", int64(c.Overlap)}, {"CodeTTL", int64(c.CodeTTL)}, {"Validity", int64(c.Validity)},
		{"Workers", int64(c.Workers)}, {"Orders", int64(c.Orders)}, {"Batch", int64(c.Batch)},
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

// Resume finishes what is owed: profiles that were recorded but not published
// or ordered, withdrawals that were decided but not carried out, and overlaps
// that have ended. It returns how many profiles it finished. What an operator
// does not take is logged and stays owed. A failure of one kind of work does not
// keep the others waiting: a zone record that must go has nothing to do with one
// that cannot be added. Every step may be repeated without harm, so Resume may
// run at any time and in many processes.
func (r *Registry) Resume(ctx context.Context, actor Actor) (int, error) {
	if err := may(actor, opRun, nil); err != nil {
		return 0, &Error{Op: "resume", Err: err}
	}
	done := 0
	var errs []error
	for _, step := range []struct {
		owed string
		run  func(context.Context, []uint64) (int, error)
	}{
		{workProvision, r.resumeProvision},
		{workOverlap, r.endOverlaps},
		{workWithdraw, r.withdraw},
	} {
		n, err := r.eachWork(ctx, step.owed, step.run)
		done += n
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return done, &Error{Op: "resume", Err: err}
	}
	return done, nil
}

// What a work record, kept until the step is done, says is owed to a profile.
const (
	workProvision = "provision" // publish and order
	workOverlap   = "overlap"   // withdraw when the overlap ends
	workWithdraw  = "withdraw"  // withdraw now
)

func (r *Registry) eachWork(ctx context.Context, owed string, run func(context.Context, []uint64) (int, error)) (int, error) {
	done, after := 0, ""
	for {
		var ids []uint64
		err := r.store.View(ctx, func(tx Tx) error {
			ids = ids[:0]
			recs, err := tx.List(ctx, TableWork, Query{Parent: owed, After: after, Limit: r.Batch})
			for _, rec := range recs {
				id, err := strconv.ParseUint(rec.Key, 10, 64)
				if err != nil {
					return fmt.Errorf("registry: work record %q is damaged: %w", rec.Key, err)
				}
				ids, after = append(ids, id), rec.Key
			}
			return err
		})
		if err != nil || len(ids) == 0 {
			return done, err
		}
		n, err := run(ctx, ids)
		done += n
		if err != nil {
			return done, err
		}
	}
}

// putWork records what is owed to profiles, in place of what was owed before.
func putWork(ctx context.Context, tx Tx, owed string, ids []uint64) error {
	keys := profileKeys(ids)
	if err := tx.Delete(ctx, TableWork, keys...); err != nil {
		return err
	}
	recs := make([]Record, len(keys))
	for i, key := range keys {
		recs[i] = Record{Key: key, Parent: owed, Body: []byte("{}")}
	}
	return tx.Put(ctx, TableWork, recs...)
}
