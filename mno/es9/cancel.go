package es9

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
)

// reasonOf says why a session is cancelled. Reasons differ in what becomes of
// the order: it stays where the same download may succeed later, which is where
// the way to the server or to the eUICC, the server or the time was the trouble;
// it ends where the eUICC or the user will not have this profile. An eUICC that
// does not answer within loading has not refused the package: a load execution
// error is a status word, or a package that cannot be cut into segments (SGP.22
// section 3.1.3.3).
func reasonOf(err error) rsp.CancelReason {
	var refused *mno.StatusError
	var lost *TransportError
	var loading *loadError
	var asked *decision
	switch {
	case errors.Is(err, ErrRejected):
		return rsp.CancelEndUserRejection
	case errors.Is(err, ErrForbidden):
		return rsp.CancelPPRNotAllowed
	case errors.Is(err, ErrOtherProfile):
		return rsp.CancelMetadataMismatch
	case errors.Is(err, context.DeadlineExceeded):
		return rsp.CancelTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, ErrNeedsCode):
		return rsp.CancelPostponed
	case errors.Is(err, apdu.ErrTransmit):
		return rsp.CancelTimeout
	case errors.As(err, &loading):
		return rsp.CancelLoadBPPError
	case errors.As(err, &asked), errors.As(err, &refused), errors.As(err, &lost):
		return rsp.CancelPostponed
	}
	return rsp.CancelUndefined
}

// cancel ends the session, first on the eUICC, which signs that it did, then on
// the server. Where either fails, sessions run out by themselves, and the caller
// has an error already.
func (d *download) cancel(ctx context.Context, reason rsp.CancelReason) {
	if d.session == nil || d.ended {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer stop()
	r, err := function10[rsp.CancelSessionResponse](ctx, d.card, "CancelSession",
		&rsp.CancelSessionRequest{TransactionID: d.session, Reason: reason})
	if err != nil || r.OK == nil {
		return
	}
	_ = d.server.CancelSession(ctx, CancelSession{TransactionID: d.session, Response: r.Raw})
}

// registeredID returns the object identifier among a certificate's alternative
// names.
func registeredID(der []byte) (rsp.OID, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "", err
	}
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		names, err := bertlv.Parse(e.Value)
		if err != nil {
			return "", err
		}
		id, err := names.Find(0x88)
		if err != nil {
			return "", err
		}
		return rsp.DecodeOID(id.Value)
	}
	return "", errors.New("no object identifier in the certificate")
}
