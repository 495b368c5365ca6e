package smdp

import (
	"context"
	"errors"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// choose returns the order that a proven eUICC may download now.
func (s *Server) choose(ctx context.Context, said *rsp.EUICCSigned1, card *cert.EUICC) (Profile, error) {
	euicc, err := eid.Parse(card.EID.String())
	if err != nil {
		return Profile{}, refuse("8.1.3", "6.1", "the check digits of the EID do not fit")
	}
	var p Profile
	if id := said.CtxParams1.MatchingID; id != nil && *id != "" {
		p, err = s.engine.cfg.Store.Find(ctx, Query{MatchingID: *id})
	} else {
		p, err = s.waiting(ctx, euicc)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return p, refuse(mno.SubjectMatchingID, mno.ReasonRefused, "no such order: check the activation code")
	case err != nil:
		return p, err
	case !p.EUICC.IsZero() && p.EUICC != euicc:
		return p, refuse(mno.SubjectEID, mno.ReasonRefused, "the order is for another eUICC")
	}
	if err := s.eligible(ctx, p); err != nil {
		return p, err
	}
	if free, ok := freeMemory(said.Info2.ExtCardResource); ok && free < uint64(len(p.Sealed)) {
		return p, refuse("8.1", "4.8", "the eUICC has no room for this profile: delete another one")
	}
	return p, nil
}

// waiting finds an order for an eUICC that has named none. Where none waits for
// it, the newest of its IoT profiles is what to say the reason of.
func (s *Server) waiting(ctx context.Context, euicc eid.ID) (Profile, error) {
	p, err := s.engine.cfg.Store.Find(ctx, Query{EUICC: euicc})
	if errors.Is(err, ErrNotFound) {
		return s.engine.Pending(ctx, euicc)
	}
	return p, err
}

// eligible says why an order is not for download, and ends one that was handed
// over too often.
func (s *Server) eligible(ctx context.Context, p Profile) error {
	switch {
	case p.State < mno.Released:
		return refuse(mno.SubjectProfile, mno.ReasonNotAllowed, "the operator has not released the profile yet")
	case p.State == mno.Installed:
		return refuse(mno.SubjectMatchingID, mno.ReasonRefused, "the profile is installed already")
	case !downloadable(p.State):
		return s.ended(ctx, p)
	case !s.exhausted(p):
		return nil
	}
	failure := &mno.StatusError{Subject: mno.SubjectDownloadOrder, Reason: "6.4", Identifier: p.ICCID, Message: "downloaded too often: order anew"}
	if err := s.engine.end(ctx, p.ICCID, failure, s.exhausted); err != nil {
		s.untold(ctx, p, err)
	}
	return failure
}

// exhausted reports whether an order was handed over as often as it may be.
func (s *Server) exhausted(p Profile) bool { return len(p.Download.Transactions) >= s.cfg.MaxDownloads }

// ended is the answer to who comes for an order that has failed or was withdrawn.
// If the operator does not have the news yet, it is told now.
func (s *Server) ended(ctx context.Context, p Profile) error {
	if p.State == mno.Error {
		if err := s.engine.tell(ctx, p, mno.PointInstall, nil); err != nil {
			s.untold(ctx, p, err)
		}
	}
	if p.Failure != nil && p.Failure.Reason == "6.4" {
		return refuse(mno.SubjectDownloadOrder, "6.4", "tried too often: order anew")
	}
	return refuse(mno.SubjectDownloadOrder, mno.ReasonExpired, "the order has ended: order anew")
}

// untold logs that the operator does not know yet of an order's end. The device
// that asks next is the occasion to tell it again.
func (s *Server) untold(ctx context.Context, p Profile, err error) {
	s.log.WarnContext(ctx, "smdp: the operator is not told yet that an order has ended", "iccid", p.ICCID, "error", err)
}

// freeMemory reads the bytes of non-volatile memory that an eUICC has left
// (extCardResource, ETSI TS 102 226 section 8.2.1.7.2).
func freeMemory(b []byte) (free uint64, ok bool) {
	for len(b) > 0 {
		t, rest, err := bertlv.Read(b)
		if err != nil {
			return 0, false
		}
		if t.Tag == 0x82 && len(t.Value) > 0 && len(t.Value) <= 8 {
			for _, x := range t.Value {
				free = free<<8 | uint64(x)
			}
			return free, true
		}
		b = rest
	}
	return 0, false
}
