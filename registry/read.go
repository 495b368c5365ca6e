package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/registry/eid"
)

// Device returns a device that actor may see; [ErrNotFound] otherwise.
func (r *Registry) Device(ctx context.Context, actor Actor, id eid.ID) (*Device, error) {
	var d *Device
	err := r.store.View(ctx, func(tx Tx) (err error) {
		d, err = getOne[Device](ctx, tx, TableDevices, id.String())
		return err
	})
	if err == nil && (d == nil || !mayRead(actor, d)) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, &Error{Op: opRead, Device: id, Err: err}
	}
	return d, nil
}

// Devices returns up to limit devices that an ASP, the operator or an auditor
// may see, after the given ID ("" from the start) in byte order of their IDs.
func (r *Registry) Devices(ctx context.Context, actor Actor, after string, limit int) ([]*Device, error) {
	q := Query{After: after, Limit: limit}
	switch actor.Role {
	case RoleASP:
		q.Parent = actor.Account
	case RoleOperator, RoleAuditor:
	default:
		return nil, &Error{Op: opRead, Err: ErrForbidden}
	}
	var out []*Device
	err := r.store.View(ctx, func(tx Tx) error {
		out = out[:0]
		recs, err := tx.List(ctx, TableDevices, q)
		for _, rec := range recs {
			d := &Device{}
			if err := decode(rec, d); err != nil {
				return err
			}
			d.version = rec.Version
			out = append(out, d)
		}
		return err
	})
	if err != nil {
		return nil, &Error{Op: opRead, Err: err}
	}
	return out, nil
}

// Profiles returns every profile a device ever had, oldest first, with the
// status that holds now.
func (r *Registry) Profiles(ctx context.Context, actor Actor, id eid.ID) ([]*Profile, error) {
	if _, err := r.Device(ctx, actor, id); err != nil {
		return nil, err
	}
	var out []*Profile
	err := r.store.View(ctx, func(tx Tx) (err error) {
		out, err = listProfiles(ctx, tx, Query{Parent: id.String()})
		return err
	})
	if err != nil {
		return nil, &Error{Op: opRead, Device: id, Err: err}
	}
	now := r.now()
	for _, p := range out {
		p.project(now)
	}
	return out, nil
}

func listProfiles(ctx context.Context, tx Tx, q Query) ([]*Profile, error) {
	recs, err := tx.List(ctx, TableProfiles, q)
	if err != nil {
		return nil, err
	}
	out := make([]*Profile, len(recs))
	for i, rec := range recs {
		out[i] = &Profile{version: rec.Version}
		if err := decode(rec, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Issued returns what was made for one of a device's profiles.
func (r *Registry) Issued(ctx context.Context, actor Actor, id eid.ID, profileID uint64) (*Issued, error) {
	profiles, err := r.Profiles(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	var out *Issued
	err = ErrNotFound
	if slices.ContainsFunc(profiles, func(p *Profile) bool { return p.ID == profileID }) {
		err = r.store.View(ctx, func(tx Tx) (err error) {
			out, err = getOne[Issued](ctx, tx, TableIssued, profileKey(profileID))
			return err
		})
		if err == nil && out == nil {
			err = ErrNotFound
		}
	}
	if err != nil {
		return nil, &Error{Op: opRead, Device: id, Err: err}
	}
	return out, nil
}

// Republish puts the records of every live profile into the zone again: for a
// publisher that starts empty, such as a zone held in memory. It returns how
// many profiles it published.
func (r *Registry) Republish(ctx context.Context, actor Actor) (int, error) {
	if err := may(actor, opRun, nil); err != nil {
		return 0, &Error{Op: "republish", Err: err}
	}
	done, after := 0, ""
	for {
		n, next, err := r.republishPage(ctx, after)
		done += n
		if err != nil {
			return done, &Error{Op: "republish", Err: err}
		}
		if next == "" {
			return done, nil
		}
		after = next
	}
}

// republishPage publishes one page of profiles and returns the key of its last,
// "" when there was none.
func (r *Registry) republishPage(ctx context.Context, after string) (n int, last string, err error) {
	var live []uint64
	err = r.store.View(ctx, func(tx Tx) error {
		page, err := listProfiles(ctx, tx, Query{After: after, Limit: r.Batch})
		live = live[:0]
		for _, p := range page {
			last = profileKey(p.ID)
			if p.project(r.now()); p.Status != ProfileGenerated && p.Status != ProfileRevoked {
				live = append(live, p.ID)
			}
		}
		return err
	})
	if err != nil || len(live) == 0 {
		return 0, last, err
	}
	parcels, err := r.loadParcels(ctx, live)
	if err != nil {
		return 0, last, err
	}
	var change publish.ChangeSet
	for _, p := range parcels {
		rr, err := r.certRecord(p)
		if err != nil {
			return 0, last, err
		}
		change.Add = append(change.Add, rr)
	}
	if _, err := r.Publisher.Publish(ctx, change); err != nil {
		return 0, last, fmt.Errorf("publish %d records: %w", len(live), err)
	}
	now, err := r.loadProfiles(ctx, live)
	if err == nil {
		err = r.withdrawRevoked(ctx, now)
	}
	return len(live), last, err
}
