package smdpsql

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/mno/smdp"
)

// maxRows bounds how many new records one statement writes.
const maxRows = 100

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
	c := change{d: &s.d}
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
	err := s.write(ctx, func(tx conn) error { return c.run(ctx, tx) })
	switch {
	case err == nil:
		return nil
	case conflicting(err):
		return fmt.Errorf("%w (%w)", smdp.ErrChanged, err)
	}
	return fmt.Errorf("smdpsql: put: %w", reason(ctx, err))
}

// change is what one Put does to the tables.
type change struct {
	d        *dialect
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
func (c *change) run(ctx context.Context, tx conn) error {
	for _, u := range c.updates {
		if err := c.update(ctx, tx, u); err != nil {
			return err
		}
	}
	for rows := range slices.Chunk(c.inserts, maxRows) {
		n, err := c.insert(ctx, tx, `smdp_profiles (iccid, matching_id, device, profile_id, waiting, version, body)`, rows)
		if err != nil {
			return err
		}
		if n != int64(len(rows)) {
			return smdp.ErrChanged
		}
	}
	for rows := range slices.Chunk(c.sessions, maxRows) {
		if _, err := c.insert(ctx, tx, `smdp_transactions (id, iccid)`, rows); err != nil {
			return err
		}
	}
	return nil
}

// update replaces a record, whose transactions are then to be inserted again. A
// new one has none yet: records are never deleted.
func (c *change) update(ctx context.Context, tx conn, values []any) error {
	res, err := tx.ExecContext(ctx, c.d.sql(`UPDATE smdp_profiles
		SET matching_id = $2, device = $3, profile_id = $4, waiting = $5, version = $6, body = $7
		WHERE iccid = $1 AND version = $8`), values...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		if err == nil {
			err = smdp.ErrChanged
		}
		return err
	}
	_, err = tx.ExecContext(ctx, c.d.sql(`DELETE FROM smdp_transactions WHERE iccid = $1`), values[0])
	return err
}

// insert adds rows where nothing is in the way, and says how many.
func (c *change) insert(ctx context.Context, tx conn, into string, rows [][]any) (int64, error) {
	var q strings.Builder
	q.WriteString(`INSERT INTO ` + into + ` VALUES `)
	var args []any
	for i, values := range rows {
		if i > 0 {
			q.WriteByte(',')
		}
		for j, v := range values {
			args = append(args, v)
			fmt.Fprintf(&q, "%c$%d", "(,"[min(j, 1)], len(args))
		}
		q.WriteByte(')')
	}
	q.WriteString(` ON CONFLICT DO NOTHING`)
	res, err := tx.ExecContext(ctx, c.d.sql(q.String()), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
