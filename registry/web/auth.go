package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/iotregistry/sdk/registry"
)

// Authenticate finds out whose request this is: by its bearer token, or by its
// TLS client certificate where it has none. A wrong token is not saved by a
// certificate. It is for handlers in Config.Extra that show some callers more;
// the API's own routes have asked already. The errors are those of
// [registry.Registry.Authenticate].
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
		return s.Registry.AuthenticateCertificate(ctx, r.TLS.PeerCertificates[0])
	}
	return registry.Actor{}, &registry.Error{Op: "authenticate", Err: registry.ErrUnauthentic}
}

// challenge is what a refused request is told to bring (RFC 6750 section 3).
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") != "" {
		return `Bearer realm="iotreg", error="invalid_token"`
	}
	return `Bearer realm="iotreg"`
}
