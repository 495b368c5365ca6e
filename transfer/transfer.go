// Package transfer moves devices from one provider to another by the procedure
// of RFC 5730 and RFC 5731, for devices instead of domain names.
//
// The owner of a device draws an authorization code at the registry and hands
// it to the provider of its choice, which requests the transfer. With the
// policy that exists today, [Immediate], the right code is the decision: the
// registry issues a profile that leads to the new provider, and withdraws the
// old one once the device has connected with the new one, or when the overlap
// ends. Nobody touches the device, and at no moment is it without a valid
// profile.
//
//	svc := transfer.Service{Registry: reg}
//	results, err := svc.Request(ctx, actor, transfer.Batch{Key: "2026-11-24/ottawa", Items: items})
//
// # What this does not protect from
//
// Whoever holds a code holds the device: the registry cannot tell an owner from
// a thief of codes. And a moved device may stay with its old provider until the
// overlap ends, if nobody can deliver the new profile to it.
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

// Status is the state of a transfer (RFC 5730 section 2.9.3.4). States other
// than pending never change again.
type Status string

// The states of a transfer.
const (
	Pending         Status = "pending"
	ClientApproved  Status = "clientApproved"
	ClientRejected  Status = "clientRejected"
	ClientCancelled Status = "clientCancelled"
	ServerApproved  Status = "serverApproved"
	ServerCancelled Status = "serverCancelled"
)

// Policy decides how a request with the right code goes on.
type Policy int

// Immediate lets the owner's code decide at once: the transfer is
// serverApproved in the commit that requests it.
const Immediate Policy = 0

// Transfer is the record of one device's move.
type Transfer struct {
	Device     eid.ID    `json:"device"`
	Status     Status    `json:"status"`
	From       string    `json:"from"` // losing ASP
	To         string    `json:"to"`   // gaining ASP
	OldProfile uint64    `json:"oldProfile"`
	NewProfile uint64    `json:"newProfile"`
	Requested  time.Time `json:"requested"`
	Acted      time.Time `json:"acted"`
	Key        string    `json:"key,omitempty"` // the request's idempotency key
}

// Item asks for one device.
type Item struct {
	Line   int // of the input, for the result
	Device eid.ID
	Code   registry.AuthCode
}

// Batch is a request for any number of devices of any providers.
type Batch struct {
	// Key makes the request repeatable: a device that this account already
	// took over under the same key is reported as done. Choose a new key for
	// each decision of an owner. Empty means the request is not repeatable.
	Key   string
	Items []Item
}

// Service is the transfer procedure over a registry.
type Service struct {
	Registry *registry.Registry
	Policy   Policy
}

const (
	op     = "transfer"
	maxKey = 128
)

// Request asks for devices with their owners' codes and returns one result per
// item, in their order. A refused item changes nothing; the others go on. The
// errors are those of [registry.Registry.Move].
func (s *Service) Request(ctx context.Context, actor registry.Actor, b Batch) ([]registry.Result, error) {
	if s.Policy != Immediate {
		return nil, &registry.Error{Op: op, Err: fmt.Errorf("%w: unknown policy %d", registry.ErrInvalid, s.Policy)}
	}
	if len(b.Key) > maxKey {
		return nil, &registry.Error{Op: op, Err: fmt.Errorf("%w: key is longer than %d bytes", registry.ErrInvalid, maxKey)}
	}
	results := make([]registry.Result, len(b.Items))
	seen := map[eid.ID]bool{}
	var open []int // items without an answer
	for i, it := range b.Items {
		results[i] = registry.Result{Line: it.Line, Device: it.Device}
		if seen[it.Device] {
			results[i].Err = &registry.Error{Op: op, Device: it.Device, Err: fmt.Errorf("%w: the device is named twice in one call", registry.ErrInvalid)}
			continue
		}
		seen[it.Device] = true
		open = append(open, i)
	}
	open, err := s.answerDone(ctx, actor, b.Key, results, open)
	if err != nil {
		return nil, &registry.Error{Op: op, Err: err}
	}
	refused, err := s.move(ctx, actor, b, results, open)
	// The same request may have run beside this one and been faster.
	_, again := s.answerDone(ctx, actor, b.Key, results, refused)
	if err == nil && again != nil {
		err = &registry.Error{Op: op, Err: again}
	}
	return results, err
}

// move moves the devices of the open items and returns which were refused.
func (s *Service) move(ctx context.Context, actor registry.Actor, b Batch, results []registry.Result, open []int) (refused []int, err error) {
	moves := make([]registry.Move, len(open))
	for n, i := range open {
		moves[n] = registry.Move{Line: b.Items[i].Line, Device: b.Items[i].Device, Code: b.Items[i].Code}
	}
	moved, err := s.Registry.Move(ctx, actor, moves, registry.MoveOptions{
		OnCommit: func(ctx context.Context, tx registry.Tx, ms []registry.Moved) error {
			return record(ctx, tx, b.Key, ms)
		},
	})
	for n, res := range moved {
		results[open[n]] = res
		for _, why := range []error{registry.ErrState, registry.ErrAuthCode, registry.ErrLocked, registry.ErrConflict} {
			if errors.Is(res.Err, why) {
				refused = append(refused, open[n])
				break
			}
		}
	}
	return refused, err
}

// record writes the transfers in the transaction that moves their devices.
func record(ctx context.Context, tx registry.Tx, key string, ms []registry.Moved) error {
	recs := make([]registry.Record, len(ms))
	for i, m := range ms {
		body, err := json.Marshal(Transfer{
			Device: m.Device, Status: ServerApproved, From: m.From, To: m.To,
			OldProfile: m.OldProfile, NewProfile: m.NewProfile,
			Requested: m.At, Acted: m.At, Key: key,
		})
		if err != nil {
			return fmt.Errorf("transfer: encode: %w", err)
		}
		recs[i] = registry.Record{Key: fmt.Sprintf("%020d", m.NewProfile), Parent: m.Device.String(), Body: body}
	}
	return tx.Put(ctx, registry.TableTransfers, recs...)
}

// answerDone gives the items among which that were moved by an earlier call under
// the same key their result, and returns the others.
func (s *Service) answerDone(ctx context.Context, actor registry.Actor, key string, results []registry.Result, which []int) ([]int, error) {
	if key == "" || len(which) == 0 {
		return which, nil
	}
	var open []int
	err := s.Registry.Store.View(ctx, func(tx registry.Tx) error {
		for _, i := range which {
			ts, err := history(ctx, tx, results[i].Device)
			if err != nil {
				return err
			}
			// Whether the device has moved on since is another matter.
			at := slices.IndexFunc(ts, func(t Transfer) bool { return t.Key == key && t.To == actor.Account })
			if at < 0 {
				open = append(open, i)
				continue
			}
			results[i].ProfileID, results[i].Err = ts[at].NewProfile, nil
		}
		return nil
	})
	return open, err
}

// History returns a device's transfers, oldest first, to who may see the device
// or was part of one of them: the losing provider keeps its proof.
func (s *Service) History(ctx context.Context, actor registry.Actor, device eid.ID) ([]Transfer, error) {
	_, denied := s.Registry.Device(ctx, actor, device)
	if denied != nil && !errors.Is(denied, registry.ErrNotFound) {
		return nil, denied
	}
	var out []Transfer
	err := s.Registry.Store.View(ctx, func(tx registry.Tx) error {
		all, err := history(ctx, tx, device)
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

func history(ctx context.Context, tx registry.Tx, device eid.ID) ([]Transfer, error) {
	recs, err := tx.List(ctx, registry.TableTransfers, registry.Query{Parent: device.String()})
	if err != nil {
		return nil, err
	}
	out := make([]Transfer, len(recs))
	for i, rec := range recs {
		if err := json.Unmarshal(rec.Body, &out[i]); err != nil {
			return nil, fmt.Errorf("transfer: record %q is damaged: %w", rec.Key, err)
		}
	}
	return out, nil
}
