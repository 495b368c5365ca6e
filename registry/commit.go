package registry

import (
	"context"
	"errors"
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
// device's sponsor and profile change, together.
func (r *Registry) commit(ctx context.Context, tx Tx, op string, plans []*plan, onCommit func(context.Context, Tx, []Moved) error) ([]*plan, error) {
	var keys []string
	for _, p := range plans {
		keys = append(keys, p.result.Device.String())
	}
	devices, err := getAll[Device](ctx, tx, TableDevices, keys...)
	if err != nil {
		return nil, err
	}
	var done []*plan
	var moved []Moved
	var recs, profiles, issued []Record
	for _, p := range plans {
		d := devices[p.result.Device.String()]
		if p.parcel.profile == nil {
			continue
		}
		p.result.Err = nil // a store may run this again after a conflict
		// First what may have changed, then the code: one that is used up for
		// nothing would be lost to its owner.
		if d == nil || d.version != p.device.version {
			p.fail(op, ErrConflict)
			continue
		}
		if p.move {
			if err := r.useCode(ctx, tx, d, p.code); errors.Is(err, ErrAuthCode) {
				p.fail(op, err)
				continue
			} else if err != nil {
				return nil, err
			}
		}
		m, err := r.supersede(ctx, tx, d, p)
		if err != nil {
			return nil, err
		}
		moved = append(moved, m)
		recs = append(recs, deviceRecord(d))
		profiles = append(profiles, profileRecord(p.parcel.profile))
		issued = append(issued, Record{Key: profileKey(p.id), Body: encode(p.parcel.issued)})
		done = append(done, p)
	}
	if err := tx.Put(ctx, TableProfiles, profiles...); err != nil {
		return nil, err
	}
	if err := tx.Put(ctx, TableIssued, issued...); err != nil {
		return nil, err
	}
	if err := tx.Put(ctx, TableDevices, recs...); err != nil {
		return nil, err
	}
	if onCommit != nil {
		if err := onCommit(ctx, tx, moved); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// supersede makes p's profile the current one of d and starts the overlap of
// the one before, whose records stay published until the device has moved.
func (r *Registry) supersede(ctx context.Context, tx Tx, d *Device, p *plan) (Moved, error) {
	now := r.now()
	m := Moved{Device: d.ID, From: d.Sponsor, To: p.sponsor.ID, OldProfile: d.Profile, NewProfile: p.id, At: now}
	if d.Profile != 0 {
		old, err := getOne[Profile](ctx, tx, TableProfiles, profileKey(d.Profile))
		if err != nil {
			return m, err
		}
		if old != nil {
			old.Status, old.WithdrawAt, old.Updated = ProfileSuperseded, now.Add(r.Overlap), now
			if err := tx.Put(ctx, TableProfiles, profileRecord(old)); err != nil {
				return m, err
			}
			if err := putWork(ctx, tx, old.ID, workOverlap); err != nil {
				return m, err
			}
			d.Retired = append(d.Retired, old.ID)
		}
	}
	d.Profile, d.Sponsor, d.Updated = p.id, p.sponsor.ID, now
	return m, putWork(ctx, tx, p.id, workProvision)
}
