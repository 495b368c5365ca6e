package registry

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/claim"
)

// File records a maker's claims: the devices it made and their eUICCs' keys.
// A claim is final; filing the same one again is no error, another key for the
// same device is (ErrKeyMismatch), be it of the eUICC or in a certificate request,
// and so is a request for another device's key (ErrKeyTaken). Results are in the order of claims; when File itself fails,
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
		claims[i] = Claim{Device: c.Device, Model: c.Model, Key: c.Key, CSR: c.CSR}
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
	batch := make([]*filing, len(claims))
	for i, c := range claims {
		results[i] = Result{Line: results[i].Line, Device: c.Device}
		c.Maker, c.Filed = maker, r.now()
		batch[i] = &filing{claim: &c, result: &results[i]}
		batch[i].err = batch[i].check()
	}
	return r.store.Update(ctx, func(tx Tx) error {
		w, err := loadFiling(ctx, tx, batch)
		if err != nil {
			return err
		}
		for _, f := range batch {
			f.result.Err = nil // a store may run this again after a conflict
			if err := w.add(f); err != nil {
				f.result.Err = &Error{Op: opClaim, Device: f.claim.Device, Err: err}
			}
		}
		if err := r.Record(ctx, tx, actor, w.notes...); err != nil {
			return err
		}
		if err := tx.Put(ctx, TableKeys, w.keyRecs...); err != nil {
			return err
		}
		return tx.Put(ctx, TableClaims, w.recs...)
	})
}

// filing is one claim on its way. Signatures are checked before the transaction.
type filing struct {
	claim  *Claim
	card   string // fingerprint of the card's own key, "" for none
	err    error  // what is wrong with the claim itself
	result *Result
}

// check brings the claim's key into its one text form.
func (f *filing) check() error {
	c := f.claim
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
	if len(c.CSR) == 0 {
		return nil
	}
	spki, err := parseCSR(c.CSR, c.Key)
	if err == nil {
		f.card = fingerprint(spki)
	}
	return err
}

// filed is what a batch of claims finds and writes.
type filed struct {
	known         map[string]*Claim
	owners        map[string]string // of cards' keys: devices by fingerprint
	recs, keyRecs []Record
	notes         []Note
}

func loadFiling(ctx context.Context, tx Tx, batch []*filing) (*filed, error) {
	w := &filed{owners: map[string]string{}}
	var ids, fps []string
	for _, f := range batch {
		ids = append(ids, f.claim.Device.String())
		if f.card != "" {
			fps = append(fps, f.card)
		}
	}
	var err error
	if w.known, err = getAll[Claim](ctx, tx, TableClaims, ids...); err != nil {
		return nil, err
	}
	keys, err := cardKeys(ctx, tx, fps...)
	for fp, k := range keys {
		w.owners[fp] = k.device
	}
	return w, err
}

// add holds a claim against those before it, and keeps it.
func (w *filed) add(f *filing) error {
	if f.err != nil {
		return f.err
	}
	c, id := f.claim, f.claim.Device.String()
	owner, taken := w.owners[f.card]
	if taken && owner != id {
		return errOthersKey
	}
	if earlier := w.known[id]; earlier != nil {
		return earlier.holds(c, f.card)
	}
	w.known[id] = c
	w.recs = append(w.recs, Record{Key: id, Parent: c.Maker, Body: encode(c)})
	note := Note{Op: opClaim, Device: c.Device, Subject: c.Maker}
	if f.card != "" {
		note.Detail = map[string]string{"cardKey": f.card}
	}
	if f.card != "" && !taken {
		w.owners[f.card] = id
		w.keyRecs = append(w.keyRecs, cardKeyRecord(f.card, c.Device, &cardKey{CSR: c.CSR, Filed: c.Filed}))
	}
	w.notes = append(w.notes, note)
	return nil
}

// holds reports why a later claim says something else than c. One that leaves the
// card's key out does not: a maker's certificates have no place for it.
func (c *Claim) holds(later *Claim, card string) error {
	if c.Key != later.Key || c.Maker != later.Maker {
		return fmt.Errorf("%w: the device is already claimed", ErrKeyMismatch)
	}
	if card == "" {
		return nil
	}
	if len(c.CSR) > 0 {
		if spki, err := parseCSR(c.CSR, c.Key); err != nil || fingerprint(spki) == card {
			return err
		}
	}
	return fmt.Errorf("%w: the device is already claimed with another card key, or none: it can enrol one itself", ErrKeyMismatch)
}
