package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	// what it records and the move are both kept or neither is. It may run again
	// after a conflict, so it must act on nothing but tx.
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
		p.code, p.move = moves[at[i]].Code, true
	}
	for start, batch := range chunks(plans, r.Batch) {
		var ready []*plan
		err := r.store.Update(ctx, func(tx Tx) (err error) {
			ready, err = r.prepareMove(ctx, tx, actor, batch)
			return err
		})
		if err == nil {
			err = r.run(ctx, opMove, ready, nil, batch, opts.OnCommit)
		}
		if err != nil {
			return results, abandon(opMove, plans[start:], err)
		}
	}
	return results, nil
}

// prepareMove judges the codes before any costly work and counts wrong ones.
// The codes are used up only by the commit that moves the devices.
func (r *Registry) prepareMove(ctx context.Context, tx Tx, actor Actor, batch []*plan) ([]*plan, error) {
	keys, guessKeys := planKeys(batch), make([]string, len(batch))
	for i, p := range batch {
		guessKeys[i] = guessKey(p.result.Device, actor.Account)
	}
	devices, err := getAll[Device](ctx, tx, TableDevices, keys...)
	if err != nil {
		return nil, err
	}
	codes, err := getAll[codeRecord](ctx, tx, TableCodes, keys...)
	if err != nil {
		return nil, err
	}
	failures, err := getAll[guesses](ctx, tx, TableFailures, guessKeys...)
	if err != nil {
		return nil, err
	}
	now := r.now()
	var ready []*plan
	for i, p := range batch {
		p.result.Err = nil // a store may run this again after a conflict
		p.device = devices[keys[i]]
		err := mayMove(actor, p, codes[keys[i]], failures[guessKeys[i]], now)
		if err == nil {
			ready = append(ready, p)
			continue
		}
		p.fail(opMove, err)
		if errors.Is(err, ErrAuthCode) {
			if err := countGuess(ctx, tx, guessKeys[i], failures[guessKeys[i]], now); err != nil {
				return nil, err
			}
		}
	}
	return r.reserve(ctx, tx, opMove, ready, func(*plan) string { return actor.Account })
}

// mayMove reports why actor may not have p's device. Before the code is right
// it tells nothing about devices that are not the actor's.
func mayMove(actor Actor, p *plan, code *codeRecord, failed *guesses, now time.Time) error {
	right := code.matches(p.code, now)
	switch {
	case failed.locked(now):
		return ErrLocked
	case p.device != nil && p.device.Sponsor == actor.Account:
		return fmt.Errorf("%w: the device is yours already", ErrState)
	case !right || p.device == nil:
		return ErrAuthCode
	case p.device.has(StatusClientTransferProhibited, StatusServerTransferProhibited):
		return fmt.Errorf("%w: transfer is prohibited", ErrState)
	}
	return nil
}
