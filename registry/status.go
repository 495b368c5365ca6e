package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Status is an EPP status of a device (RFC 5731 section 2.3 and RFC 3915
// section 3.1, adapted). Statuses that begin with "client" are the sponsor's to
// set, those with "server" the registry's; the others follow from the device.
type Status string

// The statuses of a device.
const (
	StatusOK       Status = "ok"       // nothing else applies
	StatusInactive Status = "inactive" // no profile yet

	StatusClientTransferProhibited Status = "clientTransferProhibited"
	StatusServerTransferProhibited Status = "serverTransferProhibited"
	StatusClientUpdateProhibited   Status = "clientUpdateProhibited"
	StatusServerUpdateProhibited   Status = "serverUpdateProhibited"
	StatusClientDeleteProhibited   Status = "clientDeleteProhibited"
	StatusServerDeleteProhibited   Status = "serverDeleteProhibited"
	StatusClientHold               Status = "clientHold" // its records are out of the zone, everything else stays
	StatusServerHold               Status = "serverHold"

	StatusPendingTransfer  Status = "pendingTransfer"
	StatusTransferPeriod   Status = "transferPeriod"   // the last transfer can be undone
	StatusRedemptionPeriod Status = "redemptionPeriod" // deleted, can be restored
	StatusPendingDelete    Status = "pendingDelete"    // deleted, cannot be restored any more
)

// settable are the statuses that somebody sets, with who may.
var settable = map[Status]Role{
	StatusClientTransferProhibited: RoleASP, StatusServerTransferProhibited: RoleOperator,
	StatusClientUpdateProhibited: RoleASP, StatusServerUpdateProhibited: RoleOperator,
	StatusClientDeleteProhibited: RoleASP, StatusServerDeleteProhibited: RoleOperator,
	StatusClientHold: RoleASP, StatusServerHold: RoleOperator,
}

// Statuses returns what holds for d at now: the statuses that were set, those
// that follow from its state, and ok alone when there is none.
func (d *Device) Statuses(now time.Time) []Status {
	s := slices.Clone(d.Status)
	if d.Profile == 0 {
		s = append(s, StatusInactive)
	}
	if d.Pending != nil {
		s = append(s, StatusPendingTransfer)
	}
	if d.undoable(now) {
		s = append(s, StatusTransferPeriod)
	}
	switch {
	case d.Deleted.IsZero():
	case now.Before(d.Redeem):
		s = append(s, StatusRedemptionPeriod, StatusPendingDelete)
	default:
		s = append(s, StatusPendingDelete)
	}
	if len(s) == 0 {
		s = append(s, StatusOK)
	}
	return s
}

// undoable reports whether the last transfer can still be undone.
func (d *Device) undoable(now time.Time) bool {
	return d.From != "" && now.Before(d.Undo) && d.Deleted.IsZero()
}

func (d *Device) has(any ...Status) bool {
	return slices.ContainsFunc(d.Status, func(s Status) bool { return slices.Contains(any, s) })
}

// held reports whether the device's records are kept out of the zone.
func (d *Device) held() bool {
	return d.has(StatusClientHold, StatusServerHold) || !d.Deleted.IsZero()
}

// changeable reports why the device's profile may not be replaced now.
func (d *Device) changeable() error {
	switch {
	case !d.Deleted.IsZero():
		return fmt.Errorf("%w: it is deleted: restore it first", ErrState)
	case d.Pending != nil:
		return ErrPending
	case d.has(StatusClientUpdateProhibited, StatusServerUpdateProhibited):
		return fmt.Errorf("%w: update is prohibited", ErrState)
	}
	return nil
}

// StatusChange says which statuses to set and to take back, 32 at most.
type StatusChange struct {
	Add    []Status `json:"add,omitempty"`
	Remove []Status `json:"remove,omitempty"`
	Why    string   `json:"why,omitempty"`  // for the audit trail and those who are told, at most 1024 bytes
	Case   string   `json:"case,omitempty"` // the complaint or order behind it (RFC 8590), at most 256 bytes

	// Revision, unless zero, is the state that the change was decided on: where
	// the device has changed since, it is refused with ErrRevision.
	Revision uint64 `json:"-"`
}

// maxChange is more statuses than can be set; each is held against all others.
const maxChange = 32

func (c *StatusChange) check(actor Actor) error {
	if len(c.Why) > 1024 || len(c.Case) > 256 {
		return fmt.Errorf("%w: the reason has at most 1024 bytes, the case 256", ErrInvalid)
	}
	if len(c.Add)+len(c.Remove) > maxChange {
		return fmt.Errorf("%w: a change names at most %d statuses", ErrInvalid, maxChange)
	}
	for _, s := range slices.Concat(c.Add, c.Remove) {
		switch role, known := settable[s]; {
		case !known:
			return fmt.Errorf("%w: %.40q is no status that can be set", ErrInvalid, s)
		case role != actor.Role:
			return fmt.Errorf("%w: %s is for the %s to set", ErrForbidden, s, role)
		case slices.Contains(c.Add, s) && slices.Contains(c.Remove, s):
			return fmt.Errorf("%w: %s is to be set and taken back", ErrInvalid, s)
		}
	}
	return nil
}

// apply changes d's statuses and reports whether that changed anything.
func (c *StatusChange) apply(d *Device) bool {
	was := slices.Clone(d.Status)
	d.Status = slices.DeleteFunc(slices.Clone(d.Status), func(s Status) bool { return slices.Contains(c.Remove, s) })
	for _, s := range c.Add {
		if !d.has(s) {
			d.Status = append(d.Status, s)
		}
	}
	slices.Sort(d.Status)
	return !slices.Equal(was, d.Status)
}

// SetStatus sets and takes back statuses of devices. A hold takes the records of
// a device out of the zone, so that nobody accepts it, until the last hold is
// taken back. Results are in the order of ids; when SetStatus itself fails, each
// device it did not finish carries the error.
func (r *Registry) SetStatus(ctx context.Context, actor Actor, c StatusChange, ids ...eid.ID) ([]Result, error) {
	results, plans := plansOf(opStatus, ids)
	err := may(actor, opStatus, nil)
	if err == nil {
		err = c.check(actor)
	}
	if err != nil {
		return results, abandon(opStatus, plans, err)
	}
	return results, r.eachDevice(ctx, actor, change{
		op: opStatus, content: c, plans: plans, allowed: mayKnown,
		apply: func(d *Device, now time.Time) (bool, error) {
			switch {
			case c.Revision != 0 && c.Revision != d.version:
				return false, ErrRevision
			case !d.Deleted.IsZero():
				return false, fmt.Errorf("%w: it is deleted", ErrState)
			case actor.Role == RoleASP && d.has(StatusServerUpdateProhibited):
				return false, fmt.Errorf("%w: update is prohibited", ErrState)
			}
			return c.apply(d), nil
		},
		detail: map[string]string{"add": joined(c.Add), "remove": joined(c.Remove), "why": c.Why, "case": c.Case},
		tell:   func(d *Device) []Message { return r.tellStatus(actor, c, d) },
	})
}

func joined(s []Status) string {
	words := make([]string, len(s))
	for i, w := range s {
		words[i] = string(w)
	}
	return strings.Join(words, " ")
}

// tellStatus tells sponsor and owner what the registry has done to a device.
func (r *Registry) tellStatus(actor Actor, c StatusChange, d *Device) []Message {
	if actor.Role != RoleOperator {
		return nil
	}
	m := Message{Type: MessageStatusChanged, Device: d.ID, By: actor.Account, Why: c.Why, Case: c.Case,
		Detail: map[string]string{"add": joined(c.Add), "remove": joined(c.Remove)}}
	return toEach(m, d.Sponsor, d.Owner)
}

// published are the profiles of d that have records in the zone unless it is held.
func (d *Device) published() []uint64 {
	if d.Profile == 0 {
		return slices.Clone(d.Retired)
	}
	return append(slices.Clone(d.Retired), d.Profile)
}
