package registry

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Moved is what a committed request or decision has made of one device, for
// [MoveOptions.OnCommit].
type Moved struct {
	Transfer   string // ID of the transfer: new, or of the pending one that was decided
	Device     eid.ID
	Owner      string
	From, To   string // sponsors
	OldProfile uint64 // 0 where there was none
	NewProfile uint64 // 0 where none was made
	At         time.Time
	Due        time.Time // when the transfer happens unless it is decided; zero when it has happened or ended
	Requested  time.Time // when it was asked for
	Undo       time.Time // until when it can be undone
}

// commit makes the new profiles current. It is the one moment at which a
// device's sponsor and profile change, together. It returns the plans that were
// carried out.
func (r *Registry) commit(ctx context.Context, tx Tx, e *errand, o *once, plans, batch []*plan) ([]*plan, error) {
	if done, err := o.recall(ctx, tx, batch); done || err != nil {
		return nil, err // the same request ran beside this one and was faster
	}
	keys := planKeys(plans)
	devices, err := r.devices(ctx, tx, keys...)
	if err != nil {
		return nil, err
	}
	var codes map[string]*codeRecord
	if e.moving {
		if codes, err = getAll[codeRecord](ctx, tx, TableCodes, keys...); err != nil {
			return nil, err
		}
	}
	now := r.now()
	var done []*plan
	for _, p := range plans {
		if p.parcel.profile == nil {
			continue
		}
		p.result.Err, p.result.ProfileID = nil, 0 // a store may run this again after a conflict
		key := p.result.Device.String()
		// First what may have changed, then the code: one that is used up for
		// nothing would be lost to its owner.
		switch d := devices[key]; {
		case d == nil || d.changedSince(p.device):
			p.fail(e.op, ErrConflict)
		case e.moving && !codes[key].grants(p.grant, now):
			p.fail(e.op, ErrAuthCode)
		default:
			p.result.ProfileID = p.id
			done = append(done, p)
		}
	}
	if e.Atomic && abortAll(e.op, batch) {
		return nil, errAborted
	}
	if len(done) == 0 {
		return nil, nil
	}
	if err := useCodes(ctx, tx, e, done); err != nil {
		return nil, err
	}
	moved, err := r.supersede(ctx, tx, e, devices, done)
	if err == nil && e.onMove != nil {
		err = e.onMove(ctx, tx, moved)
	}
	if err != nil {
		return nil, err
	}
	return done, o.keep(ctx, tx, r.RequestTTL, batch)
}

// useCodes takes the codes out of use that the plans were made with.
func useCodes(ctx context.Context, tx Tx, e *errand, plans []*plan) error {
	if !e.moving {
		return nil
	}
	var guesses []string
	for _, p := range plans {
		guesses = append(guesses, guessKey(p.result.Device, e.actor.Account))
	}
	if err := tx.Delete(ctx, TableCodes, planKeys(plans)...); err != nil {
		return err
	}
	return tx.Delete(ctx, TableFailures, guesses...)
}

// changedSince reports whether d is no longer what a plan was made for. Other
// changes, such as the withdrawal of an earlier profile, do not matter to it.
func (d *Device) changedSince(then *Device) bool {
	samePending := (d.Pending == nil) == (then.Pending == nil) && (d.Pending == nil || *d.Pending == *then.Pending)
	return d.Sponsor != then.Sponsor || d.Profile != then.Profile || d.Key != then.Key || !samePending ||
		!bytes.Equal(d.CardKey, then.CardKey) || d.MNO != then.MNO || !d.Deleted.Equal(then.Deleted) || !slices.Equal(d.Status, then.Status)
}

// grants reports whether r is the record that a code was found to match, and
// still good at now.
func (r *codeRecord) grants(grant []byte, now time.Time) bool {
	return r != nil && len(grant) > 0 && bytes.Equal(r.Hash, grant) && now.Before(r.Expires)
}

// supersede makes the plans' profiles the current ones and starts the overlap of
// those before, whose records stay published until the devices have moved.
func (r *Registry) supersede(ctx context.Context, tx Tx, e *errand, devices map[string]*Device, plans []*plan) ([]Moved, error) {
	chosen := map[string]*Device{}
	for _, key := range planKeys(plans) {
		chosen[key] = devices[key]
	}
	current, err := currentProfiles(ctx, tx, chosen)
	if err != nil {
		return nil, err
	}
	now := r.now()
	var w commitment
	for _, p := range plans {
		d := devices[p.result.Device.String()]
		m, err := r.movedBy(e, p, d, now)
		if err != nil {
			return nil, err
		}
		if old := current[profileKey(d.Profile)]; old != nil {
			old.Status, old.WithdrawAt, old.Updated = ProfileSuperseded, now.Add(r.Overlap), now
			w.profiles, w.oldIDs = append(w.profiles, profileRecord(old)), append(w.oldIDs, old.ID)
			d.Retired = append(d.Retired, old.ID)
		}
		if d.Sponsor != p.to {
			d.From, d.Moved, d.Undo = d.Sponsor, now, m.Undo
		}
		d.Profile, d.Sponsor, d.MNO, d.Pending, d.Updated = p.id, p.to, p.mno, nil, now
		p.parcel.held = d.held()
		w.add(e.op, p, d, m)
	}
	return w.moved, w.put(ctx, tx, r, e.actor, now)
}

// movedBy says what a plan makes of its device.
func (r *Registry) movedBy(e *errand, p *plan, d *Device, now time.Time) (m Moved, err error) {
	m = Moved{
		Device: d.ID, Owner: d.Owner, From: d.Sponsor, To: p.to, OldProfile: d.Profile, NewProfile: p.id,
		At: now, Requested: now, Undo: now.Add(e.undo),
	}
	if e.op == opDue {
		m.From = d.From
	}
	if d.Pending != nil {
		m.Transfer, m.Requested = d.Pending.Transfer, d.Pending.Requested
		return m, nil
	}
	if e.moving || e.op == opUndo {
		m.Transfer, err = r.newID(now)
	}
	return m, err
}

// commitment is what a commit writes, by table.
type commitment struct {
	devices, profiles, issued []Record
	oldIDs, newIDs            []uint64
	moved                     []Moved
	notes                     []Note
}

func (w *commitment) add(op string, p *plan, d *Device, m Moved) {
	w.moved = append(w.moved, m)
	w.newIDs = append(w.newIDs, p.id)
	w.devices = append(w.devices, deviceRecord(d))
	w.profiles = append(w.profiles, profileRecord(p.parcel.profile))
	w.issued = append(w.issued, Record{Key: profileKey(p.id), Body: encode(p.parcel.issued)})
	detail := map[string]string{"profile": strconv.FormatUint(p.id, 10), "sponsor": d.Sponsor, "mno": d.MNO}
	if m.OldProfile != 0 {
		detail["before"] = strconv.FormatUint(m.OldProfile, 10)
	}
	if m.From != m.To {
		detail["from"] = m.From
	}
	if p.parcel.profile.KeyOnCard {
		detail["cardKey"] = fingerprint(p.device.CardKey)
	}
	w.notes = append(w.notes, Note{Op: op, Device: d.ID, Subject: m.Transfer, Detail: detail})
}

func (w *commitment) put(ctx context.Context, tx Tx, r *Registry, actor Actor, now time.Time) error {
	for _, t := range []struct {
		table Table
		recs  []Record
	}{{TableProfiles, w.profiles}, {TableIssued, w.issued}, {TableDevices, w.devices}} {
		if err := tx.Put(ctx, t.table, t.recs...); err != nil {
			return fmt.Errorf("put %s: %w", t.table, err)
		}
	}
	if err := newTimers(ctx, tx, timerOverlap, now.Add(r.Overlap), profileKeys(w.oldIDs)...); err != nil {
		return err
	}
	if r.Validity > expiryNotice {
		err := newTimers(ctx, tx, timerExpiring, now.Add(r.Validity-expiryNotice), profileKeys(w.newIDs)...)
		if err != nil {
			return err
		}
	}
	if err := r.Record(ctx, tx, actor, w.notes...); err != nil {
		return err
	}
	return r.newWork(ctx, tx, workProvision, w.newIDs)
}
