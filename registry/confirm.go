package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// Confirmation is an ASP's word that it has verified a device with a profile.
type Confirmation struct {
	Device    eid.ID
	ProfileID uint64
}

// Confirm records that devices connected to their sponsor with their current
// profiles, and withdraws the profiles these replaced: from then on DNS denies
// the old ones. Repeating a confirmation does no harm.
func (r *Registry) Confirm(ctx context.Context, actor Actor, cs ...Confirmation) ([]Result, error) {
	if err := may(actor, opConfirm, nil); err != nil {
		return nil, &Error{Op: opConfirm, Err: err}
	}
	results := make([]Result, len(cs))
	for start, batch := range chunks(cs, r.Batch) {
		var retired []uint64
		err := r.store.Update(ctx, func(tx Tx) (err error) {
			retired, err = r.confirmBatch(ctx, tx, actor, batch, results[start:])
			return err
		})
		if err == nil {
			_, err = r.withdraw(ctx, retired)
		}
		if err != nil {
			return results, &Error{Op: opConfirm, Err: err}
		}
	}
	return results, nil
}

func (r *Registry) confirmBatch(ctx context.Context, tx Tx, actor Actor, cs []Confirmation, results []Result) ([]uint64, error) {
	ids, profiles := make([]eid.ID, len(cs)), make([]uint64, len(cs))
	for i, c := range cs {
		ids[i], profiles[i] = c.Device, c.ProfileID
	}
	devices, err := getAll[Device](ctx, tx, TableDevices, idKeys(ids)...)
	if err != nil {
		return nil, err
	}
	current, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(profiles)...)
	if err != nil {
		return nil, err
	}
	var retired []uint64
	var recs []Record
	seen := map[uint64]bool{}
	for i, c := range cs {
		results[i] = Result{Device: c.Device, ProfileID: c.ProfileID}
		d := devices[c.Device.String()]
		if err := mayConfirm(actor, d, c.ProfileID); err != nil {
			results[i].Err = &Error{Op: opConfirm, Device: c.Device, Err: err}
			continue
		}
		p := current[profileKey(c.ProfileID)]
		if p == nil || seen[p.ID] {
			continue
		}
		seen[p.ID] = true
		// A device that failed to install and connects all the same has it.
		if p.Status.rank() < ProfileConnected.rank() || p.Status == ProfileFailed {
			p.Status, p.Updated = ProfileConnected, r.now()
			recs = append(recs, profileRecord(p))
		}
		for _, id := range d.Retired {
			if err := putWork(ctx, tx, id, workWithdraw); err != nil {
				return nil, err
			}
			retired = append(retired, id)
		}
	}
	return retired, tx.Put(ctx, TableProfiles, recs...)
}

func mayConfirm(actor Actor, d *Device, id uint64) error {
	if d == nil {
		return ErrNotFound
	}
	if err := may(actor, opConfirm, d); err != nil {
		return err
	}
	if d.Profile == 0 || d.Profile != id {
		return fmt.Errorf("%w: profile %d is not the device's current one", ErrState, id)
	}
	return nil
}

// Progress records what an operator reports of an order (ES2+
// HandleDownloadProgressInfo). Reports that come late or twice change nothing.
func (r *Registry) Progress(ctx context.Context, actor Actor, reports ...mno.Progress) error {
	if err := may(actor, opProgress, nil); err != nil {
		return &Error{Op: opProgress, Err: err}
	}
	return r.store.Update(ctx, func(tx Tx) error {
		for _, rep := range reports {
			if err := r.progress(ctx, tx, actor, rep); err != nil {
				return &Error{Op: opProgress, Device: rep.Device, Err: err}
			}
		}
		return nil
	})
}

func (r *Registry) progress(ctx context.Context, tx Tx, actor Actor, rep mno.Progress) error {
	d, err := getOne[Device](ctx, tx, TableDevices, rep.Device.String())
	if err != nil {
		return err
	}
	if d == nil {
		return errNotOurs
	}
	if err := may(actor, opProgress, d); err != nil {
		return fmt.Errorf("%w: %w", err, errNotOurs)
	}
	ids := append([]uint64{d.Profile}, d.Retired...)
	profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		// An operator that is no more than a standard SM-DP+ names the ICCID only.
		if p.ID != rep.ProfileID && (rep.ProfileID != 0 || p.Receipt.ICCID != rep.ICCID) {
			continue
		}
		to, operator := progressStatus(rep)
		if to == "" || p.Status.rank() >= to.rank() || p.Status == ProfileConnected {
			return nil
		}
		p.Status, p.MNOStatus, p.Updated = to, operator, r.now()
		return tx.Put(ctx, TableProfiles, profileRecord(p))
	}
	return errNotOurs
}

// errNotOurs is the answer to news that will never be of use here. It carries
// the operator's own status, so that its SM-DP+ stops repeating it.
var errNotOurs = fmt.Errorf("%w: no such order is current: %w", ErrNotFound, mno.ErrUnknownICCID)

// progressStatus says what a report means for a profile; "" when it means
// nothing to the registry.
func progressStatus(rep mno.Progress) (ProfileStatus, MNOStatus) {
	switch {
	case rep.Failure != nil && rep.Point == mno.PointInstall:
		return ProfileFailed, MNOFailed
	case rep.Failure != nil:
		return "", "" // the device may try again
	case rep.Point == mno.PointDownload:
		return ProfileDownloaded, MNODownloaded
	case rep.Point == mno.PointInstall:
		return ProfileInstalled, MNOInstalled
	}
	return "", ""
}

// withdraw removes the records of superseded profiles from the zone and then
// records that it did. Between the two a crash costs a repetition, no more.
func (r *Registry) withdraw(ctx context.Context, ids []uint64) (int, error) {
	profiles, err := r.loadProfiles(ctx, ids)
	if err != nil || len(profiles) == 0 {
		return 0, err
	}
	defer r.timed("withdraw", len(profiles))()
	var change publish.ChangeSet
	for _, p := range profiles {
		change.RemoveNames = append(change.RemoveNames, dns.Fqdn(p.Name))
	}
	if _, err := r.Publisher.Publish(ctx, change); err != nil {
		return 0, fmt.Errorf("withdraw %d records: %w", len(profiles), err)
	}
	return len(profiles), r.store.Update(ctx, func(tx Tx) error { return r.recordWithdrawn(ctx, tx, profiles) })
}

func (r *Registry) recordWithdrawn(ctx context.Context, tx Tx, withdrawn []*Profile) error {
	var ids []uint64
	var devs []eid.ID
	for _, p := range withdrawn {
		ids, devs = append(ids, p.ID), append(devs, p.Device)
	}
	profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
	if err != nil {
		return err
	}
	devices, err := getAll[Device](ctx, tx, TableDevices, idKeys(devs)...)
	if err != nil {
		return err
	}
	var recs, devRecs []Record
	for _, p := range profiles {
		p.Status, p.Updated = ProfileRevoked, r.now()
		recs = append(recs, profileRecord(p))
		if d := devices[p.Device.String()]; d != nil {
			d.Retired = without(d.Retired, p.ID)
		}
	}
	for _, d := range devices {
		devRecs = append(devRecs, deviceRecord(d))
	}
	return errors.Join(
		tx.Put(ctx, TableProfiles, recs...),
		tx.Put(ctx, TableDevices, devRecs...),
		tx.Delete(ctx, TableWork, profileKeys(ids)...),
	)
}

// endOverlaps withdraws those of ids whose overlap is over.
func (r *Registry) endOverlaps(ctx context.Context, ids []uint64) (int, error) {
	profiles, err := r.loadProfiles(ctx, ids)
	if err != nil {
		return 0, err
	}
	now := r.now()
	var over []uint64
	for _, p := range profiles {
		if !now.Before(p.WithdrawAt) {
			over = append(over, p.ID)
		}
	}
	return r.withdraw(ctx, over)
}

func without(ids []uint64, id uint64) []uint64 {
	var out []uint64
	for _, v := range ids {
		if v != id {
			out = append(out, v)
		}
	}
	return out
}
