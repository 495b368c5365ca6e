package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// Activate gives devices a profile of their sponsor: it issues their
// certificates, seals the profiles, publishes the CERT records and orders the
// delivery. It returns one result per device in their order. A device that is
// active already keeps its profile, so Activate may be repeated; what an
// interrupted call left unfinished it finishes. When Activate itself fails, each
// device it did not finish carries the error.
func (r *Registry) Activate(ctx context.Context, actor Actor, opts Options, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opActivate, ids)
	return results, r.do(ctx, errand{
		Options: opts, op: opActivate, actor: actor, plans: plans,
		judge: func(p *plan, s *sight) error {
			d := p.device
			err := mayChange(actor, opActivate, d)
			if err != nil && !errors.Is(err, ErrPending) {
				return err
			}
			// The current one may be of the sponsor before a transfer that nobody decided.
			if cur := s.current(d); cur != nil && cur.Status != ProfileFailed && cur.Sponsor == d.Sponsor {
				return errKeep
			}
			return errors.Join(err, p.stay(d.MNO))
		},
	})
}

// mayChange reports why actor may not do op on d.
func mayChange(actor Actor, op string, d *Device) error {
	if d == nil {
		return ErrNotFound
	}
	if err := may(actor, op, d); err != nil {
		return err
	}
	return d.changeable()
}

// stay plans a new profile of the same sponsor.
func (p *plan) stay(operator string) error {
	p.to, p.mno = p.device.Sponsor, operator
	return nil
}

// Reset gives active devices a new profile of the sponsor they have: for a key
// that may be known to others, or a provider that has moved to another address.
// The profile before stays valid until the device has confirmed the new one or
// the overlap ends. Results are as those of Activate; an idempotency key keeps a
// repeated call from making one more profile.
func (r *Registry) Reset(ctx context.Context, actor Actor, opts Options, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opReset, ids)
	return results, r.do(ctx, errand{
		Options: opts, op: opReset, actor: actor, plans: plans,
		judge: func(p *plan, s *sight) error {
			if err := mayChange(actor, opReset, p.device); err != nil {
				return err
			}
			if p.device.Profile == 0 {
				return fmt.Errorf("%w: it has no profile yet: activate it", ErrState)
			}
			return p.stay(p.device.MNO)
		},
	})
}

// Switch takes devices to another operator, with a new profile of the sponsor
// they have, which that operator delivers. A device that is with it already
// keeps its profile. Results are as those of Activate.
func (r *Registry) Switch(ctx context.Context, actor Actor, operator string, opts Options, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opSwitch, ids)
	var err error
	if may(actor, opSwitch, nil) == nil { // nobody else learns which operators there are
		err = r.store.View(ctx, func(tx Tx) error {
			_, err := account(ctx, tx, operator, RoleMNO)
			return err
		})
	}
	if err != nil {
		return results, abandon(opSwitch, plans, err)
	}
	return results, r.do(ctx, errand{
		Options: opts, op: opSwitch, actor: actor, content: operator, plans: plans,
		judge: func(p *plan, s *sight) error {
			if err := mayChange(actor, opSwitch, p.device); err != nil {
				return err
			}
			if cur := s.current(p.device); p.device.MNO == operator && cur != nil && cur.MNO == operator {
				return errKeep
			}
			return p.stay(operator)
		},
	})
}

// build issues the device's certificate and seals its profile. A private key that
// is made here exists to the end of this function and then only inside the seal;
// of a device with a card key there is none.
func (r *Registry) build(p *plan) error {
	name, err := dane.DeviceName(p.id, p.device.ID.String(), r.Zone)
	if err != nil {
		return err
	}
	recipient, err := profile.ParsePublicKey(p.device.Key)
	if err != nil {
		return err
	}
	public, pkcs8, err := signingKey(p.device)
	if err != nil {
		return err
	}
	defer clear(pkcs8)
	now := r.now()
	cert, err := r.Authority.Issue(profile.Request{
		Name: name, Device: p.device.ID,
		PublicKey: public, NotAfter: now.Add(r.Validity),
	})
	if err != nil {
		return err
	}
	sealed, err := r.Authority.Seal(recipient, &profile.Profile{
		ID: p.id, Device: p.device.ID, Registry: r.Zone, Name: name,
		Host: p.sponsor.Host, Port: p.sponsor.Port,
		Certificate: cert, PrivateKey: pkcs8, CACertificates: r.Authority.Chain(),
		NotBefore: now, NotAfter: now.Add(r.Validity),
	})
	if err != nil {
		return err
	}
	p.parcel = parcel{
		profile: &Profile{
			ID: p.id, Device: p.device.ID, Sponsor: p.sponsor.ID, MNO: p.mno, Name: name,
			Status: ProfileGenerated, MNOStatus: MNONone, KeyOnCard: len(pkcs8) == 0, NotAfter: now.Add(r.Validity), Created: now, Updated: now,
		},
		issued: &Issued{Certificate: cert, Sealed: sealed},
	}
	return nil
}
