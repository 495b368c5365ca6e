package dane

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// Authority decides whether chain, leaf first, leads to a certification
// authority that zone publishes at its apex. The leaf may be a certificate
// issued by it or the authority's own certificate. A device learns in this way
// to trust the registry's authority with nothing but the root's key built in.
//
// The apex holds TLSA records of usage 2. Usage 0 is read the same way: the
// registry published its authorities as 0 0 0 in 2022, where no other root
// could be meant. Dates are checked on the whole path; names and key usages
// are not, because the question is only who issued. ErrAbsent means that the
// zone provably publishes no authority, ErrNoMatch that it publishes others.
func (v *Verifier) Authority(ctx context.Context, zone string, chain []*x509.Certificate) (*Match, error) {
	z, err := cleanName(zone)
	if err != nil {
		return nil, err
	}
	if err := checkChain(chain); err != nil {
		return nil, named(err, z)
	}
	tlsa, answer, err := lookup[*dns.TLSA](ctx, v, z, dns.TypeTLSA)
	if err != nil {
		return nil, err
	}
	m, err := v.authority(chain, tlsa)
	if err != nil {
		return nil, named(err, z)
	}
	return m.from(z, answer), nil
}

func (v *Verifier) authority(chain []*x509.Certificate, tlsa []*dns.TLSA) (*Match, error) {
	opts := ChainOptions{Now: v.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, StrictEE: true}
	if chain[0].IsCA {
		// The authority's own certificate stands alone, like a leaf of usage
		// 3, but its dates count.
		m, err := verifyChain(chain[:1], tlsa, opts, authorityRules(UsageDANEEE))
		if !errors.Is(err, ErrNoMatch) {
			return m, err
		}
	}
	return verifyChain(chain, tlsa, opts, authorityRules(UsageDANETA))
}

// authorityRules read usages 0 and 2 as the given one and no others.
func authorityRules(as uint8) rules {
	return rules{
		name: func(*x509.Certificate) error { return nil },
		usage: func(usage uint8) (uint8, error) {
			if usage != UsagePKIXTA && usage != UsageDANETA {
				return 0, fmt.Errorf("usage %d names no authority", usage)
			}
			return as, nil
		},
	}
}
