package web

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/iotregistry/sdk/registry"
)

func (s *Server) health(*call) (healthAnswer, error) { return healthAnswer{"ok"}, nil }

// ready reads from the store, which is what everything else needs.
func (s *Server) ready(c *call) (healthAnswer, error) {
	err := s.Registry.Store.View(c.ctx, func(tx registry.Tx) error {
		_, err := tx.Get(c.ctx, registry.TableMeta, "ready")
		return err
	})
	if err != nil {
		s.Logger.WarnContext(c.ctx, "the store cannot be reached", "request", visitOf(c.r).id, "err", err)
		return healthAnswer{}, ErrNotReady
	}
	return healthAnswer{"ok"}, nil
}

func (s *Server) me(c *call) (me, error) {
	return me{Account: c.actor.Account, Role: c.actor.Role}, nil
}

func (s *Server) accounts(c *call) (accountsPage, error) {
	after, limit, err := c.page()
	if err != nil {
		return accountsPage{}, err
	}
	role := registry.Role(c.query.Get("role"))
	if role != "" && !slices.Contains(registry.Roles(), role) {
		return accountsPage{}, fmt.Errorf("%w: query parameter role is one of %q", registry.ErrInvalid, registry.Roles())
	}
	list, err := s.Registry.Accounts(c.ctx, c.actor, role, after, limit)
	if err != nil {
		return accountsPage{}, err
	}
	return accountsPage{Accounts: notNil(list), Next: c.next(len(list), limit, func() string { return list[len(list)-1].ID })}, nil
}

func (s *Server) account(c *call) (*registry.Account, error) {
	return s.Registry.Account(c.ctx, c.actor, c.r.PathValue("id"))
}

func (s *Server) putAccount(c *call, in *registry.Account) error {
	id := c.r.PathValue("id")
	if in.ID == "" {
		in.ID = id
	}
	if in.ID != id {
		return fmt.Errorf("%w: path and body name two accounts", registry.ErrInvalid)
	}
	return s.Registry.PutAccount(c.ctx, c.actor, *in)
}

func (s *Server) credentials(c *call) (credentialsAnswer, error) {
	list, err := s.Registry.Credentials(c.ctx, c.actor, c.r.PathValue("id"))
	return credentialsAnswer{notNil(list)}, err
}

func (s *Server) issueToken(c *call, in *tokenBody) (tokenAnswer, error) {
	lifetime, err := seconds(in.Lifetime)
	if err != nil {
		return tokenAnswer{}, err
	}
	cred, token, err := s.Registry.IssueToken(c.ctx, c.actor, c.r.PathValue("id"), in.Label, lifetime)
	return tokenAnswer{cred, carried(token.Reveal())}, err
}

func (s *Server) trustCertificate(c *call, in *certificateBody) (registry.Credential, error) {
	lifetime, err := seconds(in.Lifetime)
	if err != nil {
		return registry.Credential{}, err
	}
	block, rest := pem.Decode([]byte(in.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		return registry.Credential{}, fmt.Errorf("%w: certificate is not one certificate in PEM", registry.ErrInvalid)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return registry.Credential{}, fmt.Errorf("%w: certificate: %w", registry.ErrInvalid, err)
	}
	return s.Registry.TrustCertificate(c.ctx, c.actor, c.r.PathValue("id"), in.Label, cert, lifetime)
}

// seconds is a lifetime that fits into a time.Duration.
func seconds(n int64) (time.Duration, error) {
	if n < 0 || n > math.MaxInt64/int64(time.Second) {
		return 0, fmt.Errorf("%w: lifetime is a number of seconds from 0", registry.ErrInvalid)
	}
	return time.Duration(n) * time.Second, nil
}

func (s *Server) enroll(c *call, in *enrollBody) (registry.Enrollment, error) {
	return s.Registry.Enroll(c.ctx, c.leaf, in.CSR)
}

func (s *Server) revokeCredential(c *call) error {
	if err := s.Registry.RevokeCredential(c.ctx, c.actor, c.r.PathValue("id")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
