package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/iotregistry/sdk/profile"
)

// authority is the one whose certificates are in the data folder: what devices
// got from it must stay good, so that a new one is made once only.
func (s *service) authority(ctx context.Context) (*profile.Authority, error) {
	issuer, err := s.key(ctx, s.cfg.Keys.Issuer, "issuer")
	if err != nil {
		return nil, err
	}
	file := s.path("authority.pem")
	chain, err := readChain(file)
	if err == nil {
		a, err := profile.LoadAuthority(s.cfg.Zone, chain, issuer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return a, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	root, err := s.key(ctx, s.cfg.Keys.Root, "root")
	if err != nil {
		return nil, err
	}
	a, err := profile.NewAuthority(profile.AuthorityConfig{
		Registry: s.cfg.Zone, Organization: s.cfg.Organization, RootKey: root, IssuerKey: issuer,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return a, writeFile(file, certificates(a.Chain()))
}
