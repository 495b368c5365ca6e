package registry

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
)

// Note is what [Registry.Record] puts down: what was done, to what.
type Note struct {
	Op      string
	Device  eid.ID
	Subject string            // an account, a job, a transfer
	Detail  map[string]string // no secrets
	At      time.Time         // zero means now
}

// Record writes audit entries in the transaction of what they are about, so that
// one is never kept without the other. They get their places in the hash chain
// when the registry next resumes: a chain that every transaction extends would
// make them all wait for each other.
func (r *Registry) Record(ctx context.Context, tx Tx, actor Actor, notes ...Note) error {
	if len(notes) == 0 {
		return nil
	}
	now := r.now()
	base, err := r.newID(now)
	if err != nil {
		return err
	}
	recs := make([]Record, len(notes))
	for i, n := range notes {
		e := audit.Entry{
			Time: now, Actor: actor.Account, Role: string(actor.Role), Op: n.Op,
			Subject: n.Subject, Device: n.Device.String(), Detail: n.Detail,
		}
		if !n.At.IsZero() {
			e.Time = n.At
		}
		if actor.Key != "" {
			e.Request = requestHash(actor)
		}
		body, err := e.Encode()
		if err != nil {
			return fmt.Errorf("registry: audit entry of %q: %w", n.Op, err)
		}
		recs[i] = Record{Key: fmt.Sprintf("%s-%06d/%s", base, i, e.Device), Body: body}
	}
	return tx.Put(ctx, TableJournal, recs...)
}

// newID draws an ID that sorts by time, and of one process also by order.
func (r *Registry) newID(now time.Time) (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(r.Rand, b[:]); err != nil {
		return "", fmt.Errorf("registry: draw an ID: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	stamp := stampOf(now)
	if r.drawn++; r.stamp != stamp {
		r.stamp, r.drawn = stamp, 0
	}
	return fmt.Sprintf("%s-%06x%x", stamp, r.drawn, b), nil
}

// stampOf is a time as the beginning of a key: keys then sort by time until the
// year 2286.
func stampOf(t time.Time) string { return fmt.Sprintf("%013d", t.UnixMilli()) }

// chained is where the audit trail ends, with the newest head.
type chained struct {
	Chain audit.Chain `json:"chain"`
	Head  audit.Head  `json:"head"`
}

const auditEnd = "auditEnd"

func loadChain(ctx context.Context, tx Tx) (chained, uint64, error) {
	var c chained
	recs, err := tx.Get(ctx, TableMeta, auditEnd)
	if err != nil || len(recs) == 0 {
		return c, 0, err
	}
	return c, recs[0].Version, decode(recs[0], &c)
}

// SealAudit gives the audit entries that have none their places in the chain,
// signs the new head with Config.AuditKey, and returns how many entries it
// sealed. [Registry.Resume] calls it.
func (r *Registry) SealAudit(ctx context.Context, actor Actor) (int, error) {
	if err := may(actor, opRun, nil); err != nil {
		return 0, &Error{Op: "seal audit", Err: err}
	}
	n, err := r.sealAudit(ctx)
	if err != nil {
		return n, &Error{Op: "seal audit", Err: err}
	}
	return n, nil
}

func (r *Registry) sealAudit(ctx context.Context) (int, error) {
	total := 0
	for {
		var waiting []string
		err := r.store.View(ctx, func(tx Tx) (err error) {
			waiting, err = listKeys(ctx, tx, TableJournal, Query{Limit: 1})
			return err
		})
		if err != nil || len(waiting) == 0 {
			return total, err
		}
		n := 0
		err = r.store.Update(ctx, func(tx Tx) (err error) {
			n, err = r.sealPage(ctx, tx)
			return err
		})
		if total += n; err != nil {
			return total, err
		}
	}
}

func (r *Registry) sealPage(ctx context.Context, tx Tx) (int, error) {
	waiting, err := tx.List(ctx, TableJournal, Query{Limit: r.Batch})
	if err != nil || len(waiting) == 0 {
		return 0, err
	}
	end, version, err := loadChain(ctx, tx)
	if err != nil {
		return 0, err
	}
	chain := end.Chain
	lines, keys := make([]Record, len(waiting)), make([]string, len(waiting))
	for i, rec := range waiting {
		line := chain.Append(rec.Body)
		_, device, _ := strings.Cut(rec.Key, "/")
		lines[i] = Record{Key: profileKey(line.Seq), Parent: device, Body: line.AppendJSON(nil)}
		keys[i] = rec.Key
	}
	// A clock that was put back must not make the trail look rewritten to those
	// who keep heads.
	at := r.now()
	if at.Before(end.Head.Time) {
		at = end.Head.Time
	}
	head := chain.Head(r.Zone, at)
	if r.AuditKey != nil {
		if err := head.Sign(r.Rand, r.AuditKey); err != nil {
			return 0, fmt.Errorf("sign audit head: %w", err)
		}
	}
	end = chained{Chain: chain, Head: head}
	if err := tx.Put(ctx, TableAudit, lines...); err != nil {
		return 0, err
	}
	if err := tx.Delete(ctx, TableJournal, keys...); err != nil {
		return 0, err
	}
	return len(keys), tx.Put(ctx, TableMeta, Record{Key: auditEnd, Version: version, Body: encode(end)})
}

// AuditHead returns the newest head of the audit trail; its zero value while
// nothing is sealed.
func (r *Registry) AuditHead(ctx context.Context, actor Actor) (audit.Head, error) {
	err := may(actor, opAudit, nil)
	var end chained
	if err == nil {
		err = r.store.View(ctx, func(tx Tx) (err error) {
			end, _, err = loadChain(ctx, tx)
			return err
		})
	}
	if err != nil {
		return audit.Head{}, &Error{Op: opAudit, Err: err}
	}
	return end.Head, nil
}

// Audit returns up to limit sealed entries after sequence number after.
func (r *Registry) Audit(ctx context.Context, actor Actor, after uint64, limit int) ([]audit.Line, error) {
	if err := may(actor, opAudit, nil); err != nil {
		return nil, &Error{Op: opAudit, Err: err}
	}
	lines, err := r.auditLines(ctx, Query{After: profileKey(after), Limit: limit})
	if err != nil {
		return nil, &Error{Op: opAudit, Err: err}
	}
	return lines, nil
}

// Timeline returns what happened to a device, oldest first, to who may read the
// device: the entries that are sealed.
func (r *Registry) Timeline(ctx context.Context, actor Actor, id eid.ID, after uint64, limit int) ([]audit.Line, error) {
	if _, err := r.Device(ctx, actor, id); err != nil {
		return nil, err
	}
	lines, err := r.auditLines(ctx, Query{Parent: id.String(), After: profileKey(after), Limit: limit})
	if err != nil {
		return nil, &Error{Op: opRead, Device: id, Err: err}
	}
	return lines, nil
}

func (r *Registry) auditLines(ctx context.Context, q Query) ([]audit.Line, error) {
	var out []audit.Line
	err := r.store.View(ctx, func(tx Tx) error {
		out = out[:0]
		recs, err := tx.List(ctx, TableAudit, q)
		for _, rec := range recs {
			line, err := audit.ParseLine(rec.Body)
			if err != nil {
				return fmt.Errorf("registry: audit line %s is damaged: %w", rec.Key, err)
			}
			out = append(out, line)
		}
		return err
	})
	return out, err
}

// ExportAudit writes the sealed audit trail after sequence number after and its
// newest head, for an [audit.Verifier].
func (r *Registry) ExportAudit(ctx context.Context, actor Actor, w io.Writer, after uint64) error {
	head, err := r.AuditHead(ctx, actor)
	if err != nil {
		return err
	}
	for after < head.Seq {
		lines, err := r.Audit(ctx, actor, after, int(min(head.Seq-after, uint64(r.Batch))))
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			return &Error{Op: opAudit, Err: fmt.Errorf("line %d is missing: the store has lost it", after+1)}
		}
		var buf []byte
		for _, l := range lines {
			buf = append(l.AppendJSON(buf), '\n')
			after = l.Seq
		}
		if _, err := w.Write(buf); err != nil {
			return &Error{Op: opAudit, Err: err}
		}
	}
	if head.Seq == 0 {
		return nil
	}
	if _, err := w.Write(append(head.AppendJSON(nil), '\n')); err != nil {
		return &Error{Op: opAudit, Err: err}
	}
	return nil
}
