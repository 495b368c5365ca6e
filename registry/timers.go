package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// What is to be done at a time. A timer that nobody needs any more stays until
// then and finds nothing to do.
const (
	timerOverlap  = "overlap"  // withdraw a superseded profile
	timerTransfer = "transfer" // give a device whose transfer was not decided its new profile
	timerPurge    = "purge"    // forget a deleted device
	timerExpiring = "expiring" // tell the sponsor that a certificate ends
	timerJob      = "job"      // forget a job
)

// expiryNotice is how long before a certificate's end its device's sponsor is
// told.
const expiryNotice = 30 * 24 * time.Hour

func timerKey(due time.Time, kind, about string) string {
	return stampOf(due) + "/" + kind + "/" + about
}

// newTimers arms timers that were never armed before.
func newTimers(ctx context.Context, tx Tx, kind string, due time.Time, about ...string) error {
	recs := make([]Record, len(about))
	for i, a := range about {
		recs[i] = Record{Key: timerKey(due, kind, a), Body: []byte("{}")}
	}
	return tx.Put(ctx, TableTimers, recs...)
}

// putTimers arms a timer for each of about, some of which may be armed.
func putTimers(ctx context.Context, tx Tx, kind string, due time.Time, about ...string) error {
	keys := make([]string, len(about))
	for i, a := range about {
		keys[i] = timerKey(due, kind, a)
	}
	if err := tx.Delete(ctx, TableTimers, keys...); err != nil {
		return err
	}
	return newTimers(ctx, tx, kind, due, about...)
}

// runTimers does what is due. It goes on past what fails, which stays due.
func (r *Registry) runTimers(ctx context.Context, claim claimer) (int, error) {
	done, after := 0, ""
	var errs []error
	for {
		page, err := r.dueTimers(ctx, after)
		if err != nil || len(page) == 0 {
			return done, errors.Join(append(errs, err)...)
		}
		after = page[len(page)-1].Key
		mine, err := claim(ctx, TableTimers, page)
		if err != nil {
			return done, errors.Join(append(errs, err)...)
		}
		n, err := r.fire(ctx, mine)
		done, errs = done+n, append(errs, err)
		if ctx.Err() != nil {
			return done, errors.Join(errs...)
		}
	}
}

func (r *Registry) dueTimers(ctx context.Context, after string) ([]Record, error) {
	var page []Record
	err := r.store.View(ctx, func(tx Tx) (err error) {
		page, err = tx.List(ctx, TableTimers, Query{After: after, Limit: r.Batch})
		return err
	})
	late := slices.IndexFunc(page, func(rec Record) bool { return rec.Key > stampOf(r.now())+"/\xff" })
	if late >= 0 {
		page = page[:late]
	}
	return page, err
}

// fire handles the timers of a page, kind by kind, and removes those that are
// done.
func (r *Registry) fire(ctx context.Context, keys []string) (int, error) {
	byKind := map[string][]string{}
	for _, key := range keys {
		if _, rest, ok := strings.Cut(key, "/"); ok {
			kind, _, _ := strings.Cut(rest, "/")
			byKind[kind] = append(byKind[kind], key)
		}
	}
	done := 0
	var errs []error
	for kind, keys := range byKind {
		about := make([]string, len(keys))
		for i, key := range keys {
			about[i] = strings.SplitN(key, "/", 3)[2]
		}
		n, err := r.fireKind(ctx, kind, keys, about)
		done += n
		if err == nil {
			err = r.store.Update(ctx, func(tx Tx) error { return tx.Delete(ctx, TableTimers, keys...) })
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind, err))
		}
	}
	return done, errors.Join(errs...)
}

func (r *Registry) fireKind(ctx context.Context, kind string, keys, about []string) (int, error) {
	switch kind {
	case timerOverlap, timerExpiring:
		ids := make([]uint64, len(about))
		for i, a := range about {
			var err error
			if ids[i], err = strconv.ParseUint(a, 10, 64); err != nil {
				return 0, fmt.Errorf("registry: timer of %q is damaged: %w", a, err)
			}
		}
		if kind == timerOverlap {
			return r.endOverlaps(ctx, ids)
		}
		return r.tellExpiring(ctx, keys, ids)
	case timerJob:
		return 0, r.forgetJobs(ctx, about)
	case timerTransfer, timerPurge:
		// A device may have several: of a request that was rejected, and of the next.
		about = slices.Compact(slices.Sorted(slices.Values(about)))
		ids := make([]eid.ID, len(about))
		for i, a := range about {
			var err error
			if ids[i], err = eid.Parse(a); err != nil {
				return 0, fmt.Errorf("registry: timer of %q is damaged: %w", a, err)
			}
		}
		if kind == timerTransfer {
			return r.endTransfers(ctx, ids)
		}
		return r.purge(ctx, ids)
	}
	return 0, fmt.Errorf("registry: timer of unknown kind %q: a newer program made it", kind)
}

// tellExpiring tells sponsors whose devices' current certificates end soon. It
// removes the timers in the same transaction, so that each is told once; the ids
// are those of the timers.
func (r *Registry) tellExpiring(ctx context.Context, timers []string, ids []uint64) (int, error) {
	told := 0
	err := r.store.Update(ctx, func(tx Tx) error {
		recs, err := tx.Get(ctx, TableTimers, timers...)
		if err != nil {
			return err
		}
		armed := keysOf(recs)
		profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
		if err != nil {
			return err
		}
		devices, err := r.devicesOf(ctx, tx, profiles)
		if err != nil {
			return err
		}
		var msgs []Message
		for i, id := range ids {
			p := profiles[profileKey(id)]
			if p == nil || !slices.Contains(armed, timers[i]) {
				continue
			}
			if d := devices[p.Device.String()]; d != nil && d.Profile == p.ID {
				msgs = append(msgs, expiring(d, p))
			}
		}
		told = len(msgs)
		if err := tx.Delete(ctx, TableTimers, armed...); err != nil {
			return err
		}
		return r.Notify(ctx, tx, msgs...)
	})
	return told, err
}

func expiring(d *Device, p *Profile) Message {
	return Message{
		Account: d.Sponsor, Type: MessageCertExpiring, Device: d.ID,
		Detail: map[string]string{"profile": fmt.Sprint(p.ID), "notAfter": p.NotAfter.Format(time.RFC3339)},
	}
}

// claimer picks those of records of work that its process may do, by key.
type claimer func(ctx context.Context, t Table, recs []Record) (keys []string, err error)

// everything is the claimer of Resume: what a dead process has claimed it does
// not finish, so somebody who is asked to finish everything does not wait.
func everything(_ context.Context, _ Table, recs []Record) ([]string, error) {
	keys := make([]string, len(recs))
	for i, rec := range recs {
		keys[i] = rec.Key
	}
	return keys, nil
}

// lease is the body of a record of work.
type lease struct {
	Until time.Time `json:"until,omitzero"` // some process works on it till then
}

// taken reports whether some process works on what rec stands for. A lease that
// lasts longer than any that is given is of a clock that was wrong.
func (r *Registry) taken(rec Record, now time.Time) bool {
	var l lease
	err := json.Unmarshal(rec.Body, &l)
	return err == nil && now.Before(l.Until) && l.Until.Before(now.Add(2*r.Lease))
}

// leased is a record's body for work that the calling process is about to do.
func (r *Registry) leased() []byte { return encode(lease{Until: r.now().Add(r.Lease)}) }

// free claims what no process works on, for as long as Config.Lease. What this
// process then fails to do is also left alone for that long.
func (r *Registry) free(ctx context.Context, t Table, recs []Record) ([]string, error) {
	now := r.now()
	var keys []string
	for _, rec := range recs {
		if r.taken(rec, now) {
			continue
		}
		keys = append(keys, rec.Key)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	var mine []string
	err := r.store.Update(ctx, func(tx Tx) error {
		mine = mine[:0]
		fresh, err := tx.Get(ctx, t, keys...)
		if err != nil {
			return err
		}
		put := make([]Record, 0, len(fresh))
		for _, rec := range fresh {
			if r.taken(rec, now) {
				continue
			}
			mine = append(mine, rec.Key)
			rec.Body = r.leased()
			put = append(put, rec)
		}
		return tx.Put(ctx, t, put...)
	})
	if errors.Is(err, ErrConflict) {
		return nil, nil // another process was faster
	}
	return mine, err
}
