package registry

import (
	"context"
	"fmt"
	"iter"
	"strconv"

	"github.com/iotregistry/sdk/registry/eid"
)

// versioned lets the typed helpers below hand a record's version to its type.
type versioned interface{ setVersion(uint64) }

func (d *Device) setVersion(v uint64)   { d.version = v }
func (p *Profile) setVersion(v uint64)  { p.version = v }
func (a *Account) setVersion(v uint64)  { a.version = v }
func (c *Claim) setVersion(uint64)      {}
func (i *Issued) setVersion(uint64)     {}
func (c *codeRecord) setVersion(uint64) {}

// getAll reads records of one table by key into a map.
func getAll[T any, P interface {
	*T
	versioned
}](ctx context.Context, tx Tx, t Table, keys ...string) (map[string]*T, error) {
	recs, err := tx.Get(ctx, t, keys...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*T, len(recs))
	for _, rec := range recs {
		v := new(T)
		if err := decode(rec, v); err != nil {
			return nil, err
		}
		P(v).setVersion(rec.Version)
		out[rec.Key] = v
	}
	return out, nil
}

// getOne reads one record; nil when it does not exist.
func getOne[T any, P interface {
	*T
	versioned
}](ctx context.Context, tx Tx, t Table, key string) (*T, error) {
	m, err := getAll[T, P](ctx, tx, t, key)
	return m[key], err
}

// listAll reads records of one table in the order of their keys.
func listAll[T any, P interface {
	*T
	versioned
}](ctx context.Context, tx Tx, t Table, q Query) ([]*T, error) {
	recs, err := tx.List(ctx, t, q)
	if err != nil {
		return nil, err
	}
	out := make([]*T, len(recs))
	for i, rec := range recs {
		out[i] = new(T)
		if err := decode(rec, out[i]); err != nil {
			return nil, err
		}
		P(out[i]).setVersion(rec.Version)
	}
	return out, nil
}

// devices reads devices as their deadlines have made them; those that are gone
// are not among them.
func (r *Registry) devices(ctx context.Context, tx Tx, keys ...string) (map[string]*Device, error) {
	m, err := getAll[Device](ctx, tx, TableDevices, keys...)
	now := r.now()
	for key, d := range m {
		if d.gone(now) {
			delete(m, key)
			continue
		}
		d.project(now)
	}
	return m, err
}

func deviceRecord(d *Device) Record {
	return Record{Key: d.ID.String(), Parent: d.Sponsor, Version: d.version, Body: encode(d)}
}

func profileRecord(p *Profile) Record {
	return Record{Key: profileKey(p.ID), Parent: p.Device.String(), Version: p.version, Body: encode(p)}
}

func idKeys(ids []eid.ID) []string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = id.String()
	}
	return keys
}

// takeProfileIDs reserves n consecutive profile IDs and returns the first. One
// call serves a whole batch, so the counter is no hot row. IDs that the caller
// does not come to use stay unused.
func takeProfileIDs(ctx context.Context, tx Tx, first uint64, n int) (uint64, error) {
	const key = "nextProfileID"
	recs, err := tx.Get(ctx, TableMeta, key)
	if err != nil {
		return 0, err
	}
	next, version := first, uint64(0)
	if len(recs) == 1 {
		version = recs[0].Version
		if next, err = strconv.ParseUint(string(recs[0].Body), 10, 64); err != nil {
			return 0, fmt.Errorf("registry: profile ID counter is damaged: %w", err)
		}
	}
	body := fmt.Appendf(nil, "%d", next+uint64(n))
	return next, tx.Put(ctx, TableMeta, Record{Key: key, Version: version, Body: body})
}

// chunks yields consecutive pieces of s of at most n elements with the index of
// their first one.
func chunks[T any](s []T, n int) iter.Seq2[int, []T] {
	return func(yield func(int, []T) bool) {
		for i := 0; i < len(s); i += n {
			if !yield(i, s[i:min(i+n, len(s))]) {
				return
			}
		}
	}
}
