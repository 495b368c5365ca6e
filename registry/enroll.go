package registry

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/registry/eid"
)

// DefaultEnrollEvery is how long a device waits between two new keys.
const DefaultEnrollEvery = time.Hour

// roleDevice is the role of a device in the audit trail. No account has it.
const roleDevice Role = "device"

// Enrollment is what the registry has taken down of a device's new key.
type Enrollment struct {
	Device   eid.ID    `json:"device"`
	Profile  uint64    `json:"profile"`  // the one whose certificate the device has shown
	Key      string    `json:"key"`      // SHA-256 of the new key's SubjectPublicKeyInfo, in hex
	Enrolled time.Time `json:"enrolled"` // when the registry first had it
}

// Enroll is the device's own channel: it takes down the key that the device's
// profiles certify from the next one on, which a reset, a switch or a transfer
// makes. The current profile stays as it is. It is for a card that changes its
// key, or that makes one after the registry has made those before.
//
// leaf is the certificate that the device has shown, and the caller must know that
// the other side has its private key, as TLS proves: see
// [Registry.AuthenticateDevice] for what it is held against. csr is a certificate
// request for the new key, as [profile.ParseCSR] reads it.
//
// The key that the device has enrolled already, in whatever request, changes
// nothing and gets the answer of the first time. A key that a later one has
// replaced does not come back (ErrInvalid), so that an old request is of no use;
// nor may a key be another device's (ErrKeyTaken). A device enrols one new key in
// Config.EnrollEvery, and none while its profile may not be replaced (ErrState,
// ErrPending). No account can do this for a device.
//
// That the key is on a card is the device's word: nothing of it is attested. And a
// request says for itself that somebody has the key, not who: a device with a copy
// of another's request that was not handed in yet can occupy that key, though never
// use it. The other then makes a new one.
func (r *Registry) Enroll(ctx context.Context, leaf *x509.Certificate, csr []byte) (Enrollment, error) {
	known, err := r.deviceNow(ctx, leaf)
	if err != nil {
		return Enrollment{}, err
	}
	// Neither a stranger nor nonsense costs a write.
	spki, err := parseCSR(csr, known.Key)
	var done Enrollment
	if err == nil {
		err = r.store.Update(ctx, func(tx Tx) error {
			d, p, err := r.deviceOf(ctx, tx, leaf)
			if err != nil {
				return err
			}
			if p.madeHere(leaf, spki) {
				return fmt.Errorf("%w: the registry has made this key: have the card make one", ErrInvalid)
			}
			done, err = r.enroll(ctx, tx, d, p, spki, csr)
			return err
		})
	}
	if err != nil {
		return Enrollment{}, &Error{Op: opEnroll, Device: known.ID, Err: err}
	}
	return done, nil
}

func (r *Registry) enroll(ctx context.Context, tx Tx, d *Device, p *Profile, spki, csr []byte) (Enrollment, error) {
	now, fp, before := r.now(), fingerprint(spki), fingerprint(d.CardKey)
	known, err := cardKeysOfDevice(ctx, tx, d, fp)
	if err != nil {
		return Enrollment{}, err
	}
	done := Enrollment{Device: d.ID, Profile: p.ID, Key: fp, Enrolled: now}
	k := known[fp]
	if k != nil && k.device == d.ID.String() && bytes.Equal(spki, d.CardKey) {
		done.Enrolled = k.Filed
		return done, nil
	}
	if err := r.mayEnroll(d, k, now); err != nil {
		return Enrollment{}, err
	}
	var recs []Record
	if k == nil { // a maker may have vouched for it since the device was registered
		recs = append(recs, cardKeyRecord(fp, d.ID, &cardKey{CSR: csr, Filed: now}))
	}
	for other, old := range known {
		if other != fp && old.device == d.ID.String() && old.Replaced.IsZero() {
			old.Replaced = now
			recs = append(recs, cardKeyRecord(other, d.ID, old))
		}
	}
	if err := tx.Put(ctx, TableKeys, recs...); err != nil {
		return Enrollment{}, err
	}
	note := Note{Op: opEnroll, Device: d.ID, Detail: map[string]string{"key": fp, "profile": strconv.FormatUint(p.ID, 10)}}
	if len(d.CardKey) > 0 {
		note.Detail["before"] = before
	}
	d.CardKey, d.Enrolled, d.Updated = spki, now, now
	msgs := toEach(Message{Type: MessageKeyEnrolled, Device: d.ID, Detail: map[string]string{"key": fp}}, d.Sponsor, d.Owner)
	return done, r.putDevices(ctx, tx, []Record{deviceRecord(d)}, []Note{note}, msgs, Actor{Role: roleDevice})
}

// mayEnroll reports why a device cannot have a key now; k is what is known of it.
func (r *Registry) mayEnroll(d *Device, k *cardKey, now time.Time) error {
	switch {
	case k != nil && k.device != d.ID.String():
		return errOthersKey
	case k != nil && !k.Replaced.IsZero():
		return fmt.Errorf("%w: this key was replaced or forgotten: have the card make a new one", ErrInvalid)
	}
	if err := d.changeable(); err != nil {
		return err
	}
	if next := d.Enrolled.Add(r.EnrollEvery); !d.Enrolled.IsZero() && now.Before(next) {
		return fmt.Errorf("%w: it has enrolled a key already: it can enrol the next one from %s", ErrState, next.Format(time.RFC3339))
	}
	return nil
}

// ForgetCardKeys has the registry make the keys again from devices' next profiles
// on: for cards that have lost theirs, which no longer can connect and enrol
// another. The forgotten key does not come back, also when the device is
// registered anew. A device without a card key is no error. Results are in the
// order of ids.
func (r *Registry) ForgetCardKeys(ctx context.Context, actor Actor, opts Options, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opForget, ids)
	forgotten := map[string]eid.ID{} // by fingerprint
	return results, r.eachDevice(ctx, actor, change{
		Options: opts, op: opForget, plans: plans, allowed: mayChange,
		begin: func() { clear(forgotten) },
		apply: func(d *Device, _ time.Time) (bool, error) {
			if len(d.CardKey) == 0 {
				return false, nil
			}
			forgotten[fingerprint(d.CardKey)] = d.ID
			d.CardKey = nil
			return true, nil
		},
		subject: func(d *Device) string { return fingerprint(d.CardKey) },
		commit: func(ctx context.Context, tx Tx) error {
			known, err := cardKeys(ctx, tx, slices.Sorted(maps.Keys(forgotten))...)
			if err != nil {
				return err
			}
			var recs []Record
			for fp, k := range known {
				k.Replaced = r.now()
				recs = append(recs, cardKeyRecord(fp, forgotten[fp], k))
			}
			return tx.Put(ctx, TableKeys, recs...)
		},
	})
}

// AuthenticateDevice returns the device whose certificate this is, or
// ErrUnauthentic. It must be the very one that the registry has issued for the
// device's current profile, published and not superseded, withdrawn or failed
// since, and be valid now. A device that is on hold or deleted is refused with
// ErrState, as its records are out of the zone. The caller must know that the
// other side has the private key, as TLS proves.
func (r *Registry) AuthenticateDevice(ctx context.Context, cert *x509.Certificate) (eid.ID, error) {
	d, err := r.deviceNow(ctx, cert)
	if err != nil {
		return eid.ID{}, err
	}
	return d.ID, nil
}

// deviceNow is the device of a certificate, as it is now.
func (r *Registry) deviceNow(ctx context.Context, cert *x509.Certificate) (*Device, error) {
	var d *Device
	err := r.store.View(ctx, func(tx Tx) (err error) {
		d, _, err = r.deviceOf(ctx, tx, cert)
		return err
	})
	if err != nil {
		return nil, &Error{Op: "authenticate", Err: err}
	}
	return d, nil
}

// deviceOf returns the device and the profile that cert is for.
func (r *Registry) deviceOf(ctx context.Context, tx Tx, cert *x509.Certificate) (*Device, *Profile, error) {
	now := r.now()
	if cert == nil || len(cert.DNSNames) != 1 || now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil, nil, ErrUnauthentic
	}
	number, _, err := dane.ParseDeviceName(cert.DNSNames[0], r.Zone)
	if err != nil {
		return nil, nil, ErrUnauthentic
	}
	key := profileKey(number)
	issued, err := getOne[Issued](ctx, tx, TableIssued, key)
	if err != nil {
		return nil, nil, err
	}
	if issued == nil || !bytes.Equal(issued.Certificate, cert.Raw) {
		return nil, nil, ErrUnauthentic
	}
	p, err := getOne[Profile](ctx, tx, TableProfiles, key)
	if err != nil || p == nil {
		return nil, nil, orUnauthentic(err)
	}
	devices, err := r.devices(ctx, tx, p.Device.String())
	d := devices[p.Device.String()]
	if err != nil || d == nil {
		return nil, nil, orUnauthentic(err)
	}
	return d, p, live(d, p)
}

func orUnauthentic(err error) error {
	if err == nil {
		return ErrUnauthentic
	}
	return err
}

// live reports why the certificate of p does not speak for its device.
func live(d *Device, p *Profile) error {
	switch {
	case d.Profile != p.ID || p.Status.rank() >= ProfileFailed.rank():
		return fmt.Errorf("%w: profile %d is not the device's current one", ErrUnauthentic, p.ID)
	case p.Status == ProfileGenerated:
		return fmt.Errorf("%w: profile %d is not published yet", ErrUnauthentic, p.ID)
	case d.held():
		return fmt.Errorf("%w: it is on hold or deleted", ErrState)
	}
	return nil
}
