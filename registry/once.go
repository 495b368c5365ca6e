package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// DefaultRequestTTL is how long the answers to calls with an idempotency key
// are kept.
const DefaultRequestTTL = 30 * 24 * time.Hour

const maxKey = 255

// once makes one batch of a call repeatable: what the batch did and the answer
// to it are committed together. The zero once is of a call without a key.
type once struct {
	key         string // of the record; "" when the call is a new one each time
	fingerprint string
	now         time.Time
	version     uint64
}

// kept is the answer to one batch.
type kept struct {
	Fingerprint string    `json:"fingerprint"`
	Until       time.Time `json:"until"`
	Results     []Result  `json:"results"`
}

// onceFor returns the once of the batch that begins at plan number start of a
// call on total devices. Content is what the call asks for besides them.
func onceFor(actor Actor, op string, start, total int, content any, batch []*plan, now time.Time) (*once, error) {
	if actor.Key == "" {
		return &once{}, nil
	}
	if len(actor.Key) > maxKey {
		return nil, fmt.Errorf("%w: the idempotency key is longer than %d bytes", ErrInvalid, maxKey)
	}
	h := sha256.New()
	enc := json.NewEncoder(h)
	if err := enc.Encode([]any{op, actor.Role, total, content}); err != nil {
		return nil, fmt.Errorf("registry: fingerprint: %w", err)
	}
	for _, p := range batch {
		item := []any{p.result.Device, p.row, p.grant}
		if !p.code.IsZero() { // JSON hides it
			sum := sha256.Sum256([]byte(p.code.secret()))
			item = append(item, sum[:])
		}
		if err := enc.Encode(item); err != nil {
			return nil, fmt.Errorf("registry: fingerprint: %w", err)
		}
	}
	return &once{
		key:         fmt.Sprintf("%s%08d", requestPrefix(actor), start),
		fingerprint: hex.EncodeToString(h.Sum(nil)), now: now,
	}, nil
}

// requestPrefix begins the keys of a request's batches.
func requestPrefix(actor Actor) string { return requestHash(actor) + "/" }

// answered reports whether a call with actor's key has done anything.
func (r *Registry) answered(ctx context.Context, actor Actor) (bool, error) {
	prefix, found := requestPrefix(actor), false
	err := r.store.View(ctx, func(tx Tx) error {
		keys, err := listKeys(ctx, tx, TableRequests, Query{After: prefix, Limit: 1})
		found = len(keys) > 0 && strings.HasPrefix(keys[0], prefix)
		return err
	})
	return found, err
}

// requestHash names a request without showing its key, which may be a secret of
// the caller's.
func requestHash(actor Actor) string {
	sum := sha256.Sum256([]byte(actor.Account + "\x00" + actor.Key))
	return hex.EncodeToString(sum[:16])
}

// recall fills the batch's results with the answer that was given before, if
// there was one.
func (o *once) recall(ctx context.Context, tx Tx, batch []*plan) (bool, error) {
	if o.key == "" {
		return false, nil
	}
	recs, err := tx.Get(ctx, TableRequests, o.key)
	o.version = 0
	if err != nil || len(recs) == 0 {
		return false, err
	}
	var k kept
	if err := decode(recs[0], &k); err != nil {
		return false, err
	}
	if o.version = recs[0].Version; !o.now.Before(k.Until) {
		return false, nil
	}
	if k.Fingerprint != o.fingerprint || len(k.Results) != len(batch) {
		return false, ErrKeyReused
	}
	for i, p := range batch {
		*p.result = k.Results[i]
	}
	return true, nil
}

// keep records the batch's answer in the transaction of what it did. A batch of
// which nothing was done is not worth remembering.
func (o *once) keep(ctx context.Context, tx Tx, ttl time.Duration, batch []*plan) error {
	if o.key == "" {
		return nil
	}
	k := kept{Fingerprint: o.fingerprint, Until: o.now.Add(ttl), Results: make([]Result, len(batch))}
	done := false
	for i, p := range batch {
		k.Results[i] = *p.result
		done = done || p.result.Err == nil
	}
	if !done {
		return nil
	}
	return tx.Put(ctx, TableRequests, Record{Key: o.key, Parent: day(k.Until), Version: o.version, Body: encode(k)})
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// requestsForgotten is the meta record that says up to which day the answers
// are removed.
const requestsForgotten = "requestsForgotten"

// forgetRequests removes the answers whose time is over. The records of a day
// are grouped, so that they are found without looking at others.
func (r *Registry) forgetRequests(ctx context.Context) error {
	today := r.now().Truncate(24 * time.Hour)
	var from time.Time
	err := r.store.View(ctx, func(tx Tx) (err error) {
		from, _, err = forgottenTo(ctx, tx, today)
		return err
	})
	if err != nil || !from.Before(today) {
		return err
	}
	return r.store.Update(ctx, func(tx Tx) error {
		from, version, err := forgottenTo(ctx, tx, today)
		if err != nil || !from.Before(today) {
			return err
		}
		keys, err := listKeys(ctx, tx, TableRequests, Query{Parent: day(from)})
		if err != nil {
			return err
		}
		if err := tx.Delete(ctx, TableRequests, keys...); err != nil || len(keys) == MaxLimit {
			return err // the next time goes on with the same day
		}
		return tx.Put(ctx, TableMeta, Record{Key: requestsForgotten, Version: version, Body: []byte(day(from.Add(24 * time.Hour)))})
	})
}

// forgottenTo returns the first day whose answers may still be there.
func forgottenTo(ctx context.Context, tx Tx, today time.Time) (time.Time, uint64, error) {
	recs, err := tx.Get(ctx, TableMeta, requestsForgotten)
	if err != nil || len(recs) == 0 {
		return today.Add(-48 * time.Hour), 0, err
	}
	from, err := time.Parse(time.DateOnly, string(recs[0].Body))
	if err != nil {
		return from, 0, fmt.Errorf("registry: meta record %q is damaged: %w", requestsForgotten, err)
	}
	return from, recs[0].Version, nil
}

func listKeys(ctx context.Context, tx Tx, t Table, q Query) ([]string, error) {
	recs, err := tx.List(ctx, t, q)
	return keysOf(recs), err
}

func keysOf(recs []Record) []string {
	keys := make([]string, len(recs))
	for i, rec := range recs {
		keys[i] = rec.Key
	}
	return keys
}

// plansOf makes results and plans for a call on devices.
func plansOf(op string, ids []eid.ID) ([]Result, []*plan) {
	results := make([]Result, len(ids))
	for i, id := range ids {
		results[i].Device = id
	}
	plans, _ := newPlans(op, results)
	return results, plans
}
