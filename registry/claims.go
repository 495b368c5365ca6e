package registry

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/claim"
	"github.com/iotregistry/sdk/registry/eid"
)

// File records a maker's claims: the devices it made and their eUICCs' keys.
// A claim is final; filing the same one again is no error, another key for the
// same device is. Results are in the order of claims; when File itself fails,
// each claim it did not come to carries the error.
func (r *Registry) File(ctx context.Context, actor Actor, claims []Claim) ([]Result, error) {
	if err := may(actor, opClaim, nil); err != nil {
		return nil, &Error{Op: opClaim, Err: err}
	}
	results := make([]Result, len(claims))
	for i, c := range claims {
		results[i].Device = c.Device
	}
	return results, r.file(ctx, actor, actor.Account, claims, results)
}

func (r *Registry) file(ctx context.Context, actor Actor, maker string, claims []Claim, results []Result) error {
	for start, batch := range chunks(claims, r.Batch) {
		if err := r.fileBatch(ctx, actor, maker, batch, results[start:]); err != nil {
			return unfinished(opClaim, results[start:], err)
		}
	}
	return nil
}

// FileSigned records the claims of a list that a maker has signed, as
// [claim.ReadSigned] reads it. Anybody with an account may hand it in: what
// counts is the signature, by a key of a maker's account. Results are in the
// order of the list's lines.
func (r *Registry) FileSigned(ctx context.Context, actor Actor, list io.Reader, signature []byte) ([]Result, error) {
	return r.fileList(ctx, actor, func(makers []claim.Maker) (*claim.List, error) {
		return claim.ReadSigned(list, signature, makers...)
	})
}

// FileCertificates records the claims that a maker has made as certificates, as
// [claim.ReadCertificates] reads them. Anybody with an account may hand them in.
// Results are in the order of the certificates.
func (r *Registry) FileCertificates(ctx context.Context, actor Actor, bundle io.Reader) ([]Result, error) {
	return r.fileList(ctx, actor, func(makers []claim.Maker) (*claim.List, error) {
		return claim.ReadCertificates(bundle, r.now(), makers...)
	})
}

func (r *Registry) fileList(ctx context.Context, actor Actor, read func([]claim.Maker) (*claim.List, error)) ([]Result, error) {
	if err := may(actor, opPoll, nil); err != nil {
		return nil, &Error{Op: opClaim, Err: err}
	}
	makers, err := r.makers(ctx)
	if err != nil {
		return nil, &Error{Op: opClaim, Err: err}
	}
	list, err := read(makers)
	if err != nil {
		return nil, &Error{Op: opClaim, Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
	}
	claims, results := make([]Claim, len(list.Claims)), make([]Result, len(list.Claims))
	for i, c := range list.Claims {
		claims[i] = Claim{Device: c.Device, Model: c.Model, Key: c.Key}
		results[i] = Result{Line: c.Line, Device: c.Device}
	}
	err = r.file(ctx, actor, list.Maker, claims, results)
	for _, bad := range list.Bad {
		results = append(results, Result{Line: bad.Line, Device: bad.Device, Err: &Error{
			Op: opClaim, Device: bad.Device, Err: fmt.Errorf("%w: %w", ErrInvalid, bad),
		}})
	}
	slices.SortStableFunc(results, func(a, b Result) int { return a.Line - b.Line })
	return results, err
}

// makers are the accounts whose signatures count.
func (r *Registry) makers(ctx context.Context) ([]claim.Maker, error) {
	var out []claim.Maker
	err := r.store.View(ctx, func(tx Tx) error {
		out = out[:0]
		accounts, err := listAll[Account](ctx, tx, TableAccounts, Query{Parent: string(RoleMaker)})
		for _, a := range accounts {
			if a.Trust == "" {
				continue
			}
			keys, roots, err := claim.ParseTrust(a.Trust)
			if err != nil {
				return fmt.Errorf("registry: account %q is damaged: %w", a.ID, err)
			}
			out = append(out, claim.Maker{Account: a.ID, Keys: keys, Roots: roots})
		}
		return err
	})
	return out, err
}

func (r *Registry) fileBatch(ctx context.Context, actor Actor, maker string, claims []Claim, results []Result) error {
	ids := make([]eid.ID, len(claims))
	for i, c := range claims {
		ids[i] = c.Device
	}
	return r.store.Update(ctx, func(tx Tx) error {
		known, err := getAll[Claim](ctx, tx, TableClaims, idKeys(ids)...)
		if err != nil {
			return err
		}
		var recs []Record
		var notes []Note
		for i, c := range claims {
			results[i] = Result{Line: results[i].Line, Device: c.Device}
			c.Maker, c.Filed = maker, r.now()
			if err := checkClaim(&c, known[c.Device.String()]); err != nil {
				results[i].Err = &Error{Op: opClaim, Device: c.Device, Err: err}
				continue
			}
			if known[c.Device.String()] == nil {
				known[c.Device.String()] = &c
				recs = append(recs, Record{Key: c.Device.String(), Parent: c.Maker, Body: encode(c)})
				notes = append(notes, Note{Op: opClaim, Device: c.Device, Subject: c.Maker})
			}
		}
		if err := r.Record(ctx, tx, actor, notes...); err != nil {
			return err
		}
		return tx.Put(ctx, TableClaims, recs...)
	})
}

// checkClaim brings the claim's key into its one text form and holds it against
// an earlier claim.
func checkClaim(c, earlier *Claim) error {
	if c.Device.IsZero() {
		return fmt.Errorf("%w: a claim needs a device ID", ErrInvalid)
	}
	if len(c.Model) > maxModel {
		return fmt.Errorf("%w: a model has at most %d bytes", ErrInvalid, maxModel)
	}
	pub, err := profile.ParsePublicKey(c.Key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c.Key = profile.FormatPublicKey(pub)
	if earlier != nil && (earlier.Key != c.Key || earlier.Maker != c.Maker) {
		return fmt.Errorf("%w: the device is already claimed", ErrKeyMismatch)
	}
	return nil
}
