package registry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// A plan takes one device to a new profile. Activation and transfer are the
// same path: prepare (judge and reserve an ID), build (issue and seal), commit
// (the device's one atomic change), then publish and order.
type plan struct {
	result  *Result
	device  *Device // as read by prepare; commit refuses if it changed since
	sponsor *Account
	code    AuthCode // for a transfer
	move    bool
	id      uint64
	parcel  parcel // what build made; empty when it failed
}

func (p *plan) fail(op string, err error) {
	p.result.Err = &Error{Op: op, Device: p.result.Device, Err: err}
}

// newPlans makes a plan for each device that results name, and refuses the
// later ones where a device is named again. The second value has, for each
// plan, the index of its result.
func newPlans(op string, results []Result) (plans []*plan, at []int) {
	seen := map[eid.ID]bool{}
	for i := range results {
		p := &plan{result: &results[i]}
		if seen[p.result.Device] {
			p.fail(op, fmt.Errorf("%w: the device is named twice in one call", ErrInvalid))
			continue
		}
		seen[p.result.Device] = true
		plans, at = append(plans, p), append(at, i)
	}
	return plans, at
}

// abandon gives the results from which a call did not come back their error.
func abandon(op string, plans []*plan, err error) error {
	for _, p := range plans {
		if p.result.Err == nil {
			p.fail(op, err)
		}
	}
	return &Error{Op: op, Err: err}
}

// Activate gives devices a profile of their sponsor: it issues their
// certificates, seals the profiles, publishes the CERT records and orders the
// delivery. It returns one result per device in their order. A device that is
// active already keeps its profile, so Activate may be repeated; what an
// interrupted call left unfinished it finishes. When Activate itself fails, each
// device it did not finish carries the error.
func (r *Registry) Activate(ctx context.Context, actor Actor, ids ...eid.ID) ([]Result, error) {
	results := make([]Result, len(ids))
	for i, id := range ids {
		results[i].Device = id
	}
	plans, _ := newPlans(opActivate, results)
	for start, batch := range chunks(plans, r.Batch) {
		if err := r.activate(ctx, actor, batch); err != nil {
			return results, abandon(opActivate, plans[start:], err)
		}
	}
	return results, nil
}

func (r *Registry) activate(ctx context.Context, actor Actor, batch []*plan) error {
	var ready []*plan
	var unfinished []uint64
	err := r.store.Update(ctx, func(tx Tx) (err error) {
		ready, unfinished, err = r.prepareActivate(ctx, tx, actor, batch)
		return err
	})
	if err != nil {
		return err
	}
	parcels, err := r.loadParcels(ctx, unfinished)
	if err != nil {
		return err
	}
	return r.run(ctx, opActivate, ready, parcels, batch, nil)
}

// prepareActivate returns the plans that need a new profile, and the profiles
// of those that have one which is not with the operator yet.
func (r *Registry) prepareActivate(ctx context.Context, tx Tx, actor Actor, batch []*plan) ([]*plan, []uint64, error) {
	devices, err := getAll[Device](ctx, tx, TableDevices, planKeys(batch)...)
	if err != nil {
		return nil, nil, err
	}
	current, err := currentProfiles(ctx, tx, devices)
	if err != nil {
		return nil, nil, err
	}
	var ready []*plan
	var unfinished []uint64
	for _, p := range batch {
		id := p.result.Device
		*p.result = Result{Device: id} // a store may run this again after a conflict
		d := devices[id.String()]
		if err := mayActivate(actor, d); err != nil {
			p.fail(opActivate, err)
			continue
		}
		if cur := current[profileKey(d.Profile)]; cur != nil && cur.Status != ProfileFailed {
			p.result.ProfileID = cur.ID
			if cur.Status.rank() < ProfileOrdered.rank() {
				unfinished = append(unfinished, cur.ID)
			}
			continue
		}
		p.device = d
		ready = append(ready, p)
	}
	ready, err = r.reserve(ctx, tx, opActivate, ready, func(p *plan) string { return p.device.Sponsor })
	return ready, unfinished, err
}

func planKeys(plans []*plan) []string {
	keys := make([]string, len(plans))
	for i, p := range plans {
		keys[i] = p.result.Device.String()
	}
	return keys
}

func mayActivate(actor Actor, d *Device) error {
	if d == nil {
		return ErrNotFound
	}
	if err := may(actor, opActivate, d); err != nil {
		return err
	}
	if d.has(StatusClientUpdateProhibited, StatusServerUpdateProhibited) {
		return fmt.Errorf("%w: update is prohibited", ErrState)
	}
	return nil
}

func currentProfiles(ctx context.Context, tx Tx, devices map[string]*Device) (map[string]*Profile, error) {
	var keys []string
	for _, d := range devices {
		if d.Profile != 0 {
			keys = append(keys, profileKey(d.Profile))
		}
	}
	return getAll[Profile](ctx, tx, TableProfiles, keys...)
}

// reserve finds each plan's sponsor account and gives it a profile ID, in the
// order of plans. Plans without an account fail and are left out.
func (r *Registry) reserve(ctx context.Context, tx Tx, op string, plans []*plan, sponsor func(*plan) string) ([]*plan, error) {
	accounts := map[string]*Account{}
	ready := plans[:0]
	for _, p := range plans {
		name := sponsor(p)
		a := accounts[name]
		if a == nil {
			var err error
			a, err = account(ctx, tx, name, RoleASP)
			if errors.Is(err, ErrUnknown) {
				p.fail(op, err)
				continue
			} else if err != nil {
				return nil, err
			}
			accounts[name] = a
		}
		p.sponsor = a
		ready = append(ready, p)
	}
	if len(ready) == 0 {
		return nil, nil
	}
	first, err := takeProfileIDs(ctx, tx, r.FirstProfileID, len(ready))
	for i, p := range ready {
		p.id = first + uint64(i)
	}
	return ready, err
}

// run carries prepared plans, and parcels left unfinished by an earlier call,
// through to the operator and completes the results of the batch they come
// from. onCommit, where given, writes in the transaction that changes the
// devices.
func (r *Registry) run(ctx context.Context, op string, plans []*plan, parcels []parcel, batch []*plan, onCommit func(context.Context, Tx, []Moved) error) error {
	done := r.timed("build", len(plans))
	err := forEach(ctx, len(plans), r.Workers, func(i int) error {
		if err := r.build(plans[i]); err != nil {
			plans[i].fail(op, err)
		}
		return nil
	})
	done()
	if err != nil {
		return err
	}
	done = r.timed("commit", len(plans))
	var committed []*plan
	if len(plans) > 0 {
		err = r.store.Update(ctx, func(tx Tx) (err error) {
			committed, err = r.commit(ctx, tx, op, plans, onCommit)
			return err
		})
	}
	done()
	if err != nil {
		return err
	}
	for _, p := range committed {
		p.result.ProfileID = p.id
		parcels = append(parcels, p.parcel)
	}
	refused, err := r.finish(ctx, parcels)
	for _, p := range batch {
		if why := refused[p.result.ProfileID]; why != nil && p.result.Err == nil {
			p.fail("order", why)
		}
	}
	return err
}

// build issues the device's certificate and seals its profile. The private key
// exists from here to the end of this function and then only inside the seal.
func (r *Registry) build(p *plan) error {
	name, err := dane.DeviceName(p.id, p.device.ID.String(), r.Zone)
	if err != nil {
		return err
	}
	recipient, err := profile.ParsePublicKey(p.device.Key)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make device key: %w", err)
	}
	now := r.now()
	cert, err := r.Authority.Issue(profile.Request{
		Name: name, Device: p.device.ID,
		PublicKey: key.Public(), NotAfter: now.Add(r.Validity),
	})
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode device key: %w", err)
	}
	defer clear(pkcs8)
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
			ID: p.id, Device: p.device.ID, Sponsor: p.sponsor.ID, MNO: p.device.MNO, Name: name,
			Status: ProfileGenerated, MNOStatus: MNONone, Created: now, Updated: now,
		},
		issued: &Issued{Certificate: cert, Sealed: sealed},
	}
	return nil
}
