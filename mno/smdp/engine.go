package smdp

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/registry/eid"
)

// Config are the settings of an [Engine].
type Config struct {
	// Address is the name devices download from, put into receipts
	// (smdpAddress). Required.
	Address string

	// Store keeps the orders; nil means a new [Memory].
	Store Store

	// IIN is the start of every ICCID the engine allocates: 89, country, issuer
	// (ITU-T E.118), 2 to 17 digits; the shorter, the more ICCIDs there are. Empty
	// means "8999901", a number of no operator.
	IIN string

	// Types lists the profile types that can be allocated, each with the
	// requesters that may order it; an empty list means every requester. Nil
	// accepts any type from anybody.
	Types map[string][]string

	// Notify takes news for an operator: the requester that made the order, and
	// what happened. It should return nil only when the operator has it; until
	// then the news is offered again with every repeated report of the device,
	// which is not acknowledged before. A [*mno.StatusError] that is not
	// retryable says that the operator does not want this news, and ends it too,
	// unless it is about the caller or the version (subjects 1.1 and 1.3.2).
	// Nil means that nobody wants to know.
	Notify func(ctx context.Context, requester string, p mno.Progress) error

	// NotifyDownloads offers news of every download too (point 3), not only of
	// installations and failures (point 4).
	NotifyDownloads bool

	// EUICC returns the EID of the eUICC in a device that an order names by another
	// kind of ID, as who sells the cards knows; the zero ID where it does not. Such
	// an order, and all of them where EUICC is nil, are for the eUICC that comes
	// first with the matching ID.
	EUICC func(ctx context.Context, device eid.ID) (eid.ID, error)

	// Released has a device come for an order that was released, such as by
	// asking its eIM to trigger the download (SGP.32). It is called once the order
	// is stored, and again when the requester repeats itself, which it does after
	// an error. Nil does nothing: devices come by themselves.
	Released func(ctx context.Context, p Profile) error

	// RegisterEvent announces a released order at the discovery server (SM-DS)
	// at address. Nil means that no discovery server can be reached.
	RegisterEvent func(ctx context.Context, address string, device eid.ID, matchingID string) error

	Now  func() time.Time // nil means time.Now
	Rand io.Reader        // nil means crypto/rand.Reader; must be safe for concurrent use
}

// Engine is an SM-DP+'s order book. It is an [es2.Backend] and safe for
// concurrent use; several may share a [Store].
type Engine struct {
	cfg Config
}

var _ es2.Backend = (*Engine)(nil)

// New returns an engine, or an error that names the setting that is wrong.
func New(cfg Config) (*Engine, error) {
	if cfg.Address == "" {
		return nil, errors.New("smdp: set Config.Address to the SM-DP+'s name")
	}
	if cfg.IIN == "" {
		cfg.IIN = "8999901"
	}
	if len(cfg.IIN) < 2 || len(cfg.IIN) > iccidDigits-2 || !digits(cfg.IIN) {
		return nil, fmt.Errorf("smdp: Config.IIN has 2 to %d digits", iccidDigits-2)
	}
	if cfg.Store == nil {
		cfg.Store = new(Memory)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = crand.Reader
	}
	return &Engine{cfg: cfg}, nil
}

// Address returns the name devices download from.
func (e *Engine) Address() string { return e.cfg.Address }

// Stock adds available profiles of one type, for orders by ICCID. owner is the
// only requester that may order them; empty lets any. An ICCID that is there
// already is [mno.ErrICCIDNotAvailable]; then nothing is added.
func (e *Engine) Stock(ctx context.Context, owner, profileType string, iccids ...string) error {
	ps := make([]Profile, 0, len(iccids))
	for _, s := range iccids {
		iccid, err := mno.CanonicalICCID(s)
		if err != nil {
			return err
		}
		ps = append(ps, Profile{ICCID: iccid, Type: profileType, Owner: owner, State: mno.Available, Changed: e.cfg.Now()})
	}
	err := e.cfg.Store.Put(ctx, ps...)
	if errors.Is(err, ErrChanged) {
		return mno.With(mno.ErrICCIDNotAvailable, "", "an ICCID is in the order book already, or twice in the list")
	}
	return err
}

// Profile returns the record of an ICCID, or ErrNotFound.
func (e *Engine) Profile(ctx context.Context, iccid string) (Profile, error) {
	iccid, err := mno.CanonicalICCID(iccid)
	if err != nil {
		return Profile{}, err
	}
	return e.cfg.Store.Find(ctx, Query{ICCID: iccid})
}

// Pending returns the newest order of an IoT profile for device, whatever its
// state, or ErrNotFound.
func (e *Engine) Pending(ctx context.Context, device eid.ID) (Profile, error) {
	if device.IsZero() {
		return Profile{}, ErrNotFound
	}
	return e.cfg.Store.Find(ctx, Query{Device: device})
}

// euicc returns the EID of the eUICC in a device, zero where it is not known.
func (e *Engine) euicc(ctx context.Context, device eid.ID) (eid.ID, error) {
	if device.IsZero() || device.Kind() == eid.EID {
		return device, nil
	}
	if e.cfg.EUICC == nil {
		return eid.ID{}, nil
	}
	id, err := e.cfg.EUICC(ctx, device)
	if err == nil && !id.IsZero() && id.Kind() != eid.EID {
		err = fmt.Errorf("smdp: Config.EUICC returned %v for %v, which is no EID", id, device)
	}
	return id, err
}

// maxTries bounds how often one call starts over because records changed under
// it. Every such change is another call's success.
const maxTries = 1000

// retry runs f until it does not meet a record changed by somebody else.
func retry(ctx context.Context, f func() error) error {
	for range maxTries {
		if err := f(); !errors.Is(err, ErrChanged) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("smdp: gave up after %d tries: %w", maxTries, ErrChanged)
}

// owned returns the profile of an ICCID if requester may touch it.
func (e *Engine) owned(ctx context.Context, requester, iccid string) (Profile, error) {
	p, err := e.cfg.Store.Find(ctx, Query{ICCID: iccid})
	switch {
	case errors.Is(err, ErrNotFound):
		return p, mno.With(mno.ErrUnknownICCID, iccid, "")
	case err != nil:
		return p, err
	case p.Owner != "" && p.Owner != requester:
		return p, mno.With(mno.ErrNotAllowed, iccid, "this profile belongs to another requester")
	}
	return p, nil
}

// allowed checks a profile type against the configuration.
func (e *Engine) allowed(requester, profileType string) error {
	if e.cfg.Types == nil {
		return nil
	}
	who, ok := e.cfg.Types[profileType]
	switch {
	case !ok:
		return mno.With(mno.ErrUnknownProfileType, profileType, "")
	case len(who) > 0 && !slices.Contains(who, requester):
		return mno.With(mno.ErrProfileTypeNotAllowed, profileType, "")
	}
	return nil
}

// move changes p's state by ev, and reports whether the state machine allows it.
func (e *Engine) move(p *Profile, ev mno.Event) bool {
	next, ok := p.State.Next(ev)
	if ok {
		p.State, p.Changed = next, e.cfg.Now()
	}
	return ok
}
