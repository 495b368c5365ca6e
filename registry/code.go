package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// IssuedCode is a fresh authorization code, shown to its owner once.
type IssuedCode struct {
	Device  eid.ID
	Code    AuthCode
	Expires time.Time
	Err     error // why there is no code
}

// IssueCodes draws an authorization code for each of the owner's devices and
// replaces any earlier one; a device named twice gets one code. The registry
// keeps only salted hashes, so codes that are lost must be drawn again. Results
// are in the order of ids; when IssueCodes itself fails, each device without a
// code carries the error. Codes are not kept for a repeated call: one with the
// same idempotency key draws new ones, and the latest are the ones that count.
func (r *Registry) IssueCodes(ctx context.Context, actor Actor, ids ...eid.ID) ([]IssuedCode, error) {
	first := make(map[eid.ID]int, len(ids)) // where each device's code is
	var unique []eid.ID
	for _, id := range ids {
		if _, ok := first[id]; !ok {
			first[id] = len(unique)
			unique = append(unique, id)
		}
	}
	codes, err := r.issueUnique(ctx, actor, unique)
	out := make([]IssuedCode, len(ids))
	for i, id := range ids {
		out[i] = codes[first[id]]
	}
	return out, err
}

func (r *Registry) issueUnique(ctx context.Context, actor Actor, ids []eid.ID) ([]IssuedCode, error) {
	out := make([]IssuedCode, len(ids))
	for start, batch := range chunks(ids, r.Batch) {
		err := r.store.Update(ctx, func(tx Tx) error {
			return r.issueCodes(ctx, tx, actor, batch, out[start:])
		})
		if err != nil {
			for i, id := range ids[start:] {
				out[start+i] = IssuedCode{Device: id, Err: &Error{Op: opCode, Device: id, Err: err}}
			}
			return out, &Error{Op: opCode, Err: err}
		}
	}
	return out, nil
}

func (r *Registry) issueCodes(ctx context.Context, tx Tx, actor Actor, ids []eid.ID, out []IssuedCode) error {
	devices, err := r.devices(ctx, tx, idKeys(ids)...)
	if err != nil {
		return err
	}
	now := r.now()
	var keys []string
	var recs []Record
	var notes []Note
	for i, id := range ids {
		out[i] = IssuedCode{Device: id}
		d := devices[id.String()]
		err := mayIssueCode(actor, d)
		if err != nil {
			out[i].Err = &Error{Op: opCode, Device: id, Err: err}
			continue
		}
		code, err := newAuthCode(r.Rand)
		if err != nil {
			return err
		}
		rec, err := newCodeRecord(r.Rand, code, now, r.CodeTTL)
		if err != nil {
			return err
		}
		out[i].Code, out[i].Expires = code, rec.Expires
		keys = append(keys, id.String())
		recs = append(recs, Record{Key: id.String(), Body: encode(rec)})
		notes = append(notes, Note{Op: opCode, Device: id, Detail: map[string]string{"expires": rec.Expires.Format(time.RFC3339)}})
	}
	if err := r.Record(ctx, tx, actor, notes...); err != nil {
		return err
	}
	if err := tx.Delete(ctx, TableCodes, keys...); err != nil {
		return err
	}
	return tx.Put(ctx, TableCodes, recs...)
}

// mayIssueCode reports why actor may not draw or clear a code of d.
func mayIssueCode(actor Actor, d *Device) error {
	if err := mayKnown(actor, opCode, d); err != nil {
		return err
	}
	if !d.Deleted.IsZero() {
		return fmt.Errorf("%w: it is deleted", ErrState)
	}
	if d.Pending != nil {
		return ErrPending
	}
	return nil
}

// ClearCodes takes authorization codes out of use that their owner has drawn: one
// that was never drawn is no error. Results are in the order of ids.
func (r *Registry) ClearCodes(ctx context.Context, actor Actor, opts Options, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opCode, ids)
	var cleared []string
	var notes []Note
	return results, r.eachDevice(ctx, actor, change{
		Options: opts, op: opCode, content: "clear", plans: plans,
		allowed: func(actor Actor, _ string, d *Device) error { return mayIssueCode(actor, d) },
		begin:   func() { cleared, notes = nil, nil },
		apply: func(d *Device, _ time.Time) (bool, error) {
			cleared, notes = append(cleared, d.ID.String()), append(notes, Note{Op: "clear code", Device: d.ID})
			return false, nil // of the device itself nothing changes
		},
		commit: func(ctx context.Context, tx Tx) error {
			if err := r.Record(ctx, tx, actor, notes...); err != nil {
				return err
			}
			return tx.Delete(ctx, TableCodes, cleared...)
		},
	})
}

// CodeInfo says of an authorization code all that anybody may know but its owner
// when it is drawn. The zero value says that there is none, or none that is good.
type CodeInfo struct {
	Issued  time.Time `json:"issued,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
}

// Code returns what is known of a device's authorization code, to who may see
// the device.
func (r *Registry) Code(ctx context.Context, actor Actor, id eid.ID) (CodeInfo, error) {
	if _, err := r.Device(ctx, actor, id); err != nil {
		return CodeInfo{}, err
	}
	var rec *codeRecord
	err := r.store.View(ctx, func(tx Tx) (err error) {
		rec, err = getOne[codeRecord](ctx, tx, TableCodes, id.String())
		return err
	})
	if err != nil {
		return CodeInfo{}, &Error{Op: opRead, Device: id, Err: err}
	}
	if rec == nil || !r.now().Before(rec.Expires) {
		return CodeInfo{}, nil
	}
	return CodeInfo{Issued: rec.Issued, Expires: rec.Expires}, nil
}

// Guessing is bounded per device and requester: after maxGuesses wrong codes
// within guessWindow even the right one is refused until the window is over.
const (
	maxGuesses  = 5
	guessWindow = time.Hour
)

// guesses counts one requester's wrong codes for one device.
type guesses struct {
	Count int       `json:"count"`
	Since time.Time `json:"since"`

	version uint64
}

func (g *guesses) setVersion(v uint64) { g.version = v }

func guessKey(device eid.ID, requester string) string { return device.String() + "/" + requester }

func (g *guesses) locked(now time.Time) bool {
	return g != nil && g.Count >= maxGuesses && now.Before(g.Since.Add(guessWindow))
}

// countGuesses records one more wrong code for each of plans, and tells the
// devices' sponsors and owners where that was one too many.
func (r *Registry) countGuesses(ctx context.Context, tx Tx, actor Actor, s *sight, plans []*plan) error {
	var recs []Record
	var notes []Note
	var msgs []Message
	for _, p := range plans {
		key := guessKey(p.result.Device, actor.Account)
		g := s.guesses[key]
		if g == nil {
			g = &guesses{}
		}
		if g.Count == 0 || !s.now.Before(g.Since.Add(guessWindow)) {
			g.Count, g.Since = 0, s.now
		}
		g.Count++
		recs = append(recs, Record{Key: key, Version: g.version, Body: encode(g)})
		if g.Count < maxGuesses || p.device == nil {
			continue
		}
		notes = append(notes, Note{Op: "code locked", Device: p.device.ID})
		m := Message{Type: MessageCodeLocked, Device: p.device.ID, By: actor.Account}
		msgs = append(msgs, toEach(m, p.device.Sponsor, p.device.Owner)...)
	}
	if err := tx.Put(ctx, TableFailures, recs...); err != nil {
		return err
	}
	if err := r.Record(ctx, tx, actor, notes...); err != nil {
		return err
	}
	return r.Notify(ctx, tx, msgs...)
}
