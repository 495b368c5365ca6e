package registry

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Credential is what an account proves itself with: a bearer token (RFC 6750) or
// the key of a client certificate. The registry keeps a hash of it.
type Credential struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Kind    string    `json:"kind"` // KindToken or KindCertificate
	Label   string    `json:"label,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: when it is revoked
}

// The kinds of credentials.
const (
	KindToken       = "token"
	KindCertificate = "certificate"
)

func (c *Credential) setVersion(uint64) {}

// Token is a bearer token. Nothing but [Token.Reveal] shows it.
type Token struct{ text *string }

const (
	tokenPrefix = "iotreg_" // for scanners that look for secrets in the wrong places
	tokenBytes  = 32
	maxToken    = 128
)

// Reveal returns the token's text.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// String hides the token.
func (Token) String() string { return codeHidden }

// GoString hides the token.
func (Token) GoString() string { return codeHidden }

// Format hides the token from every verb of package fmt.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, codeHidden) }

// LogValue hides the token.
func (Token) LogValue() slog.Value { return slog.StringValue(codeHidden) }

// MarshalText hides the token, in JSON too.
func (Token) MarshalText() ([]byte, error) { return []byte(codeHidden), nil }

// IssueToken makes a bearer token for an account and returns it once. A lifetime
// of zero means until it is revoked. Only the operator may.
func (r *Registry) IssueToken(ctx context.Context, actor Actor, account, label string, lifetime time.Duration) (Credential, Token, error) {
	b := make([]byte, tokenBytes)
	if _, err := io.ReadFull(r.Rand, b); err != nil {
		return Credential{}, Token{}, &Error{Op: opAccount, Err: fmt.Errorf("draw token: %w", err)}
	}
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	c, err := r.addCredential(ctx, actor, Credential{
		ID: tokenID(text), Account: account, Kind: KindToken, Label: label,
	}, lifetime)
	if err != nil {
		return Credential{}, Token{}, err
	}
	return c, Token{&text}, nil
}

// tokenID is what the registry knows of a token: what it protects has 256 random
// bits, so that a fast hash is right.
func tokenID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "t-" + hex.EncodeToString(sum[:])
}

// TrustCertificate lets an account prove itself with the key of a client
// certificate, in whatever certificate it comes. Only the operator may.
func (r *Registry) TrustCertificate(ctx context.Context, actor Actor, account, label string, cert *x509.Certificate, lifetime time.Duration) (Credential, error) {
	return r.addCredential(ctx, actor, Credential{
		ID: certificateID(cert), Account: account, Kind: KindCertificate, Label: label,
	}, lifetime)
}

func certificateID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "c-" + hex.EncodeToString(sum[:])
}

func (r *Registry) addCredential(ctx context.Context, actor Actor, c Credential, lifetime time.Duration) (Credential, error) {
	err := may(actor, opAccount, nil)
	if err == nil && (lifetime < 0 || len(c.Label) > 256) {
		err = fmt.Errorf("%w: a credential has a lifetime of zero or more and a label of at most 256 bytes", ErrInvalid)
	}
	if err != nil {
		return Credential{}, &Error{Op: opAccount, Err: err}
	}
	c.Created = r.now()
	if lifetime > 0 {
		c.Expires = c.Created.Add(lifetime)
	}
	err = r.store.Update(ctx, func(tx Tx) error {
		a, err := getOne[Account](ctx, tx, TableAccounts, c.Account)
		if err != nil {
			return err
		}
		if a == nil {
			return fmt.Errorf("%w: %.64q", ErrUnknown, c.Account)
		}
		old, err := getOne[Credential](ctx, tx, TableCredentials, c.ID)
		switch {
		case err != nil:
			return err
		case old != nil && old.Account != c.Account:
			return fmt.Errorf("%w: this key is another account's", ErrInvalid)
		}
		if err := tx.Delete(ctx, TableCredentials, c.ID); err != nil {
			return err
		}
		if err := tx.Put(ctx, TableCredentials, Record{Key: c.ID, Parent: c.Account, Body: encode(c)}); err != nil {
			return err
		}
		return r.Record(ctx, tx, actor, Note{Op: "add credential", Subject: c.Account, Detail: map[string]string{"credential": c.ID, "label": c.Label}})
	})
	if err != nil {
		return Credential{}, &Error{Op: opAccount, Err: err}
	}
	return c, nil
}

// Credentials returns an account's credentials, without what is secret of them,
// to the operator and the account itself.
func (r *Registry) Credentials(ctx context.Context, actor Actor, account string) ([]*Credential, error) {
	if actor.Role != RoleOperator && actor.Account != account {
		return nil, &Error{Op: opRead, Err: ErrForbidden}
	}
	var out []*Credential
	err := r.store.View(ctx, func(tx Tx) (err error) {
		out, err = listAll[Credential](ctx, tx, TableCredentials, Query{Parent: account})
		return err
	})
	if err != nil {
		return nil, &Error{Op: opRead, Err: err}
	}
	return out, nil
}

// RevokeCredential takes a credential out of use. The operator may, and the
// account itself. One that does not exist, or is not the account's, is ErrInvalid.
func (r *Registry) RevokeCredential(ctx context.Context, actor Actor, id string) error {
	err := r.store.Update(ctx, func(tx Tx) error {
		c, err := getOne[Credential](ctx, tx, TableCredentials, id)
		if err != nil {
			return err
		}
		if c == nil || actor.Role != RoleOperator && c.Account != actor.Account {
			return fmt.Errorf("%w: no such credential: it was revoked, or is another account's", ErrInvalid)
		}
		if err := tx.Delete(ctx, TableCredentials, id); err != nil {
			return err
		}
		return r.Record(ctx, tx, actor, Note{Op: "revoke credential", Subject: c.Account, Detail: map[string]string{"credential": id}})
	})
	if err != nil {
		return &Error{Op: opAccount, Err: err}
	}
	return nil
}

// Authenticate returns the actor whose bearer token this is, or ErrUnauthentic.
func (r *Registry) Authenticate(ctx context.Context, token string) (Actor, error) {
	if len(token) > maxToken || !strings.HasPrefix(token, tokenPrefix) {
		return Actor{}, &Error{Op: "authenticate", Err: ErrUnauthentic}
	}
	return r.authenticate(ctx, tokenID(token))
}

// AuthenticateCertificate returns the actor whose key cert holds, or
// ErrUnauthentic. The caller must know that the other side has the private key,
// as TLS proves; who issued the certificate does not matter, its validity does.
func (r *Registry) AuthenticateCertificate(ctx context.Context, cert *x509.Certificate) (Actor, error) {
	if now := r.now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return Actor{}, &Error{Op: "authenticate", Err: ErrUnauthentic}
	}
	return r.authenticate(ctx, certificateID(cert))
}

func (r *Registry) authenticate(ctx context.Context, id string) (Actor, error) {
	var actor Actor
	err := r.store.View(ctx, func(tx Tx) error {
		c, err := getOne[Credential](ctx, tx, TableCredentials, id)
		if err != nil {
			return err
		}
		if c == nil || !c.Expires.IsZero() && !r.now().Before(c.Expires) {
			return ErrUnauthentic
		}
		a, err := getOne[Account](ctx, tx, TableAccounts, c.Account)
		if err != nil {
			return err
		}
		if a == nil {
			return ErrUnauthentic
		}
		actor = Actor{Account: a.ID, Role: a.Role}
		return nil
	})
	if err != nil {
		return Actor{}, &Error{Op: "authenticate", Err: err}
	}
	return actor, nil
}
