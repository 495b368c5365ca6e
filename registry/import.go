package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/iotregistry/sdk/profile"
)

// Import is an ASP's request to register the devices of an owner's list.
type Import struct {
	Owner  string // account of the owner; required
	MNO    string // operator of rows that name none
	Rows   []Row  // see ReadCSV
	Atomic bool   // register all rows or none
	DryRun bool   // check only
}

// Import registers devices with the calling ASP as their sponsor and returns a
// result for every row, in their order. With Atomic set, one refused row
// refuses them all: the others carry [ErrAborted]. When Import itself fails,
// each row it did not come to carries the error.
func (r *Registry) Import(ctx context.Context, actor Actor, in Import) ([]Result, error) {
	if err := may(actor, opImport, nil); err != nil {
		return nil, &Error{Op: opImport, Err: err}
	}
	results, plans := make([]Result, len(in.Rows)), make([]*plan, len(in.Rows))
	for i, row := range in.Rows {
		results[i] = Result{Line: row.Line, Device: row.ID}
		plans[i] = &plan{result: &results[i], row: &in.Rows[i]}
	}
	size := r.Batch
	// A dry run must see duplicates wherever they stand, too.
	if in.Atomic || in.DryRun {
		size = max(len(in.Rows), 1)
	}
	content := []any{in.Owner, in.MNO, in.Atomic, in.DryRun}
	for start, batch := range chunks(plans, size) {
		o, err := onceFor(actor, opImport, start, len(plans), content, batch, r.now())
		if err == nil {
			err = r.importBatch(ctx, actor, in, o, batch)
		}
		if err != nil {
			return results, abandon(opImport, plans[start:], err)
		}
	}
	return results, nil
}

func (r *Registry) importBatch(ctx context.Context, actor Actor, in Import, o *once, batch []*plan) error {
	run := r.store.Update
	if in.DryRun {
		run = r.store.View
	}
	return run(ctx, func(tx Tx) error {
		if done, err := o.recall(ctx, tx, batch); done || err != nil {
			return err
		}
		b, err := loadImport(ctx, tx, actor, in, batch)
		if err != nil {
			return err
		}
		var recs, owned []Record
		var earlier []*Device
		var notes []Note
		for _, p := range batch {
			p.reset()
			d, err := r.newDevice(b, actor, in, *p.row)
			if err != nil {
				p.fail(opImport, err)
				continue
			}
			if old := b.devices[d.ID.String()]; old != nil {
				earlier = append(earlier, old)
			}
			b.devices[d.ID.String()] = d
			recs, owned = append(recs, deviceRecord(d)), append(owned, ownedRecord(d))
			notes = append(notes, Note{Op: opImport, Device: d.ID, Detail: map[string]string{"owner": d.Owner, "mno": d.MNO}})
		}
		if in.Atomic && abortAll(opImport, batch) || in.DryRun {
			return nil
		}
		if err := r.endLives(ctx, tx, earlier); err != nil {
			return err
		}
		if err := putOwned(ctx, tx, owned); err != nil {
			return err
		}
		if err := r.putDevices(ctx, tx, recs, notes, nil, actor); err != nil {
			return err
		}
		return o.keep(ctx, tx, r.RequestTTL, batch)
	})
}

// endLives clears away what is left of devices that were deleted and are
// registered anew: nobody's old code opens them, and their old profiles end.
func (r *Registry) endLives(ctx context.Context, tx Tx, devices []*Device) error {
	var keys, owned []string
	var withdrawn []uint64
	for _, d := range devices {
		keys, owned = append(keys, d.ID.String()), append(owned, ownedKey(d))
		withdrawn = append(withdrawn, d.published()...)
	}
	for t, keys := range map[Table][]string{TableCodes: keys, TableOwned: owned} {
		if err := tx.Delete(ctx, t, keys...); err != nil {
			return err
		}
	}
	return r.putWork(ctx, tx, workWithdraw, withdrawn)
}

// putOwned enters devices into the index of owners, where one that was deleted
// and is registered anew may still be.
func putOwned(ctx context.Context, tx Tx, recs []Record) error {
	keys := make([]string, len(recs))
	for i, rec := range recs {
		keys[i] = rec.Key
	}
	if err := tx.Delete(ctx, TableOwned, keys...); err != nil {
		return err
	}
	return tx.Put(ctx, TableOwned, recs...)
}

// importContext is what one import transaction reads before it judges rows.
type importContext struct {
	devices  map[string]*Device
	claims   map[string]*Claim
	cards    map[string][]byte // the keys that the devices' cards have made
	accounts map[string]*Account
}

func loadImport(ctx context.Context, tx Tx, actor Actor, in Import, batch []*plan) (*importContext, error) {
	if _, err := account(ctx, tx, actor.Account, RoleASP); err != nil {
		return nil, err
	}
	if _, err := account(ctx, tx, in.Owner, RoleOwner); err != nil {
		return nil, err
	}
	operators := map[string]bool{}
	for _, p := range batch {
		if id := operatorOf(in, p.row); accountID.MatchString(id) {
			operators[id] = true
		}
	}
	var b importContext
	var err error
	keys := planKeys(batch)
	if b.devices, err = getAll[Device](ctx, tx, TableDevices, keys...); err != nil {
		return nil, err
	}
	if b.claims, err = getAll[Claim](ctx, tx, TableClaims, keys...); err != nil {
		return nil, err
	}
	if b.cards, err = newestCardKeys(ctx, tx, b.claims); err != nil {
		return nil, err
	}
	b.accounts, err = getAll[Account](ctx, tx, TableAccounts, slices.Sorted(maps.Keys(operators))...)
	return &b, err
}

// operatorOf is the account of the operator of a row.
func operatorOf(in Import, row *Row) string {
	if row.MNO != "" {
		return row.MNO
	}
	return in.MNO
}

// maxModel bounds a model and a version, in bytes: lists of devices carry them.
const maxModel = 256

// newDevice judges one row and makes its device.
func (r *Registry) newDevice(b *importContext, actor Actor, in Import, row Row) (*Device, error) {
	if row.ID.IsZero() {
		return nil, fmt.Errorf("%w: the row has no device ID", ErrInvalid)
	}
	if len(row.Model) > maxModel || len(row.Version) > maxModel {
		return nil, fmt.Errorf("%w: a model and a version have at most %d bytes", ErrInvalid, maxModel)
	}
	now := r.now()
	old := b.devices[row.ID.String()]
	if old != nil && !old.gone(now) {
		if old.project(now); old.Sponsor == actor.Account {
			return nil, ErrExists
		}
		return nil, ErrSponsored
	}
	operator := operatorOf(in, &row)
	if a := b.accounts[operator]; a == nil || a.Role != RoleMNO {
		return nil, fmt.Errorf("%w: %.64q is no operator here", ErrUnknown, operator)
	}
	key, err := r.deviceKey(row, b.claims[row.ID.String()])
	if err != nil {
		return nil, err
	}
	d := &Device{
		ID: row.ID, Model: row.Model, Version: row.Version,
		Sponsor: actor.Account, Owner: in.Owner, MNO: operator, Key: key, CardKey: b.cards[row.ID.String()],
		Created: now, Updated: now,
	}
	if old != nil { // deleted, and not cleared away yet
		d.version = old.version
	}
	return d, nil
}

// deviceKey decides which key profiles for the row's device are sealed to.
func (r *Registry) deviceKey(row Row, claim *Claim) (string, error) {
	key := ""
	if row.PublicKey != "" {
		pub, err := profile.ParsePublicKey(row.PublicKey)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		key = profile.FormatPublicKey(pub)
	}
	switch {
	case claim != nil && key != "" && key != claim.Key:
		return "", ErrKeyMismatch
	case claim != nil:
		return claim.Key, nil
	case key != "" && r.AllowUnclaimed:
		return key, nil
	}
	return "", ErrNoKey
}
