package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What a work record, kept until the step is done, says is owed to a profile.
const (
	workProvision = "provision" // publish and order
	workWithdraw  = "withdraw"  // take its records out of the zone
	workCancel    = "cancel"    // take its order back from the operator
	workSync      = "sync"      // bring its place in the zone in line with its device's holds
)

// Resume finishes what is owed: profiles that were recorded but not published
// or ordered, withdrawals that were decided but not carried out, deadlines that
// have passed, audit entries without a place in the chain. It returns how many
// profiles and devices it finished. What an operator does not take is logged and
// stays owed. A failure of one kind of work does not keep the others waiting: a
// zone record that must go has nothing to do with one that cannot be added.
// Every step may be repeated without harm, so Resume may run at any time and in
// many processes; it also does what another process has just begun. See
// [Registry.Run] for work that is shared.
func (r *Registry) Resume(ctx context.Context, actor Actor) (int, error) {
	if err := may(actor, opRun, nil); err != nil {
		return 0, &Error{Op: "resume", Err: err}
	}
	done, err := r.resume(ctx, everything)
	if err != nil {
		return done, &Error{Op: "resume", Err: err}
	}
	return done, nil
}

func (r *Registry) resume(ctx context.Context, claim claimer) (int, error) {
	done := 0
	var errs []error
	for _, step := range []struct {
		owed string
		run  func(context.Context, []uint64) (int, error)
	}{
		{workProvision, r.resumeProvision},
		{workWithdraw, r.withdraw},
		{workSync, r.syncZone},
		{workCancel, r.cancelOrders},
		{"overlap", r.endOverlaps}, // of stores made before there were timers
	} {
		n, err := r.eachWork(ctx, step.owed, claim, step.run)
		done += n
		errs = append(errs, err)
	}
	n, err := r.runTimers(ctx, claim)
	_, sealErr := r.sealAudit(ctx)
	return done + n, errors.Join(append(errs, err, sealErr, r.forgetRequests(ctx))...)
}

// Run does the registry's work until ctx ends: every so often it finishes what
// is owed and due, and works on jobs. Any number of processes may run on one
// store; they share the work by claiming it for Config.Lease. What fails is
// logged and tried again. Run returns nil when ctx ends.
func (r *Registry) Run(ctx context.Context, actor Actor, every time.Duration) error {
	if err := may(actor, opRun, nil); err != nil {
		return &Error{Op: opRun, Err: err}
	}
	if every <= 0 {
		return &Error{Op: opRun, Err: fmt.Errorf("%w: the interval must be above zero", ErrInvalid)}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := r.resume(ctx, r.free); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "work failed and is tried again", "err", err)
		}
		if _, err := r.work(ctx, r.free); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "a job failed and is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// nudge lets Run look for work now.
func (r *Registry) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Registry) eachWork(ctx context.Context, owed string, claim claimer, run func(context.Context, []uint64) (int, error)) (int, error) {
	done, after := 0, ""
	for {
		var recs []Record
		err := r.store.View(ctx, func(tx Tx) (err error) {
			recs, err = tx.List(ctx, TableWork, Query{Parent: owed, After: after, Limit: r.Batch})
			return err
		})
		if err != nil || len(recs) == 0 {
			return done, err
		}
		after = recs[len(recs)-1].Key
		keys, err := claim(ctx, TableWork, recs)
		if err != nil {
			return done, err
		}
		ids, err := workIDs(keys)
		if err != nil {
			return done, err
		}
		n, err := run(ctx, ids)
		done += n
		if err != nil {
			return done, err
		}
	}
}

func workIDs(keys []string) ([]uint64, error) {
	ids := make([]uint64, len(keys))
	for i, key := range keys {
		_, number, ok := strings.Cut(key, "/")
		if !ok {
			number = key
		}
		var err error
		if ids[i], err = strconv.ParseUint(number, 10, 64); err != nil {
			return nil, fmt.Errorf("registry: work record %q is damaged: %w", key, err)
		}
	}
	return ids, nil
}

// workKey is the key of what is owed to a profile. Provision and withdrawal
// replace each other; the others are matters of their own.
func workKey(owed string, id uint64) string {
	if owed == workSync || owed == workCancel {
		return owed + "/" + profileKey(id)
	}
	return profileKey(id)
}

// newWork records what is owed to profiles that nothing was owed to before. The
// caller is about to do it.
func (r *Registry) newWork(ctx context.Context, tx Tx, owed string, ids []uint64) error {
	recs := make([]Record, len(ids))
	for i, id := range ids {
		recs[i] = Record{Key: workKey(owed, id), Parent: owed, Body: r.leased()}
	}
	return tx.Put(ctx, TableWork, recs...)
}

// putWork does the same in place of what may have been owed before.
func (r *Registry) putWork(ctx context.Context, tx Tx, owed string, ids []uint64) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = workKey(owed, id)
	}
	if err := tx.Delete(ctx, TableWork, keys...); err != nil {
		return err
	}
	return r.newWork(ctx, tx, owed, ids)
}

// deleteWork removes what is owed to profiles, unless something else is by now.
func deleteWork(ctx context.Context, tx Tx, owed string, ids []uint64) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = workKey(owed, id)
	}
	recs, err := tx.Get(ctx, TableWork, keys...)
	if err != nil {
		return err
	}
	var match []string
	for _, rec := range recs {
		if rec.Parent == owed {
			match = append(match, rec.Key)
		}
	}
	return tx.Delete(ctx, TableWork, match...)
}
