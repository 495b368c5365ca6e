package registry

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"

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
}

// finish publishes and orders profiles and records each step. It returns why
// the operator did not take some of them; Resume tries those again.
func (r *Registry) finish(ctx context.Context, parcels []parcel) (map[uint64]error, error) {
	if err := r.publish(ctx, parcels); err != nil {
		return nil, err
	}
	return r.order(ctx, parcels)
}

func (r *Registry) publish(ctx context.Context, parcels []parcel) error {
	var change publish.ChangeSet
	var ids []uint64
	for _, p := range parcels {
		if p.profile.Status != ProfileGenerated {
			continue
		}
		rr, err := r.certRecord(p)
		if err != nil {
			return err
		}
		change.Add = append(change.Add, rr)
		ids = append(ids, p.profile.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	defer r.timed("publish", len(ids))()
	if _, err := r.Publisher.Publish(ctx, change); err != nil {
		return fmt.Errorf("publish %d records: %w", len(ids), err)
	}
	revoked, err := r.advance(ctx, ids, ProfilePublished, MNONone, nil)
	if err != nil {
		return err
	}
	// Another process may have withdrawn a profile while its record was on the
	// way into the zone.
	_, err = r.withdraw(ctx, revoked)
	return err
}

// order sends the parcels to their operators.
func (r *Registry) order(ctx context.Context, parcels []parcel) (map[uint64]error, error) {
	defer r.timed("order", len(parcels))()
	var mu sync.Mutex
	var ordered []uint64
	receipts, refused := map[uint64]mno.Receipt{}, map[uint64]error{}
	err := forEach(ctx, len(parcels), r.Orders, func(i int) error {
		p := parcels[i].profile
		if p.Status.rank() >= ProfileSuperseded.rank() {
			return nil
		}
		receipt, err := r.orderOne(ctx, parcels[i])
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			r.log.WarnContext(ctx, "operator did not take an order", "device", p.Device, "profile", p.ID, "mno", p.MNO, "err", err)
			refused[p.ID] = fmt.Errorf("%w: profile %d at %q, tried again on Resume: %w", ErrUndelivered, p.ID, p.MNO, err)
			return nil
		}
		receipts[p.ID] = receipt
		ordered = append(ordered, p.ID)
		return nil
	})
	if err != nil {
		return refused, err
	}
	_, err = r.advance(ctx, ordered, ProfileOrdered, MNOOffered, receipts)
	return refused, err
}

func (r *Registry) orderOne(ctx context.Context, p parcel) (mno.Receipt, error) {
	operator := r.Operators[p.profile.MNO]
	if operator == nil {
		return mno.Receipt{}, fmt.Errorf("%w: no way to this operator is configured", ErrUnknown)
	}
	return operator.Order(ctx, mno.Order{
		Device: p.profile.Device, ProfileID: p.profile.ID, Sealed: p.issued.Sealed, ProfileType: profileType,
	})
}

// advance records a step of profiles that have not yet come further; nothing is
// owed any more to those with a receipt. It returns the ones it found revoked.
func (r *Registry) advance(ctx context.Context, ids []uint64, to ProfileStatus, operator MNOStatus, receipts map[uint64]mno.Receipt) ([]uint64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var revoked []uint64
	err := r.store.Update(ctx, func(tx Tx) error {
		revoked = nil
		profiles, err := getAll[Profile](ctx, tx, TableProfiles, profileKeys(ids)...)
		if err != nil {
			return err
		}
		var recs []Record
		var done []string
		for key, p := range profiles {
			if receipt, ok := receipts[p.ID]; ok {
				p.Receipt = receipt
				done = append(done, key)
			}
			if p.Status == ProfileRevoked {
				revoked = append(revoked, p.ID)
			}
			if p.Status.rank() < to.rank() {
				p.Status, p.MNOStatus = to, operator
			}
			p.Updated = r.now()
			recs = append(recs, profileRecord(p))
		}
		if err := tx.Put(ctx, TableProfiles, recs...); err != nil {
			return err
		}
		return deleteWork(ctx, tx, workProvision, done)
	})
	return revoked, err
}

// deleteWork removes work records that still say owed.
func deleteWork(ctx context.Context, tx Tx, owed string, keys []string) error {
	recs, err := tx.Get(ctx, TableWork, keys...)
	if err != nil {
		return err
	}
	var match []string
	for _, rec := range recs {
		if rec.Parent == owed {
			match = append(match, rec.Key)
		}
	}
	return tx.Delete(ctx, TableWork, match...)
}

// resumeProvision finishes profiles whose steps were interrupted.
func (r *Registry) resumeProvision(ctx context.Context, ids []uint64) (int, error) {
	parcels, err := r.loadParcels(ctx, ids)
	if err != nil {
		return 0, err
	}
	refused, err := r.finish(ctx, parcels)
	return len(parcels) - len(refused), err
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
		out = out[:0]
		for _, id := range ids {
			p, i := profiles[profileKey(id)], issued[profileKey(id)]
			if p == nil || i == nil {
				return fmt.Errorf("registry: profile %d is not in the store", id)
			}
			out = append(out, parcel{p, i})
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
