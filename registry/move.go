package registry

import (
	"context"
	"fmt"

	"github.com/iotregistry/sdk/registry/eid"
)

// Move asks for one device with the code its owner gave out.
type Move struct {
	Line   int // of the input, for the result
	Device eid.ID
	Code   AuthCode
}

// MoveOptions changes how Move works. The zero value is useful.
type MoveOptions struct {
	// OnCommit writes in the very transaction that moves the devices, so that
	// what it records and the move are both kept or neither is.
	OnCommit func(ctx context.Context, tx Tx, moved []Moved) error
}

// Move makes the calling ASP the sponsor of devices whose codes it presents and
// takes them to a new profile: the mechanism under package transfer, which adds
// the procedure. Sponsor and profile change in one commit; the profile before
// stays valid until the device has confirmed the new one or the overlap ends.
//
// A device that does not exist is refused like a wrong code, so that nobody can
// list devices by asking.
func (r *Registry) Move(ctx context.Context, actor Actor, moves []Move, opts MoveOptions) ([]Result, error) {
	if err := may(actor, opMove, nil); err != nil {
		return nil, &Error{Op: opMove, Err: err}
	}
	results := make([]Result, len(moves))
	for start, batch := range chunks(moves, r.Batch) {
		part := results[start : start+len(batch)]
		var plans []*plan
		err := r.store.Update(ctx, func(tx Tx) (err error) {
			plans, err = r.prepareMove(ctx, tx, actor, batch, part)
			return err
		})
		if err == nil {
			err = r.run(ctx, opMove, plans, nil, part, opts.OnCommit)
		}
		if err != nil {
			return results, &Error{Op: opMove, Err: err}
		}
	}
	return results, nil
}

// prepareMove judges the codes before any costly work and counts wrong ones.
// The codes are used up only by the commit that moves the devices.
func (r *Registry) prepareMove(ctx context.Context, tx Tx, actor Actor, moves []Move, results []Result) ([]*plan, error) {
	ids, guessKeys := make([]eid.ID, len(moves)), make([]string, len(moves))
	for i, m := range moves {
		ids[i], guessKeys[i] = m.Device, guessKey(m.Device, actor.Account)
	}
	devices, err := getAll[Device](ctx, tx, TableDevices, idKeys(ids)...)
	if err != nil {
		return nil, err
	}
	codes, err := getAll[codeRecord](ctx, tx, TableCodes, idKeys(ids)...)
	if err != nil {
		return nil, err
	}
	failures, err := getAll[guesses](ctx, tx, TableFailures, guessKeys...)
	if err != nil {
		return nil, err
	}
	now := r.now()
	seen := map[eid.ID]bool{}
	var plans []*plan
	for i, m := range moves {
		results[i] = Result{Line: m.Line, Device: m.Device}
		p := &plan{result: &results[i], device: devices[m.Device.String()], code: m.Code, move: true}
		if seen[m.Device] {
			p.fail(opMove, fmt.Errorf("%w: the device is named twice in one call", ErrInvalid))
			continue
		}
		seen[m.Device] = true
		if failures[guessKeys[i]].locked(now) {
			p.fail(opMove, ErrLocked)
			continue
		}
		if p.device != nil && p.device.Sponsor == actor.Account {
			p.fail(opMove, fmt.Errorf("%w: the device is yours already", ErrState))
			continue
		}
		if !codes[m.Device.String()].matches(m.Code, now) || p.device == nil {
			p.fail(opMove, ErrAuthCode)
			if err := countGuess(ctx, tx, guessKeys[i], failures[guessKeys[i]], now); err != nil {
				return nil, err
			}
			continue
		}
		if p.device.has(StatusClientTransferProhibited, StatusServerTransferProhibited) {
			p.fail(opMove, fmt.Errorf("%w: transfer is prohibited", ErrState))
			continue
		}
		plans = append(plans, p)
	}
	return r.reserve(ctx, tx, opMove, plans, func(*plan) string { return actor.Account })
}
