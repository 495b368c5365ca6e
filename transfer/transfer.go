// Package transfer moves devices from one provider to another by the procedure
// of RFC 5730 and RFC 5731, for devices instead of domain names.
//
// The owner of a device draws an authorization code at the registry and hands
// it to the provider of its choice, which requests the transfer. What happens
// then is the [Policy]'s: the right code is the decision, or the losing provider
// is asked, and a deadline decides where it is silent. Then the registry issues a
// profile that leads to the new provider, and withdraws the old one once the
// device has connected with the new one, or when the overlap ends. Nobody
// touches the device, and at no moment is it without a valid profile.
//
//	svc := transfer.New(reg, transfer.Policy{})
//	results, err := svc.Request(ctx, actor, registry.Options{}, moves...)
//
// A transfer that was a mistake can be undone for a time: with [Service.Undo] the
// device goes back, again with a new profile. Fleets are moved by a job: see
// [registry.Registry.Submit] with [registry.OpTransfer].
//
// # What this does not protect from
//
// Whoever holds a code holds the device: the registry cannot tell an owner from
// a thief of codes. And a moved device may stay with its old provider until the
// overlap ends, if nobody can deliver the new profile to it.
package transfer

import (
	"context"
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

// Defaults of Policy.
const (
	DefaultWait = 5 * 24 * time.Hour // as domain registries give the losing side
	DefaultUndo = 5 * 24 * time.Hour // RFC 3915 section 3.1, transferPeriod
)

// Policy decides how a request with the right code goes on. The zero value lets
// the owner's code decide at once.
type Policy struct {
	// Wait, unless zero, gives the losing provider this long to approve or
	// reject; where it does neither, the transfer happens when the time is over.
	Wait time.Duration

	Undo time.Duration // how long a transfer can be undone; 0 means DefaultUndo, below 0 never
	Lock bool          // refuse devices whose last transfer can still be undone
}

// Transfer is the record of one device's move, as it is now.
type Transfer struct {
	ID         string    `json:"id"`
	Device     eid.ID    `json:"device"`
	Status     Status    `json:"status"`
	From       string    `json:"from"` // losing ASP
	To         string    `json:"to"`   // gaining ASP
	OldProfile uint64    `json:"oldProfile"`
	NewProfile uint64    `json:"newProfile,omitempty"`
	Requested  time.Time `json:"requested"`
	Due        time.Time `json:"due,omitzero"`    // when it happens unless it is decided before
	Acted      time.Time `json:"acted,omitzero"`  // when it was decided
	By         string    `json:"by,omitempty"`    // account that decided; empty for a deadline
	Undo       time.Time `json:"undo,omitzero"`   // until when it can be undone
	Undoes     string    `json:"undoes,omitzero"` // the transfer that this one took back
}

// Service is the transfer procedure over a registry. Make it with [New].
type Service struct {
	registry *registry.Registry
	policy   Policy
}

// New returns the procedure over reg, and has it carry out reg's jobs of
// [registry.OpTransfer].
func New(reg *registry.Registry, policy Policy) *Service {
	s := &Service{registry: reg, policy: policy}
	reg.Handle(registry.OpTransfer, func(ctx context.Context, actor registry.Actor, t registry.Task) ([]registry.Result, error) {
		return s.Request(ctx, actor, registry.Options{Atomic: t.Atomic, DryRun: t.DryRun}, t.Moves...)
	})
	return s
}

// Policy returns the policy that the service works by.
func (s *Service) Policy() Policy { return s.policy }

func (s *Service) options(actor registry.Actor, opts registry.Options, end func(actor registry.Actor, r *Transfer)) registry.MoveOptions {
	undo := s.policy.Undo
	if undo == 0 {
		undo = DefaultUndo
	}
	return registry.MoveOptions{
		Options: opts, Wait: max(s.policy.Wait, 0), Undo: max(undo, 0), Lock: s.policy.Lock,
		OnCommit: func(ctx context.Context, tx registry.Tx, moved []registry.Moved) error {
			return s.record(ctx, tx, actor, moved, end)
		},
	}
}

// Request asks for devices with their owners' codes and returns one result per
// item, in their order: done, or pending with the codes used up. A refused item
// changes nothing; the others go on unless opts say otherwise. The errors are
// those of [registry.Registry.Move].
func (s *Service) Request(ctx context.Context, actor registry.Actor, opts registry.Options, moves ...registry.Move) ([]registry.Result, error) {
	return s.registry.Move(ctx, actor, moves, s.options(actor, opts, func(_ registry.Actor, t *Transfer) {
		if t.Status = ServerApproved; !t.Due.IsZero() {
			t.Status = Pending
		}
	}))
}

// Approve lets pending transfers of the actor's devices happen at once.
func (s *Service) Approve(ctx context.Context, actor registry.Actor, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return s.decide(ctx, actor, registry.Approve, opts, ids, ClientApproved, ServerApproved)
}

// Reject ends pending transfers of the actor's devices; they stay.
func (s *Service) Reject(ctx context.Context, actor registry.Actor, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return s.decide(ctx, actor, registry.Reject, opts, ids, ClientRejected, ServerCancelled)
}

// Cancel takes back the actor's own requests, or as the registry any.
func (s *Service) Cancel(ctx context.Context, actor registry.Actor, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return s.decide(ctx, actor, registry.Cancel, opts, ids, ClientCancelled, ServerCancelled)
}

// Undo takes devices back to the provider they were with before their last
// transfer, within the policy's time, with a new profile: for the owner, the
// provider that has them, and the registry. It is recorded as a transfer.
func (s *Service) Undo(ctx context.Context, actor registry.Actor, opts registry.Options, ids ...eid.ID) ([]registry.Result, error) {
	return s.decide(ctx, actor, registry.Undo, opts, ids, ServerApproved, ServerApproved)
}

func (s *Service) decide(ctx context.Context, actor registry.Actor, d registry.Decision, opts registry.Options, ids []eid.ID, client, server Status) ([]registry.Result, error) {
	o := s.options(actor, opts, func(actor registry.Actor, t *Transfer) {
		if t.Status = client; actor.Role == registry.RoleOperator {
			t.Status = server
		}
	})
	return s.registry.Decide(ctx, actor, d, o, ids...)
}
