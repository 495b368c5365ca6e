package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

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
// the old ones. Repeating a confirmation does no harm. Results are in the order
// of cs; when Confirm itself fails, each one it did not finish carries the error.
func (r *Registry) Confirm(ctx context.Context, actor Actor, cs ...Confirmation) ([]Result, error) {
	if err := may(actor, opConfirm, nil); err != nil {
		return nil, &Error{Op: opConfirm, Err: err}
	}
	results := make([]Result, len(cs))
	for i, c := range cs {
		results[i] = Result{Device: c.Device, ProfileID: c.ProfileID}
	}
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
			return results, unfinished(opConfirm, results[start:], err)
		}
	}
	return results, nil
}

func (r *Registry) confirmBatch(ctx context.Context, tx Tx, actor Actor, cs []Confirmation, results []Result) ([]uint64, error) {
	ids, profiles := make([]eid.ID, len(cs)), make([]uint64, len(cs))
	for i, c := range cs {
		ids[i], profiles[i] = c.Device, c.ProfileID
	}
	devices, err := r.devices(ctx, tx, idKeys(ids)...)
	if err != nil {
		return nil, err
	}
	current, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(profiles)...)
	if err != nil {
		return nil, err
	}
	var retired []uint64
	var recs []Record
	var notes []Note
	for i, c := range cs {
		results[i] = Result{Device: c.Device, ProfileID: c.ProfileID}
		d := devices[c.Device.String()]
		p := current[profileKey(c.ProfileID)]
		if err := mayConfirm(actor, d, p, c.ProfileID); err != nil {
			results[i].Err = &Error{Op: opConfirm, Device: c.Device, Err: err}
			continue
		}
		// A device that failed to install and connects all the same has it.
		if p.Status.rank() < ProfileConnected.rank() || p.Status == ProfileFailed {
			p.Status, p.Connected, p.Updated = ProfileConnected, r.now(), r.now()
			recs = append(recs, profileRecord(p))
			notes = append(notes, Note{Op: opConfirm, Device: d.ID, Detail: map[string]string{"profile": strconv.FormatUint(p.ID, 10)}})
		}
		retired = append(retired, d.Retired...)
	}
	slices.Sort(retired) // a device may be named twice
	retired = slices.Compact(retired)
	if err := r.putWork(ctx, tx, workWithdraw, retired); err != nil {
		return nil, err
	}
	if err := r.Record(ctx, tx, actor, notes...); err != nil {
		return nil, err
	}
	return retired, tx.Put(ctx, TableProfiles, recs...)
}

func mayConfirm(actor Actor, d *Device, p *Profile, id uint64) error {
	if d == nil {
		return ErrNotFound
	}
	if err := may(actor, opConfirm, d); err != nil {
		return err
	}
	if p == nil || d.Profile != id {
		return fmt.Errorf("%w: profile %d is not the device's current one", ErrState, id)
	}
	// After a transfer that nobody decided it may yet be the one of the sponsor before.
	if p.Sponsor != actor.Account {
		return fmt.Errorf("%w: profile %d leads to another provider: confirm the device's next one", ErrState, id)
	}
	// Its record is not in the zone and its order not placed: believing this
	// would take away what the device still lives on.
	if p.Status == ProfileGenerated {
		return fmt.Errorf("%w: profile %d is not published yet: confirm again later", ErrState, id)
	}
	return nil
}

// Progress records what an operator reports of orders (ES2+
// HandleDownloadProgressInfo), which must name their device. Reports that come
// late or twice change nothing.
// The error joins those of the reports that were refused; the others are
// recorded. [mno.ErrUnknownICCID] in it means never to report this again.
func (r *Registry) Progress(ctx context.Context, actor Actor, reports ...mno.Progress) error {
	if err := may(actor, opProgress, nil); err != nil {
		return &Error{Op: opProgress, Err: err}
	}
	var refused []error
	err := r.store.Update(ctx, func(tx Tx) error {
		refused = nil
		for _, rep := range reports {
			why, err := r.progress(ctx, tx, actor, rep)
			if err != nil {
				return err
			}
			if why != nil {
				refused = append(refused, &Error{Op: opProgress, Device: rep.Device, Err: why})
			}
		}
		return nil
	})
	if err != nil {
		return &Error{Op: opProgress, Err: err}
	}
	return errors.Join(refused...)
}

// progress records one report. The first error says why it is refused, the
// second is the store's.
func (r *Registry) progress(ctx context.Context, tx Tx, actor Actor, rep mno.Progress) (error, error) {
	devices, err := r.devices(ctx, tx, rep.Device.String())
	if err != nil {
		return nil, err
	}
	d := devices[rep.Device.String()]
	if d == nil {
		return errNotOurs, nil
	}
	switch err := may(actor, opProgress, d); {
	case errors.Is(err, ErrNotFound):
		return errNotOurs, nil // in the same words as of one that does not exist
	case err != nil:
		return fmt.Errorf("%w: %w", err, errNotOurs), nil
	}
	ids := append([]uint64{d.Profile}, d.Retired...)
	profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(profiles, func(_ string, p *Profile) bool { return p.MNO != actor.Account })
	p, why := reported(profiles, rep)
	if p == nil {
		return why, nil
	}
	to, operator := progressStatus(rep)
	if to == "" || p.Status.rank() >= to.rank() || p.Status == ProfileConnected {
		return nil, nil
	}
	p.Status, p.MNOStatus, p.Updated = to, operator, r.now()
	if err := tx.Put(ctx, TableProfiles, profileRecord(p)); err != nil {
		return nil, err
	}
	return nil, r.tellProgress(ctx, tx, actor, p)
}

// tellProgress tells a profile's sponsor how its delivery has ended.
func (r *Registry) tellProgress(ctx context.Context, tx Tx, actor Actor, p *Profile) error {
	number := map[string]string{"profile": strconv.FormatUint(p.ID, 10)}
	m := Message{Account: p.Sponsor, Type: MessageProfileDelivered, Device: p.Device, By: actor.Account, Detail: number}
	switch p.Status {
	case ProfileFailed:
		m.Type = MessageProfileFailed
	case ProfileInstalled:
	default:
		return nil
	}
	err := r.Record(ctx, tx, actor, Note{Op: string(p.Status), Device: p.Device, Detail: number})
	if err != nil {
		return err
	}
	return r.Notify(ctx, tx, m)
}

// reported finds the profile that a report is about, or says why there is none.
func reported(profiles map[string]*Profile, rep mno.Progress) (*Profile, error) {
	why := errNotOurs
	for _, p := range profiles {
		switch {
		case p.Status == ProfileGenerated: // it cannot have been ordered
		case rep.ProfileID != 0:
			if p.ID == rep.ProfileID {
				return p, nil
			}
		// An operator that is no more than a standard SM-DP+ names the ICCID only,
		// and may do so before the receipt with that ICCID is recorded here.
		case p.Receipt.ICCID == "" && p.Status == ProfilePublished && rep.ICCID != "":
			why = fmt.Errorf("%w: an order for this device is being recorded: report again later", ErrState)
		case p.Receipt.ICCID == rep.ICCID && rep.ICCID != "":
			return p, nil
		}
	}
	return nil, why
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
	var unwanted []uint64
	err = r.store.Update(ctx, func(tx Tx) (err error) {
		unwanted, err = r.recordWithdrawn(ctx, tx, profiles)
		return err
	})
	if err != nil {
		return 0, err
	}
	_, err = r.cancelOrders(ctx, unwanted)
	return len(profiles), err
}

// recordWithdrawn returns the profiles whose orders nobody will want any more.
func (r *Registry) recordWithdrawn(ctx context.Context, tx Tx, withdrawn []*Profile) (unwanted []uint64, err error) {
	ids, devs := make([]uint64, len(withdrawn)), make([]eid.ID, len(withdrawn))
	for i, p := range withdrawn {
		ids[i], devs[i] = p.ID, p.Device
	}
	profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
	if err != nil {
		return nil, err
	}
	devices, err := r.devices(ctx, tx, idKeys(devs)...)
	if err != nil {
		return nil, err
	}
	var recs, devRecs []Record
	var notes []Note
	changed := map[*Device]bool{}
	for _, p := range profiles {
		// Superseded before it was ordered: another process may yet put it into
		// the zone, and die before it sees that it must not. Look once more then.
		if p.MNOStatus == MNONone && r.now().Before(p.WithdrawAt) {
			if err := putTimers(ctx, tx, timerOverlap, p.WithdrawAt, profileKey(p.ID)); err != nil {
				return nil, err
			}
		}
		if p.Status == ProfileRevoked {
			continue // by another process
		}
		p.Status, p.Updated = ProfileRevoked, r.now()
		recs = append(recs, profileRecord(p))
		if p.MNOStatus == MNOOffered && p.Connected.IsZero() {
			unwanted = append(unwanted, p.ID)
		}
		notes = append(notes, Note{Op: "withdraw", Device: p.Device, Detail: map[string]string{"profile": strconv.FormatUint(p.ID, 10)}})
		if d := devices[p.Device.String()]; d != nil {
			d.Retired = slices.DeleteFunc(d.Retired, func(id uint64) bool { return id == p.ID })
			changed[d] = true
		}
	}
	for d := range changed {
		devRecs = append(devRecs, deviceRecord(d))
	}
	if err := tx.Put(ctx, TableProfiles, recs...); err != nil {
		return nil, err
	}
	if err := tx.Put(ctx, TableDevices, devRecs...); err != nil {
		return nil, err
	}
	if err := r.Record(ctx, tx, itself, notes...); err != nil {
		return nil, err
	}
	if err := tx.Delete(ctx, TableWork, profileKeys(ids)...); err != nil {
		return nil, err
	}
	return unwanted, r.putWork(ctx, tx, workCancel, unwanted)
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
