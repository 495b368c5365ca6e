package registry

import (
	"context"
	"errors"
	"time"
)

// change is a bulk call that changes the records of devices themselves and
// leaves their profiles what they are.
type change struct {
	Options
	op      string
	content any // what is asked for, besides the devices
	plans   []*plan

	allowed func(actor Actor, op string, d *Device) error // d may be nil
	apply   func(d *Device, now time.Time) (changed bool, err error)
	detail  map[string]string               // for the audit trail
	subject func(*Device) string            // the same, as the device was before
	tell    func(*Device) []Message         // who is to know
	begin   func()                          // before each run of the transaction
	commit  func(context.Context, Tx) error // at its end
}

// mayKnown is may for a device that has to exist.
func mayKnown(actor Actor, op string, d *Device) error {
	if d == nil {
		return ErrNotFound
	}
	return may(actor, op, d)
}

// eachDevice makes a change batch by batch and brings the zone in line with it.
func (r *Registry) eachDevice(ctx context.Context, actor Actor, c change) error {
	if err := c.check(len(c.plans)); err != nil {
		return abandon(c.op, c.plans, err)
	}
	size := r.Batch
	if c.Atomic {
		size = max(len(c.plans), 1)
	}
	for start, batch := range chunks(c.plans, size) {
		o, err := onceFor(actor, c.op, start, len(c.plans), []any{c.Options, c.content}, batch, r.now())
		var resync []uint64
		if err == nil {
			err = r.store.Update(ctx, func(tx Tx) (err error) {
				resync, err = r.changeBatch(ctx, tx, actor, &c, o, batch)
				return err
			})
		}
		if errors.Is(err, errAborted) {
			continue // and every result says so
		}
		if err == nil {
			_, err = r.syncZone(ctx, resync)
		}
		if err != nil {
			return abandon(c.op, c.plans[start:], err)
		}
	}
	return nil
}

// changeBatch returns the profiles whose place in the zone is to be put right.
func (r *Registry) changeBatch(ctx context.Context, tx Tx, actor Actor, c *change, o *once, batch []*plan) ([]uint64, error) {
	if done, err := o.recall(ctx, tx, batch); done || err != nil {
		if err != nil {
			return nil, err
		}
		devices, err := r.devices(ctx, tx, planKeys(batch)...)
		if err != nil {
			return nil, err
		}
		return unsynced(ctx, tx, devices, batch)
	}
	devices, err := r.devices(ctx, tx, planKeys(batch)...)
	if err != nil {
		return nil, err
	}
	if c.begin != nil {
		c.begin()
	}
	w := changed{now: r.now()}
	for _, p := range batch {
		p.reset()
		if err := w.one(actor, c, devices[p.result.Device.String()], p); err != nil {
			p.fail(c.op, err)
		}
	}
	if c.Atomic && abortAll(c.op, batch) || c.DryRun {
		return nil, errAborted
	}
	if err := r.putDevices(ctx, tx, w.devices, w.notes, w.msgs, actor); err != nil {
		return nil, err
	}
	if err := r.putWork(ctx, tx, workSync, w.resync); err != nil {
		return nil, err
	}
	if c.commit != nil {
		if err := c.commit(ctx, tx); err != nil {
			return nil, err
		}
	}
	if err := o.keep(ctx, tx, r.RequestTTL, batch); err != nil {
		return nil, err
	}
	return unsynced(ctx, tx, devices, batch)
}

// unsynced returns the profiles whose place in the zone is still to be put right,
// of those devices that the batch gives a good answer about: it must not be given
// before that is done, by whichever call it was begun.
func unsynced(ctx context.Context, tx Tx, devices map[string]*Device, batch []*plan) ([]uint64, error) {
	var keys []string
	for _, p := range batch {
		d := devices[p.result.Device.String()]
		if p.result.Err != nil || d == nil {
			continue
		}
		for _, id := range d.published() {
			keys = append(keys, workKey(workSync, id))
		}
	}
	owed, err := tx.Get(ctx, TableWork, keys...)
	if err != nil {
		return nil, err
	}
	return workIDs(keysOf(owed))
}

// changed is what a batch of changes writes.
type changed struct {
	now     time.Time
	devices []Record
	notes   []Note
	msgs    []Message
	resync  []uint64
}

func (w *changed) one(actor Actor, c *change, d *Device, p *plan) error {
	if err := c.allowed(actor, c.op, d); err != nil {
		return err
	}
	held, note := d.held(), Note{Op: c.op, Device: d.ID, Detail: c.detail}
	if c.subject != nil {
		note.Subject = c.subject(d)
	}
	did, err := c.apply(d, w.now)
	p.result.ProfileID = d.Profile
	if err != nil || !did {
		return err
	}
	d.Updated = w.now
	w.devices, w.notes = append(w.devices, deviceRecord(d)), append(w.notes, note)
	if c.tell != nil {
		w.msgs = append(w.msgs, c.tell(d)...)
	}
	if held != d.held() {
		w.resync = append(w.resync, d.published()...)
	}
	return nil
}

func (r *Registry) putDevices(ctx context.Context, tx Tx, recs []Record, notes []Note, msgs []Message, actor Actor) error {
	if err := tx.Put(ctx, TableDevices, recs...); err != nil {
		return err
	}
	if err := r.Record(ctx, tx, actor, notes...); err != nil {
		return err
	}
	return r.Notify(ctx, tx, msgs...)
}
