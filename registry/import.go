package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/iotregistry/sdk/profile"
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
	for start, batch := range chunks(claims, r.Batch) {
		if err := r.fileBatch(ctx, actor, batch, results[start:]); err != nil {
			return results, unfinished(opClaim, results[start:], err)
		}
	}
	return results, nil
}

func (r *Registry) fileBatch(ctx context.Context, actor Actor, claims []Claim, results []Result) error {
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
		for i, c := range claims {
			results[i] = Result{Device: c.Device}
			c.Maker, c.Filed = actor.Account, r.now()
			if err := checkClaim(&c, known[c.Device.String()]); err != nil {
				results[i].Err = &Error{Op: opClaim, Device: c.Device, Err: err}
				continue
			}
			if known[c.Device.String()] == nil {
				known[c.Device.String()] = &c
				recs = append(recs, Record{Key: c.Device.String(), Parent: c.Maker, Body: encode(c)})
			}
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
	results := make([]Result, len(in.Rows))
	for i, row := range in.Rows {
		results[i] = Result{Line: row.Line, Device: row.ID}
	}
	size := r.Batch
	// A dry run must see duplicates wherever they stand, too.
	if in.Atomic || in.DryRun {
		size = max(len(in.Rows), 1)
	}
	for start, rows := range chunks(in.Rows, size) {
		if err := r.importBatch(ctx, actor, in, rows, results[start:start+len(rows)]); err != nil {
			return results, unfinished(opImport, results[start:], err)
		}
	}
	return results, nil
}

func (r *Registry) importBatch(ctx context.Context, actor Actor, in Import, rows []Row, results []Result) error {
	ids := make([]eid.ID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	run := r.store.Update
	if in.DryRun {
		run = r.store.View
	}
	return run(ctx, func(tx Tx) error {
		b, err := loadImport(ctx, tx, actor, in, rows, ids)
		if err != nil {
			return err
		}
		var recs []Record
		for i, row := range rows {
			d, err := r.newDevice(b, actor, in, row)
			results[i] = Result{Line: row.Line, Device: row.ID}
			if err != nil {
				results[i].Err = &Error{Op: opImport, Device: row.ID, Err: err}
				continue
			}
			b.devices[d.ID.String()] = d
			recs = append(recs, deviceRecord(d))
		}
		if in.Atomic && len(recs) < len(rows) {
			abortRest(results)
			return nil
		}
		if in.DryRun {
			return nil
		}
		return tx.Put(ctx, TableDevices, recs...)
	})
}

func abortRest(results []Result) {
	for i := range results {
		if results[i].Err == nil {
			results[i].Err = &Error{Op: opImport, Device: results[i].Device, Err: ErrAborted}
		}
	}
}

// importContext is what one import transaction reads before it judges rows.
type importContext struct {
	devices  map[string]*Device
	claims   map[string]*Claim
	accounts map[string]*Account
}

func loadImport(ctx context.Context, tx Tx, actor Actor, in Import, rows []Row, ids []eid.ID) (*importContext, error) {
	if _, err := account(ctx, tx, actor.Account, RoleASP); err != nil {
		return nil, err
	}
	if _, err := account(ctx, tx, in.Owner, RoleOwner); err != nil {
		return nil, err
	}
	operators := map[string]bool{in.MNO: true}
	for _, row := range rows {
		operators[row.MNO] = true
	}
	var b importContext
	var err error
	if b.devices, err = getAll[Device](ctx, tx, TableDevices, idKeys(ids)...); err != nil {
		return nil, err
	}
	if b.claims, err = getAll[Claim](ctx, tx, TableClaims, idKeys(ids)...); err != nil {
		return nil, err
	}
	b.accounts, err = getAll[Account](ctx, tx, TableAccounts, slices.Sorted(maps.Keys(operators))...)
	return &b, err
}

// newDevice judges one row and makes its device.
func (r *Registry) newDevice(b *importContext, actor Actor, in Import, row Row) (*Device, error) {
	if row.ID.IsZero() {
		return nil, fmt.Errorf("%w: the row has no device ID", ErrInvalid)
	}
	if old := b.devices[row.ID.String()]; old != nil {
		if old.Sponsor == actor.Account {
			return nil, ErrExists
		}
		return nil, ErrSponsored
	}
	operator := row.MNO
	if operator == "" {
		operator = in.MNO
	}
	if a := b.accounts[operator]; a == nil || a.Role != RoleMNO {
		return nil, fmt.Errorf("%w: %q is no operator here", ErrUnknown, operator)
	}
	key, err := r.deviceKey(row, b.claims[row.ID.String()])
	if err != nil {
		return nil, err
	}
	now := r.now()
	return &Device{
		ID: row.ID, Model: row.Model, Version: row.Version,
		Sponsor: actor.Account, Owner: in.Owner, MNO: operator, Key: key,
		Created: now, Updated: now,
	}, nil
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
