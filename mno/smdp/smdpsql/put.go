package smdpsql

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/mno/internal/sqlkit"
	"github.com/iotregistry/sdk/mno/smdp"
)

// Put implements [smdp.Store]. Texts that are not UTF-8, or have a NUL in ICCID,
// matching ID or transaction, are refused. When the connection to PostgreSQL
// breaks while Put awaits the end, the error is neither nil nor ErrChanged, and
// only Find says what is stored.
func (s *Store) Put(ctx context.Context, ps ...smdp.Profile) error {
	if err := ctx.Err(); err != nil || len(ps) == 0 {
		return err
	}
	// In one order, so that callers do not wait for each other in a circle.
	ps = slices.SortedFunc(slices.Values(ps), func(a, b smdp.Profile) int { return strings.Compare(a.ICCID, b.ICCID) })
	var c change
	for i, p := range ps {
		if i > 0 && ps[i-1].ICCID == p.ICCID || p.Version >= math.MaxInt64 {
			return smdp.ErrChanged
		}
		r, err := rowOf(p)
		if err != nil {
			return fmt.Errorf("smdpsql: put: %w", err)
		}
		c.add(p, r)
	}
	err := s.db.Write(ctx, func(tx *sqlkit.Tx) error { return c.run(ctx, tx) })
	switch {
	case err == nil:
		return nil
	case sqlkit.Conflicting(err):
		return fmt.Errorf("%w (%w)", smdp.ErrChanged, err)
	}
	return fmt.Errorf("smdpsql: put: %w", sqlkit.Reason(ctx, err))
}

// change is what one Put does to the tables.
type change struct {
	inserts  [][]any // rows of new profiles
	updates  [][]any // rows of others, with the version they must have
	sessions [][]any // rows of transactions
}

func (c *change) add(p smdp.Profile, r row) {
	values := []any{r.iccid, r.matchingID, r.device, r.profileID, waiting(p), r.version, r.body}
	if p.Version == 0 {
		c.inserts = append(c.inserts, values)
	} else {
		c.updates = append(c.updates, append(values, int64(p.Version)))
	}
	for _, id := range p.Download.Transactions {
		c.sessions = append(c.sessions, []any{id, r.iccid})
	}
}

// run writes. A row that is not written, because another version is there or a
// value is taken, ends it with ErrChanged.
func (c *change) run(ctx context.Context, tx *sqlkit.Tx) error {
	for _, u := range c.updates {
		if err := update(ctx, tx, u); err != nil {
			return err
		}
	}
	n, err := tx.Insert(ctx, `smdp_profiles (iccid, matching_id, device, profile_id, waiting, version, body)`, c.inserts)
	if err == nil && n != int64(len(c.inserts)) {
		err = smdp.ErrChanged
	}
	if err != nil {
		return err
	}
	_, err = tx.Insert(ctx, `smdp_transactions (id, iccid)`, c.sessions)
	return err
}

// update replaces a record, whose transactions are then to be inserted again. A
// new one has none yet: records are never deleted.
func update(ctx context.Context, tx *sqlkit.Tx, values []any) error {
	n, err := tx.Exec(ctx, `UPDATE smdp_profiles
		SET matching_id = $2, device = $3, profile_id = $4, waiting = $5, version = $6, body = $7
		WHERE iccid = $1 AND version = $8`, values...)
	if err == nil && n != 1 {
		err = smdp.ErrChanged
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM smdp_transactions WHERE iccid = $1`, values[0])
	return err
}
