package registry

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/registry/claim"
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

// Roles returns every role.
func Roles() []Role {
	return []Role{RoleOperator, RoleASP, RoleOwner, RoleMNO, RoleMaker, RoleAuditor}
}

// Account is a party the registry knows.
type Account struct {
	ID   string `json:"id"` // 1 to 64 letters, digits, '.', '_' and '-'
	Role Role   `json:"role"`
	Name string `json:"name,omitempty"`
	// Host and Port are where an ASP's devices connect; only for RoleASP.
	Host string `json:"host,omitempty"`
	Port uint16 `json:"port,omitempty"`
	// Trust is the PEM text of what a maker signs claims with: public keys of
	// signed lists and roots of device certificates; only for RoleMaker.
	Trust string `json:"trust,omitempty"`
	// Webhook is an https URL that is told when there is something in the
	// account's queue, and nothing else; see package registry/web/webhook.
	Webhook string `json:"webhook,omitempty"`

	version uint64
}

var accountID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (a *Account) check() error {
	if !accountID.MatchString(a.ID) {
		return fmt.Errorf("%w: an account ID has 1 to 64 letters, digits, '.', '_' and '-'", ErrInvalid)
	}
	if rights[opPoll][a.Role] == none {
		return fmt.Errorf("%w: account %q has no role of %q", ErrInvalid, a.ID, Roles())
	}
	if len(a.Name) > 256 {
		return fmt.Errorf("%w: the account's name is longer than 256 bytes", ErrInvalid)
	}
	if a.Role == RoleASP {
		if _, err := dane.ServiceName(a.Host, a.Port); err != nil {
			return fmt.Errorf("%w: an account of an ASP has the host and port where its devices connect: %w", ErrInvalid, err)
		}
	}
	if a.Trust != "" && a.Role != RoleMaker {
		return fmt.Errorf("%w: only a maker's account has keys that claims are signed with", ErrInvalid)
	}
	if a.Trust != "" {
		if _, _, err := claim.ParseTrust(a.Trust); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return checkWebhook(a.Webhook)
}

const maxWebhook = 2048 // bytes

// checkWebhook reports why text is no URL of a webhook. The text is not in the
// error: some services' webhook URLs are secrets.
func checkWebhook(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > maxWebhook:
		return fmt.Errorf("%w: the webhook's URL is longer than %d bytes", ErrInvalid, maxWebhook)
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%w: a webhook is a URL that starts with https:// and a host", ErrInvalid)
	case u.User != nil || strings.Contains(text, "#"):
		return fmt.Errorf("%w: a webhook's URL has no user, no password and no fragment", ErrInvalid)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%w: the port of a webhook's URL is 1 to 65535", ErrInvalid)
		}
	}
	return nil
}

// webhookHost is what the audit trail says of a webhook: whom it calls, without
// what may be secret in its path.
func webhookHost(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// PutAccount creates or changes an account. Only the operator may; an account
// keeps its role.
func (r *Registry) PutAccount(ctx context.Context, actor Actor, a Account) error {
	if err := may(actor, opAccount, nil); err != nil {
		return &Error{Op: opAccount, Err: err}
	}
	if err := a.check(); err != nil {
		return &Error{Op: opAccount, Err: err}
	}
	return r.store.Update(ctx, func(tx Tx) error {
		old, err := getOne[Account](ctx, tx, TableAccounts, a.ID)
		if err != nil {
			return err
		}
		if old != nil {
			if old.Role != a.Role {
				return &Error{Op: opAccount, Err: fmt.Errorf("%w: account %q is a %s and cannot become a %s", ErrInvalid, a.ID, old.Role, a.Role)}
			}
			a.version = old.version
		}
		err = tx.Put(ctx, TableAccounts, Record{Key: a.ID, Parent: string(a.Role), Version: a.version, Body: encode(a)})
		if err != nil {
			return err
		}
		return r.Record(ctx, tx, actor, Note{Op: opAccount, Subject: a.ID, Detail: map[string]string{
			"role": string(a.Role), "host": a.Host, "port": fmt.Sprint(a.Port), "webhook": webhookHost(a.Webhook),
		}})
	})
}

// Account returns an account. An operator and an auditor may see all of them,
// everybody else their own.
func (r *Registry) Account(ctx context.Context, actor Actor, id string) (*Account, error) {
	if actor.Role != RoleOperator && actor.Role != RoleAuditor && actor.Account != id {
		return nil, &Error{Op: opRead, Err: ErrForbidden}
	}
	var a *Account
	err := r.store.View(ctx, func(tx Tx) (err error) {
		a, err = getOne[Account](ctx, tx, TableAccounts, id)
		return err
	})
	if err == nil && a == nil {
		err = ErrUnknown
	}
	if err != nil {
		return nil, &Error{Op: opRead, Err: err}
	}
	return a, nil
}

// Accounts returns up to limit accounts, of one role or ("") of all, after the
// given ID in byte order of their IDs. Only an operator and an auditor may.
func (r *Registry) Accounts(ctx context.Context, actor Actor, role Role, after string, limit int) ([]*Account, error) {
	if actor.Role != RoleOperator && actor.Role != RoleAuditor {
		return nil, &Error{Op: opRead, Err: ErrForbidden}
	}
	var out []*Account
	err := r.store.View(ctx, func(tx Tx) (err error) {
		out, err = listAll[Account](ctx, tx, TableAccounts, Query{Parent: string(role), After: after, Limit: limit})
		return err
	})
	if err != nil {
		return nil, &Error{Op: opRead, Err: err}
	}
	return out, nil
}

// account returns the account of the given role, or ErrUnknown.
func account(ctx context.Context, tx Tx, id string, role Role) (*Account, error) {
	if !accountID.MatchString(id) { // it is the caller's text: no key of the store, and of any length
		return nil, fmt.Errorf("%w: %.40q is no account ID", ErrUnknown, id)
	}
	a, err := getOne[Account](ctx, tx, TableAccounts, id)
	if err != nil {
		return nil, err
	}
	if a == nil || a.Role != role {
		return nil, fmt.Errorf("%w: %q is no %s here", ErrUnknown, id, role)
	}
	return a, nil
}
