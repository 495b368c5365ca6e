package smdp

import (
	"bytes"
	"context"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// CancelSession implements [es9.Backend]. A download that was postponed, or that
// has timed out, leaves the order as it is; any other reason ends the order, and
// its operator is told which. While the operator does not take the news, the
// session stays and the call fails, so that it can be repeated.
func (s *Server) CancelSession(ctx context.Context, r es9.CancelSession) error {
	x := s.sessions.find(r.TransactionID)
	if x == nil {
		return noSession()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stage < offered {
		return noSession()
	}
	reason, err := s.cancels(x, r.Response)
	if err != nil {
		return err
	}
	if code, terminal := reason.Status(); terminal {
		failure := &mno.StatusError{
			Subject: code.Subject, Reason: code.Reason, Identifier: x.offer.iccid, Message: "cancelled by the device: " + reason.String(),
		}
		if err := s.cancelOrder(ctx, x, failure); err != nil {
			return err
		}
	}
	s.sessions.remove(x)
	return nil
}

// cancels checks what an eUICC has signed to cancel a session.
func (s *Server) cancels(x *session, response []byte) (rsp.CancelReason, error) {
	m, err := rsp.Decode[rsp.CancelSessionResponse](response)
	if err != nil {
		return 0, malformed(err)
	}
	if m.OK == nil {
		return 0, badSignature("the eUICC has not cancelled the session")
	}
	said := &m.OK.Signed
	text, err := said.SignedText()
	if err != nil {
		return 0, malformed(err)
	}
	if err := rsp.Verify(x.card.PublicKey, text, m.OK.Signature); err != nil {
		return 0, badSignature("euiccCancelSessionSignature does not fit")
	}
	switch {
	case !bytes.Equal(said.TransactionID, x.id):
		return 0, refuse("8.10.1", mno.ReasonUnknown, "the eUICC has signed for another session")
	case said.SMDPOID != s.oid:
		return 0, refuse(mno.SubjectSMDP, mno.ReasonInvalidAssociation, "the eUICC has signed for another SM-DP+")
	}
	return said.Reason, nil
}

// cancelOrder ends the order of a session, unless it is somebody else's by now.
func (s *Server) cancelOrder(ctx context.Context, x *session, failure *mno.StatusError) error {
	return s.engine.end(ctx, x.offer.iccid, failure, func(p Profile) bool {
		return x.offer.is(p) && (p.EUICC.IsZero() || p.EUICC.String() == x.card.EID.String())
	})
}
