package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/registry/eid"
)

// Device returns a device that actor may see, as it is now; [ErrNotFound]
// otherwise. The ASP that has asked for it may not see it before it has it.
func (r *Registry) Device(ctx context.Context, actor Actor, id eid.ID) (*Device, error) {
	var d *Device
	err := r.store.View(ctx, func(tx Tx) error {
		m, err := r.devices(ctx, tx, id.String())
		d = m[id.String()]
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

// Devices returns up to limit devices that an ASP, an owner, the operator or an
// auditor may see, as they are now, after the given ID ("" from the start) in
// byte order of their IDs. A page may be shorter than limit, also before the
// end: go on until it is empty, or next is "".
func (r *Registry) Devices(ctx context.Context, actor Actor, after string, limit int) (page []*Device, next string, err error) {
	if limit <= 0 || limit > MaxLimit {
		limit = MaxLimit
	}
	err = r.store.View(ctx, func(tx Tx) error {
		keys, err := r.deviceKeys(ctx, tx, actor, after, limit)
		if err != nil {
			return err
		}
		devices, err := r.devices(ctx, tx, keys...)
		if err != nil {
			return err
		}
		page, next = page[:0], ""
		for _, key := range keys {
			// One that was transferred meanwhile is under its old sponsor yet.
			if d := devices[key]; d != nil && mayRead(actor, d) {
				page = append(page, d)
			}
		}
		if len(keys) == limit {
			next = keys[limit-1]
		}
		return nil
	})
	if err != nil {
		return nil, "", &Error{Op: opRead, Err: err}
	}
	return page, next, nil
}

// deviceKeys returns up to limit keys of devices that may be actor's.
func (r *Registry) deviceKeys(ctx context.Context, tx Tx, actor Actor, after string, limit int) ([]string, error) {
	q := Query{After: after, Limit: limit}
	switch actor.Role {
	case RoleOperator, RoleAuditor:
		return listKeys(ctx, tx, TableDevices, q)
	case RoleASP:
		q.Parent = actor.Account
		keys, err := listKeys(ctx, tx, TableDevices, q)
		if err != nil {
			return nil, err
		}
		coming, err := listKeys(ctx, tx, TableIncoming, q)
		keys = slices.Compact(slices.Sorted(slices.Values(append(keys, coming...))))
		return keys[:min(len(keys), limit)], err
	case RoleOwner:
		q.Parent, q.After = actor.Account, actor.Account+"/"+after
		keys, err := listKeys(ctx, tx, TableOwned, q)
		for i, key := range keys {
			keys[i] = deviceOfOwned(key)
		}
		return keys, err
	}
	return nil, ErrForbidden
}

// Profiles returns every profile a device ever had, oldest first, with the
// status that holds now.
func (r *Registry) Profiles(ctx context.Context, actor Actor, id eid.ID) ([]*Profile, error) {
	if _, err := r.Device(ctx, actor, id); err != nil {
		return nil, err
	}
	var out []*Profile
	err := r.store.View(ctx, func(tx Tx) (err error) {
		out, err = listAll[Profile](ctx, tx, TableProfiles, Query{Parent: id.String()})
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
	var ids []uint64
	var live map[uint64]bool
	err = r.store.View(ctx, func(tx Tx) error {
		page, err := listAll[Profile](ctx, tx, TableProfiles, Query{After: after, Limit: r.Batch})
		if err != nil {
			return err
		}
		all := make([]uint64, len(page))
		for i, p := range page {
			all[i], last = p.ID, profileKey(p.ID)
		}
		live, err = r.liveIn(ctx, tx, all)
		ids = slices.DeleteFunc(all, func(id uint64) bool { return !live[id] })
		return err
	})
	if err != nil || len(ids) == 0 {
		return 0, last, err
	}
	parcels, err := r.loadParcels(ctx, ids)
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
		return 0, last, fmt.Errorf("publish %d records: %w", len(ids), err)
	}
	// Some may have been withdrawn or put on hold while they were published.
	now, err := r.liveOf(ctx, ids)
	if err == nil {
		_, err = r.syncZone(ctx, slices.DeleteFunc(ids, func(id uint64) bool { return now[id] }))
	}
	return len(parcels), last, err
}
