package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/iotregistry/sdk/registry"
)

// Authenticate finds out whose request this is: by its bearer token, or by its
// TLS client certificate where it has none. A token counts for what it is, also on
// a connection whose certificate is another account's, as that of a gateway: the
// certificate is not looked at then, and does not save a wrong token. It is for
// handlers in Config.Extra that show some callers more; the API's own routes have
// asked already.
//
// The errors are those of [registry.Registry.Authenticate], and
// [registry.ErrForbidden] where a browser shows its user's certificate for a page
// of another site that wants to change something.
func (s *Server) Authenticate(r *http.Request) (registry.Actor, error) {
	return s.authenticate(r.Context(), r)
}

func (s *Server) authenticate(ctx context.Context, r *http.Request) (registry.Actor, error) {
	switch values := r.Header.Values("Authorization"); {
	case len(values) == 1:
		scheme, token, _ := strings.Cut(values[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			return s.Registry.Authenticate(ctx, strings.TrimSpace(token))
		}
	case len(values) == 0 && r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		if err := sameSite(r); err != nil {
			return registry.Actor{}, err
		}
		return s.Registry.AuthenticateCertificate(ctx, r.TLS.PeerCertificates[0])
	}
	return registry.Actor{}, &registry.Error{Op: "authenticate",
		Err: fmt.Errorf("%w: send \"Authorization: Bearer\" and a token, or a client certificate", registry.ErrUnauthentic)}
}

// sameSite keeps pages of other sites from using a certificate: browsers add
// certificates by themselves, and tokens never.
func sameSite(r *http.Request) error {
	if http.NewCrossOriginProtection().Check(r) == nil {
		return nil
	}
	return &registry.Error{Op: "authenticate", Err: fmt.Errorf("%w: a page of another site asks for it", registry.ErrForbidden)}
}

// authenticateDevice finds out which device calls: by its TLS client certificate
// and nothing else. Who brings an account's token is told that no account does
// this.
func (s *Server) authenticateDevice(c *call) (string, error) {
	refused := func(err error) (string, error) { return "", &registry.Error{Op: "authenticate", Err: err} }
	if len(c.r.Header.Values("Authorization")) > 0 {
		if _, err := s.authenticate(c.ctx, c.r); err != nil {
			return "", err
		}
		return refused(fmt.Errorf("%w: a device does, with its certificate and no token", registry.ErrForbidden))
	}
	if c.r.TLS == nil || len(c.r.TLS.PeerCertificates) == 0 {
		return refused(fmt.Errorf("%w: show the certificate of the device's current profile in TLS", registry.ErrUnauthentic))
	}
	if err := sameSite(c.r); err != nil {
		return "", err
	}
	c.leaf = c.r.TLS.PeerCertificates[0]
	id, err := s.Registry.AuthenticateDevice(c.ctx, c.leaf)
	if err != nil {
		return "", err
	}
	return "device:" + id.String(), nil // no account can be called so
}

// stranger reports what to tell a caller whose credential is refused: that, or to
// wait, where too many from its address were.
func (s *Server) stranger(r *http.Request, err error) error {
	if !errors.Is(err, registry.ErrUnauthentic) {
		return err
	}
	if ok, after := s.Strangers.Allow(s.Address(r)); !ok {
		return &rateError{after}
	}
	return err
}

// addressOf names who is at the other end of a connection. Of IPv6 it is the
// network, of which a caller has all addresses.
func addressOf(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// challenge is what a refused request is told to bring (RFC 6750 section 3).
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") != "" {
		return `Bearer realm="iotreg", error="invalid_token"`
	}
	return `Bearer realm="iotreg"`
}
