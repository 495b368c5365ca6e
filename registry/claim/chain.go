package claim

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// anchor is a maker with its roots and those CA certificates of the bundle that
// lead to them. No others are used, so that whoever made the bundle can neither
// hide a good chain behind many bad ones nor make each certificate cost many
// signatures.
type anchor struct {
	account string
	opts    x509.VerifyOptions
}

// trust makes the anchors and judges the bundle's CA certificates by them.
func (b *bundle) trust(now time.Time, makers []Maker, authorities []authority) {
	anchors := make([]*anchor, len(makers))
	for i, m := range makers {
		a := &anchor{m.Account, x509.VerifyOptions{
			Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
			CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		}}
		for _, root := range m.Roots {
			if checkCA(root) == nil && !b.isStale(root, now) {
				a.opts.Roots.AddCert(root)
				b.issues(a, root)
			}
		}
		anchors[i] = a
	}
	between := x509.NewCertPool()
	for _, ca := range authorities {
		if checkCA(ca.cert) == nil && !b.isStale(ca.cert, now) {
			between.AddCert(ca.cert)
		}
	}
	for _, ca := range authorities {
		if err := b.link(anchors, ca.cert, between); err != nil {
			b.bad[ca.line] = err
		}
	}
}

// isStale notes that what ca signs cannot be verified now. x509's error would
// be that of an unknown CA.
func (b *bundle) isStale(ca *x509.Certificate, now time.Time) bool {
	stale := now.Before(ca.NotBefore) || now.After(ca.NotAfter)
	if stale {
		b.stale[string(ca.RawSubject)] = true
	}
	return stale
}

// link gives ca to the anchors to whose roots it leads, through any others of
// the bundle.
func (b *bundle) link(anchors []*anchor, ca *x509.Certificate, between *x509.CertPool) error {
	if err := checkCA(ca); err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	reason, leads := b.unknown(ca), false
	for _, a := range anchors {
		opts := a.opts
		opts.Intermediates = between
		if _, err := ca.Verify(opts); err != nil {
			reason = explain(err, reason)
			continue
		}
		a.opts.Intermediates.AddCert(ca)
		b.issues(a, ca)
		leads = true
	}
	if leads {
		return nil
	}
	return reason
}

func (b *bundle) issues(a *anchor, ca *x509.Certificate) {
	if name := string(ca.RawSubject); !slices.Contains(b.issuers[name], a) {
		b.issuers[name] = append(b.issuers[name], a)
	}
}

// verify finds the maker whose root cert leads to.
func (b *bundle) verify(cert *x509.Certificate) error {
	reason := b.unknown(cert)
	for _, a := range b.issuers[string(cert.RawIssuer)] {
		_, err := cert.Verify(a.opts)
		switch {
		case err != nil:
			reason = explain(err, reason)
		case b.maker != nil && b.maker.account != a.account:
			reason = ErrMaker
		default:
			b.maker, b.list.Maker = a, a.account
			return nil
		}
	}
	return reason
}

// unknown is the error of a certificate whose issuer is not among the anchors.
func (b *bundle) unknown(cert *x509.Certificate) error {
	if b.stale[string(cert.RawIssuer)] {
		return fmt.Errorf("%w: the certificate of its CA is the one that is not", ErrTime)
	}
	return ErrIssuer
}

// explain gives an error of x509's a sentinel that says what to do; unknown is
// the one for an unknown issuer.
func explain(err, unknown error) error {
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: %w", ErrTime, err)
	case errors.As(err, &authority):
		return unknown
	}
	return fmt.Errorf("%w: %w", ErrCertificate, err)
}
