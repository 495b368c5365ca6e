package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/registry"
)

// operators makes the ways to the operators, by their accounts.
func (s *service) operators() (map[string]mno.Operator, error) {
	all := map[string]mno.Operator{}
	for _, o := range s.cfg.Operators {
		if o.Simulate {
			sim, err := s.simulate(o.Account)
			if err != nil {
				return nil, err
			}
			s.log.Warn("this operator is a simulation: no device gets anything", "account", o.Account)
			s.sims = append(s.sims, sim)
			all[o.Account] = sim
			continue
		}
		client, err := o.client()
		if err != nil {
			return nil, usagef("operator %s: %w", o.Account, err)
		}
		all[o.Account] = &es2.Client{BaseURL: o.ES2, HTTP: client, Requester: cmp.Or(o.Requester, s.cfg.Zone)}
	}
	return all, nil
}

func (o operatorCfg) client() (*http.Client, error) {
	own, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}
	if o.CA != "" {
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no CERTIFICATE in PEM", o.CA)
		}
	}
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: cfg, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		},
	}, nil
}

type actorKey struct{}

// progress takes operators' reports by ES2+. Whose report it is, the key of the
// TLS client certificate says: iotreg token trust makes it known.
func (s *service) progress() http.Handler {
	inner := es2.NewProgressHandler(func(ctx context.Context, p mno.Progress) error {
		actor, _ := ctx.Value(actorKey{}).(registry.Actor)
		return s.reg.Progress(ctx, actor, p)
	}, &es2.Options{AllowNoClientCertificate: true, Log: s.log}) // the registry knows keys, not who certified them
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "show the client certificate that the registry knows", http.StatusForbidden)
			return
		}
		actor, err := s.reg.AuthenticateCertificate(r.Context(), r.TLS.PeerCertificates[0])
		if err != nil || actor.Role != registry.RoleMNO {
			http.Error(w, "this certificate is no operator's", http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, actor)))
	})
}
