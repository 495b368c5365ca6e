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

// finish publishes and orders the given profiles and records each step. An
// operator's refusal stays with its profile; Resume tries it again.
func (r *Registry) finish(ctx context.Context, ids []uint64) error {
	if len(ids) == 0 {
		return nil
	}
	profiles, err := r.loadProfiles(ctx, ids)
	if err != nil {
		return err
	}
	var change publish.ChangeSet
	for _, p := range profiles {
		if p.Status == ProfileGenerated {
			rr, err := r.certRecord(p)
			if err != nil {
				return err
			}
			change.Add = append(change.Add, rr)
		}
	}
	if len(change.Add) > 0 {
		done := r.timed("publish", len(change.Add))
		if _, err := r.Publisher.Publish(ctx, change); err != nil {
			return fmt.Errorf("publish %d records: %w", len(change.Add), err)
		}
		if err := r.advance(ctx, ids, ProfilePublished, MNONone, nil); err != nil {
			return err
		}
		done()
	}
	return r.order(ctx, profiles)
}

func (r *Registry) order(ctx context.Context, profiles []*Profile) error {
	defer r.timed("order", len(profiles))()
	var mu sync.Mutex
	var ordered []uint64
	receipts := map[uint64]mno.Receipt{}
	err := forEach(ctx, len(profiles), r.Orders, func(i int) error {
		p := profiles[i]
		if p.Status.rank() >= ProfileSuperseded.rank() {
			return nil
		}
		operator := r.Operators[p.MNO]
		if operator == nil {
			return nil
		}
		receipt, err := operator.Order(ctx, mno.Order{
			Device: p.Device, ProfileID: p.ID, Sealed: p.Sealed, ProfileType: profileType,
		})
		if err != nil {
			r.log.WarnContext(ctx, "operator refused an order", "device", p.Device, "profile", p.ID, "mno", p.MNO, "err", err)
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		receipts[p.ID] = receipt
		ordered = append(ordered, p.ID)
		return nil
	})
	if err != nil {
		return err
	}
	return r.advance(ctx, ordered, ProfileOrdered, MNOOffered, receipts)
}

// advance records a step of profiles that have not yet come further, and that
// nothing is owed any more once they are ordered.
func (r *Registry) advance(ctx context.Context, ids []uint64, to ProfileStatus, operator MNOStatus, receipts map[uint64]mno.Receipt) error {
	if len(ids) == 0 {
		return nil
	}
	return r.store.Update(ctx, func(tx Tx) error {
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

// resumeProvision finishes profiles; ones that were superseded meanwhile owe
// nothing any more.
func (r *Registry) resumeProvision(ctx context.Context, ids []uint64) (int, error) {
	if err := r.finish(ctx, ids); err != nil {
		return 0, err
	}
	profiles, err := r.loadProfiles(ctx, ids)
	if err != nil {
		return 0, err
	}
	done := 0
	for _, p := range profiles {
		if p.Status.rank() >= ProfileOrdered.rank() {
			done++
		}
	}
	return done, nil
}

// explainUnfinished gives devices whose order did not get through an error, so
// that no result claims more than was done.
func (r *Registry) explainUnfinished(ctx context.Context, results []Result) error {
	var ids []uint64
	for _, res := range results {
		if res.Err == nil {
			ids = append(ids, res.ProfileID)
		}
	}
	profiles, err := r.loadProfiles(ctx, ids)
	if err != nil {
		return err
	}
	byID := make(map[uint64]*Profile, len(profiles))
	for _, p := range profiles {
		byID[p.ID] = p
	}
	for i := range results {
		res := &results[i]
		if p := byID[res.ProfileID]; res.Err == nil && p != nil && p.Status.rank() < ProfileOrdered.rank() {
			res.Err = &Error{Op: "order", Device: res.Device, Err: fmt.Errorf("%w: operator %q has not taken profile %d yet; it is kept and tried again on Resume", ErrUndelivered, p.MNO, p.ID)}
		}
	}
	return nil
}

func (r *Registry) loadProfiles(ctx context.Context, ids []uint64) ([]*Profile, error) {
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

// certRecord is the CERT record that publishes p's certificate (RFC 4398).
func (r *Registry) certRecord(p *Profile) (dns.RR, error) {
	cert, err := x509.ParseCertificate(p.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate of profile %d: %w", p.ID, err)
	}
	return dane.NewCERT(p.Name, r.CertTTL, cert)
}
