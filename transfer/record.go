package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// record writes what a request or decision has made of transfers, and tells
// those concerned, in the transaction that changes the devices.
func (s *Service) record(ctx context.Context, tx registry.Tx, actor registry.Actor, moved []registry.Moved, end func(registry.Actor, *Transfer)) error {
	earlier, err := load(ctx, tx, moved)
	if err != nil {
		return err
	}
	recs := make([]registry.Record, len(moved))
	var msgs, unsaid []registry.Message
	for i, m := range moved {
		before := earlier[m.Transfer]
		t := Transfer{
			ID: m.Transfer, Device: m.Device, From: m.From, To: m.To, OldProfile: m.OldProfile, NewProfile: m.NewProfile,
			Requested: m.Requested, Due: m.Due, Undo: m.Undo,
		}
		if end(actor, &t); t.Status != Pending {
			t.Acted, t.By = m.At, actor.Account
		}
		if before == nil && t.Status != Pending && m.From != m.To {
			if t.Undoes, err = undone(ctx, tx, m); err != nil {
				return err
			}
		}
		if before != nil {
			t.Due = before.Due
			unsaid = append(unsaid, announcement(before, m.Owner)...)
		}
		msgs = append(msgs, tell(&t, actor, m)...)
		if recs[i], err = t.record(before); err != nil {
			return err
		}
	}
	if err := tx.Put(ctx, registry.TableTransfers, recs...); err != nil {
		return err
	}
	if err := s.registry.Unsay(ctx, tx, unsaid...); err != nil {
		return err
	}
	return s.registry.Notify(ctx, tx, msgs...)
}

// stored is a transfer as the store has it.
type stored struct {
	Transfer
	version uint64
}

func (t *Transfer) record(before *stored) (registry.Record, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return registry.Record{}, fmt.Errorf("transfer: encode: %w", err)
	}
	rec := registry.Record{Key: t.ID, Parent: t.Device.String(), Body: body}
	if before != nil {
		rec.Version = before.version
	}
	return rec, nil
}

// load reads the pending transfers that are decided.
func load(ctx context.Context, tx registry.Tx, moved []registry.Moved) (map[string]*stored, error) {
	keys := make([]string, len(moved))
	for i, m := range moved {
		keys[i] = m.Transfer
	}
	recs, err := tx.Get(ctx, registry.TableTransfers, keys...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*stored, len(recs))
	for _, rec := range recs {
		t := &stored{version: rec.Version}
		if err := decode(rec, &t.Transfer); err != nil {
			return nil, err
		}
		out[rec.Key] = t
	}
	return out, nil
}

func decode(rec registry.Record, v any) error {
	if err := json.Unmarshal(rec.Body, v); err != nil {
		return fmt.Errorf("transfer: record %q is damaged: %w", rec.Key, err)
	}
	return nil
}

// undone returns the transfer that a move back takes back; "" for a move that is
// none.
func undone(ctx context.Context, tx registry.Tx, m registry.Moved) (string, error) {
	if m.Undo.After(m.At) {
		return "", nil // it can be undone itself, so it undoes nothing
	}
	ts, err := history(ctx, tx, m.Device, m.At)
	if err != nil {
		return "", err
	}
	for _, t := range slices.Backward(ts) {
		if (t.Status == ServerApproved || t.Status == ClientApproved) && t.To == m.From && t.From == m.To && m.At.Before(t.Undo) {
			return t.ID, nil
		}
	}
	return "", nil
}

// announcement is what tells all sides that a transfer has happened because
// nobody decided it: it is put into their queues with the request and seen at the
// deadline.
func announcement(t *stored, owner string) []registry.Message {
	return to(registry.Message{
		ID: t.ID, Type: registry.MessageTransferApproved, Time: t.Due, Device: t.Device, Subject: t.ID,
		Detail: map[string]string{"from": t.From, "to": t.To},
	}, "", t.From, t.To, owner)
}

// tell returns what others than the actor are told of a request or decision.
func tell(t *Transfer, actor registry.Actor, m registry.Moved) []registry.Message {
	msg := registry.Message{Device: t.Device, Subject: t.ID, By: actor.Account, Detail: map[string]string{"from": t.From, "to": t.To}}
	switch t.Status {
	case Pending:
		msg.Type = registry.MessageTransferRequested
		msg.Detail["due"] = t.Due.Format(time.RFC3339)
		return append(to(msg, actor.Account, t.From, m.Owner), announcement(&stored{Transfer: *t}, m.Owner)...)
	case ClientRejected:
		msg.Type = registry.MessageTransferRejected
	case ClientCancelled, ServerCancelled:
		msg.Type = registry.MessageTransferCancelled
	case ClientApproved, ServerApproved:
		if msg.Type = registry.MessageTransferApproved; t.Undoes != "" {
			msg.Type = registry.MessageTransferUndone
		}
	}
	return to(msg, actor.Account, t.From, t.To, m.Owner)
}

// to addresses a message to accounts, each once, and not to the one that knows.
func to(m registry.Message, but string, accounts ...string) []registry.Message {
	var out []registry.Message
	for i, a := range accounts {
		if a != "" && a != but && !slices.Contains(accounts[:i], a) {
			m.Account = a
			out = append(out, m)
		}
	}
	return out
}

// History returns a device's transfers as they are now, oldest first, to who may
// see the device or was part of one of them: the losing provider keeps its proof.
func (s *Service) History(ctx context.Context, actor registry.Actor, device eid.ID) ([]Transfer, error) {
	_, denied := s.registry.Device(ctx, actor, device)
	if denied != nil && !errors.Is(denied, registry.ErrNotFound) {
		return nil, denied
	}
	var out []Transfer
	err := s.registry.Store.View(ctx, func(tx registry.Tx) error {
		all, err := history(ctx, tx, device, s.registry.Now())
		out = out[:0]
		for _, t := range all {
			party := actor.Role == registry.RoleASP && (t.From == actor.Account || t.To == actor.Account)
			if denied == nil || party {
				out = append(out, t)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if denied != nil && len(out) == 0 {
		return nil, denied
	}
	return out, nil
}

// Incoming returns up to limit devices that the actor has asked for and that are
// not decided yet, after the given ID in byte order of their IDs.
func (s *Service) Incoming(ctx context.Context, actor registry.Actor, after string, limit int) ([]Transfer, error) {
	if actor.Role != registry.RoleASP {
		return nil, &registry.Error{Op: "transfer", Err: registry.ErrForbidden}
	}
	now := s.registry.Now()
	var out []Transfer
	err := s.registry.Store.View(ctx, func(tx registry.Tx) error {
		out = out[:0]
		recs, err := tx.List(ctx, registry.TableIncoming, registry.Query{Parent: actor.Account, After: after, Limit: limit})
		if err != nil {
			return err
		}
		for _, rec := range recs {
			var p registry.Pending
			if err := decode(rec, &p); err != nil {
				return err
			}
			found, err := tx.Get(ctx, registry.TableTransfers, p.Transfer)
			if err != nil {
				return err
			}
			for _, rec := range found {
				var t Transfer
				if err := decode(rec, &t); err != nil {
					return err
				}
				if t.project(now); t.Status == Pending {
					out = append(out, t)
				}
			}
		}
		return nil
	})
	return out, err
}

func history(ctx context.Context, tx registry.Tx, device eid.ID, now time.Time) ([]Transfer, error) {
	recs, err := tx.List(ctx, registry.TableTransfers, registry.Query{Parent: device.String()})
	if err != nil {
		return nil, err
	}
	out := make([]Transfer, len(recs))
	var due []int
	for i, rec := range recs {
		if err := decode(rec, &out[i]); err != nil {
			return nil, err
		}
		if out[i].project(now) {
			due = append(due, i)
		}
	}
	for _, i := range due {
		var next *Transfer
		if i+1 < len(out) {
			next = &out[i+1]
		}
		if out[i].NewProfile, err = profileAfter(ctx, tx, &out[i], next); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// project brings t to now: a pending transfer that nobody has decided happened
// at its deadline. It reports whether that was so.
func (t *Transfer) project(now time.Time) bool {
	if t.Status != Pending || now.Before(t.Due) {
		return false
	}
	t.Status, t.Acted = ServerApproved, t.Due
	return true
}

// profileAfter finds the profile that a transfer which a deadline decided has led
// to before the device's next one, if any; 0 while it is not made.
func profileAfter(ctx context.Context, tx registry.Tx, t, next *Transfer) (uint64, error) {
	recs, err := tx.List(ctx, registry.TableProfiles, registry.Query{Parent: t.Device.String(), After: fmt.Sprintf("%020d", t.OldProfile)})
	if err != nil {
		return 0, err
	}
	for _, rec := range recs {
		var p registry.Profile
		if err := decode(rec, &p); err != nil {
			return 0, err
		}
		// One made before is of an earlier life of the device.
		if p.Sponsor == t.To && !p.Created.Before(t.Due) && (next == nil || next.found(&p, t)) {
			return p.ID, nil
		}
	}
	return 0, nil
}

// found reports whether p was there when the transfer t, the one after before, was
// asked for. A device that was registered anew in between had no profile then.
func (t *Transfer) found(p *registry.Profile, before *Transfer) bool {
	if t.OldProfile > 0 && t.OldProfile >= before.OldProfile {
		return p.ID <= t.OldProfile
	}
	return p.ID != t.NewProfile && !p.Created.After(t.Requested)
}
