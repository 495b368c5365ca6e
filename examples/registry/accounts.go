package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/iotregistry/sdk/registry"
)

// initialise is the command init: accounts, and a token if there is no file with
// one.
func (s *service) initialise(ctx context.Context, stdout io.Writer) error {
	if err := s.putAccounts(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(s.tokenFile()); err == nil {
		_, err = fmt.Fprintf(stdout, "%s is initialised; the operator's token is in %s\n", s.cfg.Data, s.tokenFile())
		return err
	}
	if err := s.issueToken(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "the token of account %s is in %s: whoever reads it runs the registry\n", s.cfg.Operator, s.tokenFile())
	return err
}

func (s *service) tokenFile() string { return s.path("operator.token") }

// bootstrap makes what the first start needs. A token is made once, so that one
// that was taken away from the folder on purpose does not come back.
func (s *service) bootstrap(ctx context.Context) error {
	if err := s.putAccounts(ctx); err != nil {
		return err
	}
	known, err := s.reg.Credentials(ctx, s.root, s.cfg.Operator)
	if err != nil || len(known) > 0 {
		return err
	}
	return s.issueToken(ctx)
}

// putAccounts puts the operator's account, those of the operators of networks
// that do not exist yet, and those of the configuration.
func (s *service) putAccounts(ctx context.Context) error {
	missing := []registry.Account{{ID: s.cfg.Operator, Role: registry.RoleOperator, Name: s.cfg.Organization}}
	for _, o := range s.cfg.Operators {
		missing = append(missing, registry.Account{ID: o.Account, Role: registry.RoleMNO})
	}
	for _, a := range missing {
		old, err := s.reg.Account(ctx, s.root, a.ID)
		switch {
		case errors.Is(err, registry.ErrUnknown):
			err = s.reg.PutAccount(ctx, s.root, a)
		case err == nil && old.Role != a.Role:
			err = fmt.Errorf("account %s is a %s, not a %s", a.ID, old.Role, a.Role)
		}
		if err != nil {
			return err
		}
	}
	for _, a := range s.cfg.Accounts {
		if err := s.putIfChanged(ctx, a); err != nil {
			return usagef("account %s: %w", a.ID, err)
		}
	}
	return nil
}

// putIfChanged keeps restarts out of the audit trail.
func (s *service) putIfChanged(ctx context.Context, a registry.Account) error {
	old, err := s.reg.Account(ctx, s.root, a.ID)
	if err != nil && !errors.Is(err, registry.ErrUnknown) {
		return err
	}
	if err == nil && same(*old, a) {
		return nil
	}
	return s.reg.PutAccount(ctx, s.root, a)
}

func same(a, b registry.Account) bool {
	return a.ID == b.ID && a.Role == b.Role && a.Name == b.Name && a.Host == b.Host && a.Port == b.Port &&
		a.Trust == b.Trust && a.Webhook == b.Webhook
}

// issueToken writes a new token of the operator to its file and nowhere else.
func (s *service) issueToken(ctx context.Context) (err error) {
	f, err := os.OpenFile(s.tokenFile(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(f.Name()) // it holds no token that is good
		}
	}()
	_, token, err := s.reg.IssueToken(ctx, s.root, s.cfg.Operator, "first", 0)
	if err != nil {
		return err
	}
	if _, err = io.WriteString(f, token.Reveal()+"\n"); err != nil {
		return err
	}
	return f.Sync()
}
