package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// A plan takes one device to a new profile. Activation, reset, switch and
// transfer are the same path: judge and reserve an ID, build (issue and seal),
// commit (the device's one atomic change), then publish and order.
type plan struct {
	result *Result
	row    *Row     // of an import
	code   AuthCode // for a move
	grant  []byte   // for a move: says which code record was matched

	device  *Device // as it was judged; commit refuses if it changed since
	to      string  // who sponsors the device from then on
	mno     string  // who delivers to it from then on
	sponsor *Account
	id      uint64
	parcel  parcel // what build made; empty when it failed
}

func (p *plan) fail(op string, err error) {
	p.result.Err = &Error{Op: op, Device: p.result.Device, Err: err}
}

// reset clears what an earlier run of the same transaction concluded.
func (p *plan) reset() {
	*p.result = Result{Line: p.result.Line, Device: p.result.Device}
	p.device, p.parcel = nil, parcel{}
}

// newPlans makes a plan for each device that results name, and refuses the
// later ones where a device is named again. The second value has, for each
// plan, the index of its result.
func newPlans(op string, results []Result) (plans []*plan, at []int) {
	seen := map[eid.ID]bool{}
	for i := range results {
		p := &plan{result: &results[i]}
		if seen[p.result.Device] {
			p.fail(op, fmt.Errorf("%w: the device is named twice in one call", ErrInvalid))
			continue
		}
		seen[p.result.Device] = true
		plans, at = append(plans, p), append(at, i)
	}
	return plans, at
}

func planKeys(plans []*plan) []string {
	keys := make([]string, len(plans))
	for i, p := range plans {
		keys[i] = p.result.Device.String()
	}
	return keys
}

// abandon gives the results from which a call did not come back their error.
func abandon(op string, plans []*plan, err error) error {
	for _, p := range plans {
		if p.result.Err == nil {
			p.fail(op, err)
		}
	}
	return &Error{Op: op, Err: err}
}

// abortAll refuses the plans that nothing is wrong with, where one is refused.
func abortAll(op string, plans []*plan) (refused bool) {
	for _, p := range plans {
		refused = refused || p.result.Err != nil
	}
	for _, p := range plans {
		if refused && p.result.Err == nil {
			*p.result = Result{Line: p.result.Line, Device: p.result.Device}
			p.fail(op, ErrAborted)
		}
	}
	return refused
}

// MaxAtomic is how many devices an all-or-nothing call takes: they are changed
// in one transaction.
const MaxAtomic = 10_000

// Options say how a bulk call works.
type Options struct {
	Atomic bool // all devices or none; at most MaxAtomic
	DryRun bool // judge only
}

func (o Options) check(n int) error {
	if o.Atomic && n > MaxAtomic {
		return fmt.Errorf("%w: an all-or-nothing request takes at most %d devices: leave Atomic out or split it", ErrInvalid, MaxAtomic)
	}
	return nil
}

// errand is a bulk call that takes devices to new profiles.
type errand struct {
	Options
	op      string
	actor   Actor
	content any // what is asked for, besides the devices
	plans   []*plan

	// judge decides about one plan on what is known of its device: it names the
	// next sponsor and operator, or says why not.
	judge func(p *plan, s *sight) error

	// moving reports that the commit must find the plan's code still unused.
	moving bool
	undo   time.Duration // how long a change of sponsor can be undone
	wait   time.Duration // how long a change of sponsor waits for a decision
	onMove func(context.Context, Tx, []Moved) error
}

// errKeep is a judge's word for a device that has what is asked for already.
var errKeep = errors.New("keep")

// sight is what an errand's judge may look at.
type sight struct {
	now      time.Time
	devices  map[string]*Device
	profiles map[string]*Profile // the devices' current ones
	codes    map[string]*codeRecord
	guesses  map[string]*guesses
}

func (s *sight) current(d *Device) *Profile { return s.profiles[profileKey(d.Profile)] }

// do runs an errand batch by batch.
func (r *Registry) do(ctx context.Context, e errand) error {
	if err := e.check(len(e.plans)); err != nil {
		return abandon(e.op, e.plans, err)
	}
	size := r.Batch
	if e.Atomic {
		size = max(len(e.plans), 1)
	}
	for start, batch := range chunks(e.plans, size) {
		o, err := onceFor(e.actor, e.op, start, len(e.plans), []any{e.Options, e.content}, batch, r.now())
		if err == nil {
			err = r.doBatch(ctx, &e, o, batch)
		}
		if err != nil {
			return abandon(e.op, e.plans[start:], err)
		}
	}
	return nil
}

func (r *Registry) doBatch(ctx context.Context, e *errand, o *once, batch []*plan) error {
	var ready []*plan
	var unfinished []uint64
	err := r.store.Update(ctx, func(tx Tx) (err error) {
		ready, unfinished, err = r.prepare(ctx, tx, e, o, batch)
		return err
	})
	if err != nil || e.DryRun {
		return err
	}
	parcels, err := r.loadParcels(ctx, unfinished)
	if err != nil {
		return err
	}
	parcels = slices.DeleteFunc(parcels, func(p parcel) bool { return p.profile.Status.rank() >= ProfileOrdered.rank() })
	return r.run(ctx, e, o, ready, parcels, batch)
}

// prepare judges a batch before any costly work. It returns the plans that need
// a new profile, and the profiles of those that have one which may not be with
// its operator yet.
func (r *Registry) prepare(ctx context.Context, tx Tx, e *errand, o *once, batch []*plan) (ready []*plan, unfinished []uint64, err error) {
	if done, err := o.recall(ctx, tx, batch); done || err != nil {
		return nil, recalled(batch), err
	}
	s, err := r.look(ctx, tx, e, batch)
	if err != nil {
		return nil, nil, err
	}
	var wrong []*plan
	for _, p := range batch {
		p.reset()
		p.device = s.devices[p.result.Device.String()]
		switch err := e.judge(p, s); {
		case err == nil:
			ready = append(ready, p)
		case errors.Is(err, errKeep):
			p.result.ProfileID = p.device.Profile
			if cur := s.current(p.device); cur != nil && cur.Status.rank() < ProfileOrdered.rank() {
				unfinished = append(unfinished, cur.ID)
			}
		default:
			p.fail(e.op, err)
			if errors.Is(err, ErrAuthCode) {
				wrong = append(wrong, p)
			}
		}
	}
	if err := r.countGuesses(ctx, tx, e.actor, s, wrong); err != nil {
		return nil, nil, err
	}
	ready, err = r.sponsors(ctx, tx, e.op, ready)
	if err != nil || e.Atomic && abortAll(e.op, batch) || e.DryRun {
		return nil, nil, err
	}
	if e.wait > 0 {
		return nil, unfinished, r.makePending(ctx, tx, e, o, s, ready, batch)
	}
	return ready, unfinished, r.reserve(ctx, tx, ready)
}

// recalled are the profiles of an answer that was given before: what came after
// it may have been interrupted.
func recalled(batch []*plan) []uint64 {
	var ids []uint64
	for _, p := range batch {
		if p.result.Err == nil && !p.result.Pending && p.result.ProfileID != 0 {
			ids = append(ids, p.result.ProfileID)
		}
	}
	return ids
}

func (r *Registry) look(ctx context.Context, tx Tx, e *errand, batch []*plan) (*sight, error) {
	s := &sight{now: r.now()}
	keys := planKeys(batch)
	var err error
	if s.devices, err = r.devices(ctx, tx, keys...); err != nil {
		return nil, err
	}
	if s.profiles, err = currentProfiles(ctx, tx, s.devices); err != nil || !e.moving {
		return s, err
	}
	if s.codes, err = getAll[codeRecord](ctx, tx, TableCodes, keys...); err != nil {
		return nil, err
	}
	for i, p := range batch {
		keys[i] = guessKey(p.result.Device, e.actor.Account)
	}
	s.guesses, err = getAll[guesses](ctx, tx, TableFailures, keys...)
	return s, err
}

func currentProfiles(ctx context.Context, tx Tx, devices map[string]*Device) (map[string]*Profile, error) {
	var keys []string
	for _, d := range devices {
		if d.Profile != 0 {
			keys = append(keys, profileKey(d.Profile))
		}
	}
	return getAll[Profile](ctx, tx, TableProfiles, keys...)
}

// sponsors finds each plan's next sponsor. Plans without one fail and are left
// out.
func (r *Registry) sponsors(ctx context.Context, tx Tx, op string, plans []*plan) ([]*plan, error) {
	accounts := map[string]*Account{}
	ready := plans[:0]
	for _, p := range plans {
		a := accounts[p.to]
		if a == nil {
			var err error
			a, err = account(ctx, tx, p.to, RoleASP)
			if errors.Is(err, ErrUnknown) {
				p.fail(op, err)
				continue
			} else if err != nil {
				return nil, err
			}
			accounts[p.to] = a
		}
		p.sponsor = a
		ready = append(ready, p)
	}
	return ready, nil
}

// reserve gives each plan a profile ID, in their order.
func (r *Registry) reserve(ctx context.Context, tx Tx, plans []*plan) error {
	if len(plans) == 0 {
		return nil
	}
	first, err := takeProfileIDs(ctx, tx, r.FirstProfileID, len(plans))
	for i, p := range plans {
		p.id = first + uint64(i)
	}
	return err
}

// run carries prepared plans, and parcels left unfinished by an earlier call,
// through to the operator and completes the results of the batch they come from.
func (r *Registry) run(ctx context.Context, e *errand, o *once, plans []*plan, parcels []parcel, batch []*plan) error {
	done := r.timed("build", len(plans))
	err := forEach(ctx, len(plans), r.Workers, func(i int) error {
		if err := r.build(plans[i]); err != nil {
			plans[i].fail(e.op, err)
		}
		return nil
	})
	done()
	if err != nil || e.Atomic && abortAll(e.op, batch) {
		return err
	}
	var committed []*plan
	if len(plans) > 0 {
		done = r.timed("commit", len(plans))
		err = r.store.Update(ctx, func(tx Tx) (err error) {
			committed, err = r.commit(ctx, tx, e, o, plans, batch)
			return err
		})
		done()
	}
	if errors.Is(err, errAborted) {
		return nil // and every result says so
	}
	if err != nil {
		return err
	}
	for _, p := range committed {
		parcels = append(parcels, p.parcel)
	}
	refused, err := r.finish(ctx, parcels)
	for _, p := range batch {
		if why := refused[p.result.ProfileID]; why != nil && p.result.Err == nil {
			p.fail("order", why)
		}
	}
	return err
}

// errAborted ends a transaction of which nothing is to be kept; the results say
// why.
var errAborted = errors.New("aborted")
