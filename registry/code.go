package registry

import (
	"context"
	"encoding/json"
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
// keeps only salted hashes, so codes that are lost must be drawn again.
func (r *Registry) IssueCodes(ctx context.Context, actor Actor, ids ...eid.ID) ([]IssuedCode, error) {
	out := make([]IssuedCode, len(ids))
	for start, batch := range chunks(ids, r.Batch) {
		err := r.store.Update(ctx, func(tx Tx) error {
			return r.issueCodes(ctx, tx, actor, batch, out[start:])
		})
		if err != nil {
			return nil, &Error{Op: opCode, Err: err}
		}
	}
	return out, nil
}

func (r *Registry) issueCodes(ctx context.Context, tx Tx, actor Actor, ids []eid.ID, out []IssuedCode) error {
	devices, err := getAll[Device](ctx, tx, TableDevices, idKeys(ids)...)
	if err != nil {
		return err
	}
	now := r.now()
	recs, drawn := map[string]Record{}, map[eid.ID]int{}
	for i, id := range ids {
		if first, ok := drawn[id]; ok {
			out[i] = out[first]
			continue
		}
		drawn[id] = i
		out[i] = IssuedCode{Device: id}
		d := devices[id.String()]
		err := ErrNotFound
		if d != nil {
			err = may(actor, opCode, d)
		}
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
		recs[id.String()] = Record{Key: id.String(), Body: encode(rec)}
	}
	var put []Record
	for key, rec := range recs {
		if err := tx.Delete(ctx, TableCodes, key); err != nil {
			return err
		}
		put = append(put, rec)
	}
	return tx.Put(ctx, TableCodes, put...)
}

// useCode consumes d's code when c matches it, in the caller's transaction.
func (r *Registry) useCode(ctx context.Context, tx Tx, d *Device, c AuthCode) error {
	if d == nil {
		return ErrAuthCode
	}
	rec, err := getOne[codeRecord](ctx, tx, TableCodes, d.ID.String())
	if err != nil {
		return err
	}
	if !rec.matches(c, r.now()) {
		return ErrAuthCode
	}
	return tx.Delete(ctx, TableCodes, d.ID.String())
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

// countGuess records one more wrong code.
func countGuess(ctx context.Context, tx Tx, key string, g *guesses, now time.Time) error {
	if g == nil {
		g = &guesses{}
	}
	if g.Count == 0 || !now.Before(g.Since.Add(guessWindow)) {
		g.Count, g.Since = 0, now
	}
	g.Count++
	body, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("registry: encode guesses: %w", err)
	}
	return tx.Put(ctx, TableFailures, Record{Key: key, Version: g.version, Body: body})
}
