package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
)

// profileType is the kind of subscription ordered for an IoT profile.
const profileType = "iot"

// parcel is a profile with what must be published and ordered for it.
type parcel struct {
	profile *Profile
	issued  *Issued
	held    bool // its device was held when this was read
}

// finish publishes and orders profiles and records each step. It returns why
// the operator did not take some of them; Resume tries those again.
func (r *Registry) finish(ctx context.Context, parcels []parcel) (map[uint64]error, error) {
	if err := r.publish(ctx, parcels); err != nil {
		return nil, err
	}
	return r.order(ctx, parcels)
}

// publish adds the records of parcels that are not published yet, unless their
// devices are held. It brings the parcels up to date: another process may have
// come further with them, or have superseded them.
func (r *Registry) publish(ctx context.Context, parcels []parcel) error {
	var change publish.ChangeSet
	steps, held := map[uint64]step{}, map[uint64]bool{}
	for _, p := range parcels {
		if p.profile.Status != ProfileGenerated {
			continue
		}
		steps[p.profile.ID] = step{status: ProfilePublished, mno: MNONone}
		if held[p.profile.ID] = p.held; p.held {
			continue
		}
		rr, err := r.certRecord(p)
		if err != nil {
			return err
		}
		change.Add = append(change.Add, rr)
	}
	if len(steps) == 0 {
		return nil
	}
	defer r.timed("publish", len(steps))()
	if _, err := r.Publisher.Publish(ctx, change); err != nil {
		return fmt.Errorf("publish %d records: %w", len(steps), err)
	}
	now, differ, err := r.advance(ctx, steps, held)
	if err != nil {
		return err
	}
	for i, p := range parcels {
		if fresh := now[profileKey(p.profile.ID)]; fresh != nil {
			parcels[i].profile = fresh
		}
	}
	// Some devices were put on hold, or taken off it, while they were published.
	if _, err := r.syncZone(ctx, differ); err != nil {
		return err
	}
	return r.withdrawRevoked(ctx, slices.Collect(maps.Values(now)))
}

// withdrawRevoked takes back records that were put into the zone while another
// process was withdrawing them.
func (r *Registry) withdrawRevoked(ctx context.Context, profiles []*Profile) error {
	var revoked []uint64
	for _, p := range profiles {
		if p.Status == ProfileRevoked {
			revoked = append(revoked, p.ID)
		}
	}
	_, err := r.withdraw(ctx, revoked)
	return err
}

// order sends the parcels to their operators.
func (r *Registry) order(ctx context.Context, parcels []parcel) (map[uint64]error, error) {
	defer r.timed("order", len(parcels))()
	var mu sync.Mutex
	steps, refused := map[uint64]step{}, map[uint64]error{}
	err := forEach(ctx, len(parcels), r.Orders, func(i int) error {
		p := parcels[i].profile
		if p.Status.rank() >= ProfileSuperseded.rank() {
			mu.Lock()
			defer mu.Unlock()
			steps[p.ID] = step{done: true}
			return nil
		}
		taken, err := r.orderOne(ctx, parcels[i])
		mu.Lock()
		defer mu.Unlock()
		if taken != nil {
			steps[p.ID] = *taken
		}
		if err != nil {
			r.log.WarnContext(ctx, "operator did not take an order", "device", p.Device, "profile", p.ID, "mno", p.MNO, "err", err)
			refused[p.ID] = err
		}
		return nil
	})
	if err != nil {
		return refused, err
	}
	_, _, err = r.advance(ctx, steps, nil)
	return refused, err
}

// orderOne orders one profile. It returns the step that makes for the profile,
// nil when none, and why the operator did not take the order.
func (r *Registry) orderOne(ctx context.Context, p parcel) (*step, error) {
	if p.profile.Status == ProfileFailed {
		return &step{done: true}, nil // it got as far as the device
	}
	operator, err := r.Operators[p.profile.MNO], error(nil)
	var receipt mno.Receipt
	if operator == nil {
		err = fmt.Errorf("%w: no way to this operator is configured", ErrUnknown)
	} else {
		receipt, err = operator.Order(ctx, mno.Order{
			Device: p.profile.Device, ProfileID: p.profile.ID, Sealed: p.issued.Sealed, ProfileType: profileType,
		})
	}
	switch {
	case err == nil:
		return &step{status: ProfileOrdered, mno: MNOOffered, receipt: &receipt, done: true}, nil
	case errors.Is(err, mno.ErrOrderClosed):
		// No repetition will help, only another profile.
		return &step{status: ProfileFailed, mno: MNOFailed, done: true},
			notTaken(p.profile, "is closed, activate the device again", err)
	default:
		return nil, notTaken(p.profile, "is tried again by itself", err)
	}
}

// untaken is why an operator has not taken a profile: what the operator said, but
// not what the way there looks like, which is not its sponsor's affair.
type untaken struct {
	text string
	err  error
}

func notTaken(p *Profile, what string, err error) error {
	e := &untaken{fmt.Sprintf("%v: profile %d at %q %s", ErrUndelivered, p.ID, p.MNO, what), err}
	var said *mno.StatusError
	if errors.As(err, &said) {
		e.text += ": " + said.Error()
	}
	return e
}

func (e *untaken) Error() string   { return e.text }
func (e *untaken) Unwrap() []error { return []error{ErrUndelivered, e.err} }

// step is how a profile goes on after an effect.
type step struct {
	status  ProfileStatus // "" leaves both as they are
	mno     MNOStatus
	receipt *mno.Receipt
	done    bool // nothing is owed any more
}

// apply takes p the step unless p has come further already, and reports whether
// that changed it. What a device has done with a profile is beyond any order.
func (s step) apply(p *Profile, now time.Time) bool {
	forward := s.status != "" && p.Status.rank() < min(s.status.rank(), ProfileOrdered.rank())
	if forward {
		p.Status, p.MNOStatus = s.status, s.mno
	}
	if s.receipt != nil {
		p.Receipt = *s.receipt
		// Of one that was superseded while it was ordered, too: the order has to be
		// taken back.
		if p.MNOStatus == MNONone {
			p.MNOStatus = s.mno
		}
	}
	if forward || s.receipt != nil {
		p.Updated = now
		return true
	}
	return false
}

// advance records steps. It returns the profiles as they are then, and those of
// them for which it is no longer true that their device is held, or not, as held
// says; nil says nothing.
func (r *Registry) advance(ctx context.Context, steps map[uint64]step, held map[uint64]bool) (profiles map[string]*Profile, differ []uint64, err error) {
	if len(steps) == 0 {
		return nil, nil, nil
	}
	keys := profileKeys(slices.Sorted(maps.Keys(steps)))
	err = r.store.Update(ctx, func(tx Tx) error {
		if profiles, err = getAll[Profile](ctx, tx, TableProfiles, keys...); err != nil {
			return err
		}
		var recs []Record
		var done, unwanted []uint64
		for _, key := range keys {
			p := profiles[key]
			if p == nil {
				continue
			}
			if p.Status == ProfileRevoked && steps[p.ID].receipt != nil {
				unwanted = append(unwanted, p.ID) // withdrawn while it was ordered
			}
			if steps[p.ID].apply(p, r.now()) {
				recs = append(recs, profileRecord(p))
			}
			if steps[p.ID].done {
				done = append(done, p.ID)
			}
		}
		if err := tx.Put(ctx, TableProfiles, recs...); err != nil {
			return err
		}
		if differ, err = r.differing(ctx, tx, profiles, held); err != nil {
			return err
		}
		// Who finds the difference may not live to put it right.
		if err := r.putWork(ctx, tx, workSync, differ); err != nil {
			return err
		}
		if err := r.putWork(ctx, tx, workCancel, unwanted); err != nil {
			return err
		}
		return deleteWork(ctx, tx, workProvision, done)
	})
	return profiles, differ, err
}

// differing returns the profiles whose devices are not held as held says.
func (r *Registry) differing(ctx context.Context, tx Tx, profiles map[string]*Profile, held map[uint64]bool) ([]uint64, error) {
	if held == nil {
		return nil, nil
	}
	devices, err := r.devicesOf(ctx, tx, profiles)
	if err != nil {
		return nil, err
	}
	var differ []uint64
	for _, p := range profiles {
		if d := devices[p.Device.String()]; held[p.ID] != (d == nil || d.held()) {
			differ = append(differ, p.ID)
		}
	}
	return differ, nil
}

func (r *Registry) devicesOf(ctx context.Context, tx Tx, profiles map[string]*Profile) (map[string]*Device, error) {
	keys := make([]string, 0, len(profiles))
	for _, p := range profiles {
		keys = append(keys, p.Device.String())
	}
	return r.devices(ctx, tx, keys...)
}

// resumeProvision finishes profiles whose steps were interrupted.
func (r *Registry) resumeProvision(ctx context.Context, ids []uint64) (int, error) {
	parcels, err := r.loadParcels(ctx, ids)
	if err != nil {
		return 0, err
	}
	refused, err := r.finish(ctx, parcels)
	if err != nil {
		return 0, err
	}
	return len(parcels) - len(refused), nil
}

// cancelOrders takes orders back from their operators that nobody will want any
// more: of profiles that were withdrawn before they were downloaded. Nobody
// counts them.
func (r *Registry) cancelOrders(ctx context.Context, ids []uint64) (int, error) {
	profiles, err := r.loadProfiles(ctx, ids)
	if err != nil {
		return 0, err
	}
	var mu sync.Mutex
	var done []uint64
	err = forEach(ctx, len(profiles), r.Orders, func(i int) error {
		p := profiles[i]
		var err error
		if operator := r.Operators[p.MNO]; operator != nil && p.MNOStatus == MNOOffered && p.Connected.IsZero() {
			err = operator.Cancel(ctx, p.Receipt)
		}
		if err != nil {
			r.log.WarnContext(ctx, "operator did not take an order back", "device", p.Device, "profile", p.ID, "mno", p.MNO, "err", err)
		}
		var refused *mno.StatusError
		if err == nil || errors.As(err, &refused) && !mno.Retryable(err) {
			mu.Lock()
			defer mu.Unlock()
			done = append(done, p.ID)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if len(done) == 0 {
		return 0, nil
	}
	return 0, r.store.Update(ctx, func(tx Tx) error { return deleteWork(ctx, tx, workCancel, done) })
}

// loadParcels reads profiles with what was issued for them.
func (r *Registry) loadParcels(ctx context.Context, ids []uint64) ([]parcel, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var out []parcel
	err := r.store.View(ctx, func(tx Tx) error {
		profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
		if err != nil {
			return err
		}
		issued, err := getAll[Issued](ctx, tx, TableIssued, profileKeys(ids)...)
		if err != nil {
			return err
		}
		devices, err := r.devicesOf(ctx, tx, profiles)
		if err != nil {
			return err
		}
		out = out[:0]
		for _, id := range ids {
			p, i := profiles[profileKey(id)], issued[profileKey(id)]
			if p == nil || i == nil {
				return fmt.Errorf("registry: profile %d is not in the store", id)
			}
			d := devices[p.Device.String()]
			out = append(out, parcel{p, i, d == nil || d.held()})
		}
		return nil
	})
	return out, err
}

func (r *Registry) loadProfiles(ctx context.Context, ids []uint64) ([]*Profile, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var out []*Profile
	err := r.store.View(ctx, func(tx Tx) error {
		m, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
		out = out[:0]
		for _, id := range ids {
			if p := m[profileKey(id)]; p != nil {
				out = append(out, p)
			}
		}
		return err
	})
	return out, err
}

func profileKeys(ids []uint64) []string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = profileKey(id)
	}
	return keys
}

// certRecord is the CERT record that publishes a profile's certificate (RFC
// 4398).
func (r *Registry) certRecord(p parcel) (dns.RR, error) {
	cert, err := x509.ParseCertificate(p.issued.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate of profile %d: %w", p.profile.ID, err)
	}
	return dane.NewCERT(p.profile.Name, r.CertTTL, cert)
}
