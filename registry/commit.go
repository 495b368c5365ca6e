package registry

import (
	"context"
	"slices"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Moved is one device's committed change of profile, for [MoveOptions.OnCommit].
type Moved struct {
	Device     eid.ID
	From, To   string // sponsors; equal on a first activation
	OldProfile uint64 // 0 on a first activation
	NewProfile uint64
	At         time.Time
}

// commit makes the new profiles current. It is the one moment at which a
// device's sponsor and profile change, together. It returns the plans that were
// carried out.
func (r *Registry) commit(ctx context.Context, tx Tx, op string, plans []*plan, onCommit func(context.Context, Tx, []Moved) error) ([]*plan, error) {
	devices, err := getAll[Device](ctx, tx, TableDevices, planKeys(plans)...)
	if err != nil {
		return nil, err
	}
	codes, err := getAll[codeRecord](ctx, tx, TableCodes, planKeys(plans)...)
	if err != nil {
		return nil, err
	}
	var done []*plan
	var usedCodes, guesses []string
	for _, p := range plans {
		if p.parcel.profile == nil {
			continue
		}
		p.result.Err = nil // a store may run this again after a conflict
		key := p.result.Device.String()
		// First what may have changed, then the code: one that is used up for
		// nothing would be lost to its owner.
		switch d := devices[key]; {
		case d == nil || d.changedSince(p.device):
			p.fail(op, ErrConflict)
			continue
		case p.move && !codes[key].matches(p.code, r.now()):
			p.fail(op, ErrAuthCode)
			continue
		case p.move:
			usedCodes = append(usedCodes, key)
			guesses = append(guesses, guessKey(d.ID, p.sponsor.ID))
		}
		done = append(done, p)
	}
	if err := tx.Delete(ctx, TableCodes, usedCodes...); err != nil {
		return nil, err
	}
	if err := tx.Delete(ctx, TableFailures, guesses...); err != nil {
		return nil, err
	}
	moved, err := r.supersede(ctx, tx, devices, done)
	if err == nil && onCommit != nil && len(moved) > 0 {
		err = onCommit(ctx, tx, moved)
	}
	return done, err
}

// changedSince reports whether d is no longer what a plan was made for. Other
// changes, such as the withdrawal of an earlier profile, do not matter to it.
func (d *Device) changedSince(then *Device) bool {
	return d.Sponsor != then.Sponsor || d.Profile != then.Profile || d.Key != then.Key ||
		d.MNO != then.MNO || !slices.Equal(d.Status, then.Status)
}

// supersede makes the plans' profiles the current ones and starts the overlap of
// those before, whose records stay published until the devices have moved.
func (r *Registry) supersede(ctx context.Context, tx Tx, devices map[string]*Device, plans []*plan) ([]Moved, error) {
	chosen := map[string]*Device{}
	for _, key := range planKeys(plans) {
		chosen[key] = devices[key]
	}
	current, err := currentProfiles(ctx, tx, chosen)
	if err != nil {
		return nil, err
	}
	now := r.now()
	var moved []Moved
	var oldIDs, newIDs []uint64
	var recs, profiles, issued []Record
	for _, p := range plans {
		d := devices[p.result.Device.String()]
		moved = append(moved, Moved{
			Device: d.ID, From: d.Sponsor, To: p.sponsor.ID, OldProfile: d.Profile, NewProfile: p.id, At: now,
		})
		if old := current[profileKey(d.Profile)]; old != nil {
			old.Status, old.WithdrawAt, old.Updated = ProfileSuperseded, now.Add(r.Overlap), now
			profiles, oldIDs = append(profiles, profileRecord(old)), append(oldIDs, old.ID)
			d.Retired = append(d.Retired, old.ID)
		}
		d.Profile, d.Sponsor, d.Updated = p.id, p.sponsor.ID, now
		newIDs = append(newIDs, p.id)
		recs = append(recs, deviceRecord(d))
		profiles = append(profiles, profileRecord(p.parcel.profile))
		issued = append(issued, Record{Key: profileKey(p.id), Body: encode(p.parcel.issued)})
	}
	for _, w := range []struct {
		table Table
		recs  []Record
	}{{TableProfiles, profiles}, {TableIssued, issued}, {TableDevices, recs}} {
		if err := tx.Put(ctx, w.table, w.recs...); err != nil {
			return nil, err
		}
	}
	if err := putWork(ctx, tx, workOverlap, oldIDs); err != nil {
		return nil, err
	}
	return moved, putWork(ctx, tx, workProvision, newIDs)
}
