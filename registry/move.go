package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Move asks for one device with the code its owner gave out.
type Move struct {
	Line   int // of the input, for the result
	Device eid.ID
	Code   AuthCode

	grant []byte // of a job whose code was matched before
}

// MoveOptions changes how Move and Decide work. The zero value is useful.
type MoveOptions struct {
	Options

	// Wait, unless zero, makes the move pending: it happens when it is approved,
	// or after this time unless it is rejected or cancelled before. The code is
	// used up by the request.
	Wait time.Duration

	// Undo is how long the move can be undone once it has happened.
	Undo time.Duration

	// Lock refuses devices whose last move can still be undone.
	Lock bool

	// OnCommit writes in the very transaction that changes the devices, so that
	// what it records and the change are both kept or neither is. It may run again
	// after a conflict, so it must act on nothing but tx. It is not called when
	// nothing changes.
	OnCommit func(ctx context.Context, tx Tx, moved []Moved) error
}

// Move makes the calling ASP the sponsor of devices whose codes it presents and
// takes them to a new profile: the mechanism under package transfer, which adds
// the procedure. Sponsor and profile change in one commit; the profile before
// stays valid until the device has confirmed the new one or the overlap ends.
//
// A device that does not exist is refused like a wrong code, so that nobody can
// list devices by asking. Results are in the order of moves; when Move itself
// fails, each device it did not finish carries the error.
func (r *Registry) Move(ctx context.Context, actor Actor, moves []Move, opts MoveOptions) ([]Result, error) {
	results := make([]Result, len(moves))
	for i, m := range moves {
		results[i] = Result{Line: m.Line, Device: m.Device}
	}
	plans, at := newPlans(opMove, results)
	if err := may(actor, opMove, nil); err != nil {
		return results, abandon(opMove, plans, err)
	}
	for i, p := range plans {
		p.code, p.grant = moves[at[i]].Code, moves[at[i]].grant
	}
	return results, r.do(ctx, errand{
		Options: opts.Options, op: opMove, actor: actor, plans: plans,
		moving: true, undo: opts.Undo, wait: opts.Wait, onMove: opts.OnCommit,
		judge: func(p *plan, s *sight) error { return judgeMove(actor, opts, p, s) },
	})
}

// judgeMove reports why actor may not have p's device. Before the code is right
// it tells nothing about devices that are not the actor's.
func judgeMove(actor Actor, opts MoveOptions, p *plan, s *sight) error {
	key := p.result.Device.String()
	code := s.codes[key]
	right := code.matches(p.code, s.now)
	if p.grant != nil {
		right = code.grants(p.grant, s.now)
	}
	if right {
		p.grant = code.Hash
	}
	switch d := p.device; {
	case s.guesses[guessKey(p.result.Device, actor.Account)].locked(s.now):
		return ErrLocked
	case d != nil && d.Sponsor == actor.Account:
		return ErrOwn
	case !right || d == nil:
		return ErrAuthCode
	case d.Pending != nil:
		return ErrPending
	case !d.Deleted.IsZero():
		return fmt.Errorf("%w: it is deleted", ErrState)
	case d.has(StatusClientTransferProhibited, StatusServerTransferProhibited):
		return fmt.Errorf("%w: transfer is prohibited", ErrState)
	case opts.Lock && d.undoable(s.now):
		return fmt.Errorf("%w: its last transfer can be undone until %s", ErrState, d.Undo.Format(time.RFC3339))
	}
	p.to, p.mno = actor.Account, p.device.MNO
	return nil
}

// makePending records requests that wait for a decision and uses up their codes.
func (r *Registry) makePending(ctx context.Context, tx Tx, e *errand, o *once, s *sight, ready, batch []*plan) error {
	if len(ready) == 0 {
		return nil
	}
	due := s.now.Add(e.wait)
	var recs, incoming []Record
	var moved []Moved
	var notes []Note
	for _, p := range ready {
		id, err := r.newID(s.now)
		if err != nil {
			return err
		}
		d := p.device
		d.Pending = &Pending{Transfer: id, To: p.to, Requested: s.now, Due: due, Undo: due.Add(e.undo)}
		d.Updated = s.now
		p.result.Pending, p.result.ProfileID = true, d.Profile
		recs = append(recs, deviceRecord(d))
		incoming = append(incoming, Record{Key: d.ID.String(), Parent: p.to, Body: encode(d.Pending)})
		moved = append(moved, Moved{
			Transfer: id, Device: d.ID, Owner: d.Owner, From: d.Sponsor, To: p.to, OldProfile: d.Profile,
			At: s.now, Requested: s.now, Due: due, Undo: d.Pending.Undo,
		})
		notes = append(notes, Note{Op: "request", Device: d.ID, Subject: id, Detail: map[string]string{"from": d.Sponsor, "to": p.to, "due": due.Format(time.RFC3339)}})
	}
	if err := tx.Delete(ctx, TableIncoming, planKeys(ready)...); err != nil {
		return err // left by an earlier transfer
	}
	if err := tx.Put(ctx, TableIncoming, incoming...); err != nil {
		return err
	}
	if err := putTimers(ctx, tx, timerTransfer, due, planKeys(ready)...); err != nil {
		return err
	}
	if err := useCodes(ctx, tx, e, ready); err != nil {
		return err
	}
	if err := r.putDevices(ctx, tx, recs, notes, nil, e.actor); err != nil {
		return err
	}
	if e.onMove != nil {
		if err := e.onMove(ctx, tx, moved); err != nil {
			return err
		}
	}
	return o.keep(ctx, tx, r.RequestTTL, batch)
}

// Decision ends a pending move, or takes back one that has happened.
type Decision string

// The decisions, with who may make them.
const (
	Approve Decision = opApprove // the losing ASP, or the registry
	Reject  Decision = opReject  // the losing ASP, or the registry
	Cancel  Decision = opCancel  // the gaining ASP, or the registry
	Undo    Decision = opUndo    // the owner, the ASP that gained it, or the registry
)

// Decide makes a decision about devices: Approve and Undo take them to a new
// profile and to the sponsor that is right then, Reject and Cancel leave them
// where they are. Results are as those of Move.
func (r *Registry) Decide(ctx context.Context, actor Actor, what Decision, opts MoveOptions, ids ...eid.ID) ([]Result, error) {
	op := string(what)
	results, plans := plansOf(op, ids)
	if !slices.Contains([]Decision{Approve, Reject, Cancel, Undo}, what) {
		return results, abandon(op, plans, fmt.Errorf("%w: %q is no decision", ErrInvalid, what))
	}
	if err := may(actor, op, nil); err != nil {
		return results, abandon(op, plans, err)
	}
	if what == Reject || what == Cancel {
		return results, r.endPending(ctx, actor, op, opts, plans)
	}
	if what == Undo {
		opts.Undo = 0 // one step back, and no dance
	}
	return results, r.do(ctx, errand{
		Options: opts.Options, op: op, actor: actor, plans: plans,
		undo: opts.Undo, onMove: opts.OnCommit,
		judge: func(p *plan, s *sight) error {
			if what == Approve {
				return judgeApproval(actor, p)
			}
			return judgeUndo(actor, p, s)
		},
	})
}

func judgeApproval(actor Actor, p *plan) error {
	if err := mayDecide(actor, opApprove, p.device); err != nil {
		return err
	}
	p.to, p.mno = p.device.Pending.To, p.device.MNO
	return nil
}

// mayDecide reports why actor may not end the pending move of d.
func mayDecide(actor Actor, op string, d *Device) error {
	switch {
	case d == nil:
		return ErrNotFound
	case op == opCancel && actor.Role == RoleASP && (d.Pending == nil || d.Pending.To != actor.Account):
		if d.Sponsor == actor.Account {
			return ErrForbidden
		}
		return ErrNotFound
	}
	if err := may(actor, op, d); err != nil {
		return err
	}
	if d.Pending == nil {
		return ErrNotPending
	}
	return nil
}

func judgeUndo(actor Actor, p *plan, s *sight) error {
	d := p.device
	if d == nil {
		return ErrNotFound
	}
	if err := may(actor, opUndo, d); err != nil {
		return err
	}
	if err := d.changeable(); err != nil {
		return err
	}
	if !d.undoable(s.now) {
		return fmt.Errorf("%w: no transfer of it can be undone", ErrState)
	}
	p.to, p.mno = d.From, d.MNO
	return nil
}

// endPending ends pending moves that do not happen.
func (r *Registry) endPending(ctx context.Context, actor Actor, op string, opts MoveOptions, plans []*plan) error {
	var moved []Moved
	var transferred []string
	return r.eachDevice(ctx, actor, change{
		op: op, plans: plans, Options: opts.Options,
		allowed: mayDecide,
		begin:   func() { moved, transferred = nil, nil },
		apply: func(d *Device, now time.Time) (bool, error) {
			p := d.Pending
			moved = append(moved, Moved{
				Transfer: p.Transfer, Device: d.ID, Owner: d.Owner, From: d.Sponsor, To: p.To, OldProfile: d.Profile,
				At: now, Requested: p.Requested,
			})
			d.Pending = nil
			if d.From != "" {
				transferred = append(transferred, d.ID.String())
			}
			return true, nil
		},
		subject: func(d *Device) string { return d.Pending.Transfer },
		commit: func(ctx context.Context, tx Tx) error {
			// An earlier transfer may have waited for this one's end to get its profile.
			if err := putTimers(ctx, tx, timerTransfer, r.now(), transferred...); err != nil {
				return err
			}
			keys := make([]string, len(moved))
			for i, m := range moved {
				keys[i] = m.Device.String()
			}
			if err := tx.Delete(ctx, TableIncoming, keys...); err != nil || opts.OnCommit == nil || len(moved) == 0 {
				return err
			}
			return opts.OnCommit(ctx, tx, moved)
		},
	})
}

// endTransfers gives devices whose transfers happened because nobody decided
// them the profile of their new sponsor.
func (r *Registry) endTransfers(ctx context.Context, ids []eid.ID) (int, error) {
	results, plans := plansOf(opDue, ids)
	err := r.do(ctx, errand{
		op: opDue, actor: itself, plans: plans,
		judge: func(p *plan, s *sight) error {
			d := p.device
			if d == nil || d.Pending != nil || !d.Deleted.IsZero() {
				return errOver // deleted, or decided and asked for again
			}
			// One without a profile has to get one only where it was transferred: the
			// timer may be of a request that was rejected.
			if d.Profile == 0 && d.From == "" {
				return errOver
			}
			if cur := s.current(d); d.Profile != 0 && (cur == nil || cur.Sponsor == d.Sponsor) {
				return errOver
			}
			return p.stay(d.MNO)
		},
	})
	if err != nil {
		return 0, err
	}
	done := 0
	var failed []error
	var over []string
	for _, res := range results {
		switch {
		case res.Err == nil || errors.Is(res.Err, ErrUndelivered):
			done++
			over = append(over, res.Device.String())
		case errors.Is(res.Err, errOver):
			over = append(over, res.Device.String())
		default:
			failed = append(failed, res.Err)
		}
	}
	// A device that waits for another transfer by now is not over.
	err = r.store.Update(ctx, func(tx Tx) error { return r.dropIncoming(ctx, tx, over) })
	return done, errors.Join(append(failed, err)...)
}

var errOver = errors.New("nothing is left to do")

func (r *Registry) dropIncoming(ctx context.Context, tx Tx, keys []string) error {
	devices, err := r.devices(ctx, tx, keys...)
	if err != nil {
		return err
	}
	var drop []string
	for _, key := range keys {
		if d := devices[key]; d == nil || d.Pending == nil {
			drop = append(drop, key)
		}
	}
	return tx.Delete(ctx, TableIncoming, drop...)
}
