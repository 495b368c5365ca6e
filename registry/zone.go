package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/publish"
)

// syncTries bounds how often a device may change while its records are put right.
const syncTries = 3

// syncZone brings the zone in line with what holds for the devices of profiles:
// a device that is held or deleted has no records there.
func (r *Registry) syncZone(ctx context.Context, ids []uint64) (int, error) {
	total := len(ids)
	for range syncTries {
		if len(ids) == 0 {
			return total, nil
		}
		before, change, err := r.zoneOf(ctx, ids)
		if err != nil {
			return 0, err
		}
		if _, err := r.Publisher.Publish(ctx, change); err != nil {
			return 0, fmt.Errorf("bring %d records in line: %w", len(ids), err)
		}
		if ids, err = r.synced(ctx, ids, before); err != nil {
			return 0, err
		}
	}
	return total - len(ids), nil // the rest stays owed
}

// zoneOf returns which of the profiles belong into the zone, and the change that
// makes it so.
func (r *Registry) zoneOf(ctx context.Context, ids []uint64) (map[uint64]bool, publish.ChangeSet, error) {
	var change publish.ChangeSet
	live, err := r.liveOf(ctx, ids)
	if err != nil {
		return nil, change, err
	}
	parcels, err := r.loadParcels(ctx, ids)
	if err != nil {
		return nil, change, err
	}
	for _, p := range parcels {
		if !live[p.profile.ID] {
			change.RemoveNames = append(change.RemoveNames, dns.Fqdn(p.profile.Name))
			continue
		}
		rr, err := r.certRecord(p)
		if err != nil {
			return nil, change, err
		}
		change.Add = append(change.Add, rr)
	}
	return live, change, nil
}

func (r *Registry) liveOf(ctx context.Context, ids []uint64) (live map[uint64]bool, err error) {
	err = r.store.View(ctx, func(tx Tx) error {
		live, err = r.liveIn(ctx, tx, ids)
		return err
	})
	return live, err
}

// liveIn says which of the profiles belong into the zone. One that is only
// generated does, too: it is on its way there, and must not be taken out behind
// the back of who puts it in.
func (r *Registry) liveIn(ctx context.Context, tx Tx, ids []uint64) (map[uint64]bool, error) {
	profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
	if err != nil {
		return nil, err
	}
	devices, err := r.devicesOf(ctx, tx, profiles)
	if err != nil {
		return nil, err
	}
	live := map[uint64]bool{}
	for _, p := range profiles {
		p.project(r.now())
		d := devices[p.Device.String()]
		live[p.ID] = d != nil && !d.held() && p.Status != ProfileRevoked && slices.Contains(d.published(), p.ID)
	}
	return live, nil
}

// synced records that the zone is as it should be, except for profiles for which
// that has changed since before; it returns those.
func (r *Registry) synced(ctx context.Context, ids []uint64, before map[uint64]bool) (again []uint64, err error) {
	err = r.store.Update(ctx, func(tx Tx) error {
		again = nil
		live, err := r.liveIn(ctx, tx, ids)
		if err != nil {
			return err
		}
		var done []uint64
		for _, id := range ids {
			if live[id] == before[id] {
				done = append(done, id)
			} else {
				again = append(again, id)
			}
		}
		return deleteWork(ctx, tx, workSync, done)
	})
	return again, err
}
