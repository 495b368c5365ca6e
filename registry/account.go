package registry

import (
	"context"
	"fmt"

	"github.com/iotregistry/sdk/dane"
)

// Role is what an account is to the registry.
type Role string

// The roles.
const (
	RoleOperator Role = "operator" // runs the registry
	RoleASP      Role = "asp"      // sponsors devices
	RoleOwner    Role = "owner"    // owns devices, draws their codes
	RoleMNO      Role = "mno"      // delivers profiles
	RoleMaker    Role = "maker"    // vouches for eUICC keys
	RoleAuditor  Role = "auditor"  // reads everything, changes nothing
)

func (r Role) valid() bool {
	switch r {
	case RoleOperator, RoleASP, RoleOwner, RoleMNO, RoleMaker, RoleAuditor:
		return true
	}
	return false
}

// Actor is who makes a call, as the front that authenticated it says. Every
// call names one; there is no ambient identity.
type Actor struct {
	Account string
	Role    Role
}

// Account is a party the registry knows.
type Account struct {
	ID   string `json:"id"`
	Role Role   `json:"role"`
	Name string `json:"name,omitempty"`
	// Host and Port are where an ASP's devices connect; only for RoleASP.
	Host string `json:"host,omitempty"`
	Port uint16 `json:"port,omitempty"`

	version uint64
}

// PutAccount creates or changes an account. Only the operator may.
func (r *Registry) PutAccount(ctx context.Context, actor Actor, a Account) error {
	const op = "put account"
	if err := may(actor, opRun, nil); err != nil {
		return &Error{Op: op, Err: err}
	}
	if a.ID == "" || !a.Role.valid() {
		return &Error{Op: op, Err: fmt.Errorf("%w: an account needs an ID and a role", ErrInvalid)}
	}
	if a.Role == RoleASP {
		if _, err := dane.ServiceName(a.Host, a.Port); err != nil {
			return &Error{Op: op, Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
		}
	}
	return r.store.Update(ctx, func(tx Tx) error {
		old, err := getOne[Account](ctx, tx, TableAccounts, a.ID)
		if err != nil {
			return err
		}
		var version uint64
		if old != nil {
			if old.Role != a.Role {
				return &Error{Op: op, Err: fmt.Errorf("%w: account %q is a %s and cannot become a %s", ErrInvalid, a.ID, old.Role, a.Role)}
			}
			version = old.version
		}
		return tx.Put(ctx, TableAccounts, Record{Key: a.ID, Parent: string(a.Role), Version: version, Body: encode(a)})
	})
}

// account returns the account of the given role, or ErrUnknown.
func account(ctx context.Context, tx Tx, id string, role Role) (*Account, error) {
	a, err := getOne[Account](ctx, tx, TableAccounts, id)
	if err != nil {
		return nil, err
	}
	if a == nil || a.Role != role {
		return nil, fmt.Errorf("%w: %q is no %s here", ErrUnknown, id, role)
	}
	return a, nil
}

// may reports why actor may not do op on d; d is nil where op needs no device.
// It is the only place that decides, so that fronts cannot disagree.
func may(actor Actor, op string, d *Device) error {
	ok := false
	switch op {
	case opImport:
		ok = actor.Role == RoleASP
	case opClaim:
		ok = actor.Role == RoleMaker
	case opActivate:
		ok = actor.Role == RoleOperator || actor.Role == RoleASP && d.Sponsor == actor.Account
	case opConfirm:
		ok = actor.Role == RoleASP && (d == nil || d.Sponsor == actor.Account)
	case opMove:
		ok = actor.Role == RoleASP
	case opCode:
		ok = actor.Role == RoleOwner && d.Owner == actor.Account
	case opRead:
		ok = mayRead(actor, d)
	case opProgress:
		ok = actor.Role == RoleMNO && (d == nil || d.MNO == actor.Account)
	case opRun:
		ok = actor.Role == RoleOperator
	}
	if ok {
		return nil
	}
	if d != nil && !mayRead(actor, d) {
		return ErrNotFound // whom a device belongs to is nobody else's business
	}
	return ErrForbidden
}

func mayRead(actor Actor, d *Device) bool {
	switch actor.Role {
	case RoleOperator, RoleAuditor:
		return true
	case RoleASP:
		return d.Sponsor == actor.Account
	case RoleOwner:
		return d.Owner == actor.Account
	case RoleMNO:
		return d.MNO == actor.Account
	}
	return false
}

// The operations may knows, also used as Error.Op.
const (
	opImport   = "import"
	opClaim    = "claim"
	opActivate = "activate"
	opConfirm  = "confirm"
	opMove     = "move"
	opCode     = "authorization code"
	opRead     = "read"
	opProgress = "progress"
	opRun      = "run"
)
