package smdp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/registry/eid"
)

// GetBoundProfilePackage implements [es9.Backend]: it checks the eUICC's consent
// and the confirmation code, binds the profile to the eUICC's one-time key and
// records the download before it answers. Repeated with the same one-time key it
// gives the same package.
func (s *Server) GetBoundProfilePackage(ctx context.Context, r es9.GetBoundProfilePackage) (es9.Package, error) {
	x := s.sessions.find(r.TransactionID)
	if x == nil {
		return es9.Package{}, noSession()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stage < offered {
		return es9.Package{}, noSession()
	}
	consent, err := consents(x, r.Response)
	if err != nil {
		return es9.Package{}, err
	}
	var p Profile
	err = retry(ctx, func() (err error) {
		p, err = s.deliver(ctx, x, consent)
		return err
	})
	if err != nil {
		return es9.Package{}, err
	}
	if s.engine.cfg.NotifyDownloads {
		_ = s.engine.tell(ctx, p, mno.PointDownload, nil) // for the reason see Deliver
	}
	return es9.Package{TransactionID: x.id, Bound: x.pkg}, nil
}

// consents checks what an eUICC has signed to get a package.
func consents(x *session, response []byte) (*rsp.EUICCSigned2, error) {
	m, err := rsp.Decode[rsp.PrepareDownloadResponse](response)
	if err != nil {
		return nil, malformed(err)
	}
	if m.OK == nil {
		return nil, badSignature("the eUICC has refused the offer: " + m.Error.Code.String())
	}
	text, err := m.OK.Signed2.SignedText(x.signature2)
	if err != nil {
		return nil, malformed(err)
	}
	if err := rsp.Verify(x.card.PublicKey, text, m.OK.Signature2); err != nil {
		return nil, badSignature("euiccSignature2 does not fit")
	}
	if !bytes.Equal(m.OK.Signed2.TransactionID, x.id) {
		return nil, refuse("8.10.1", mno.ReasonUnknown, "the eUICC has signed for another session")
	}
	m.OK.Signed2.OTPK = bytes.Clone(m.OK.Signed2.OTPK) // which is kept, and not the whole response
	return &m.OK.Signed2, nil
}

// deliver is one try to hand the package over.
func (s *Server) deliver(ctx context.Context, x *session, consent *rsp.EUICCSigned2) (Profile, error) {
	p, card, err := s.offeredOrder(ctx, x)
	if err != nil {
		return p, err
	}
	if err := s.checkCode(ctx, p, x.id, consent.HashCC); err != nil {
		return p, err
	}
	if x.stage == bound {
		if !bytes.Equal(x.oneTimeKey, consent.OTPK) {
			return p, refuse(mno.SubjectProfile, mno.ReasonUnavailable, "the package of this session is bound to another one-time key")
		}
		return p, nil
	}
	pkg, err := s.pack(ctx, x, p, consent.OTPK)
	if err != nil {
		return p, err
	}
	if !s.engine.move(&p, mno.Delivered) {
		return p, fmt.Errorf("smdp: %s cannot be delivered: it is %v", p.ICCID, p.State)
	}
	p.EUICC = card
	if p.Device.IsZero() {
		p.Device = card
	}
	p.Download.EUICC, p.Download.OneTimeKey = x.card.Leaf.Raw, consent.OTPK
	p.Download.Metadata, p.Download.Bound = x.offer.metadata, pkg
	ids := p.Download.Transactions
	p.Download.Transactions = append(ids[:len(ids):len(ids)], x.id.String())
	if err := s.engine.put(ctx, &p); err != nil {
		return p, err
	}
	x.stage, x.oneTimeKey, x.pkg = bound, consent.OTPK, pkg
	return p, nil
}

// offeredOrder returns the order that was offered in the session, if it still
// waits for its eUICC.
func (s *Server) offeredOrder(ctx context.Context, x *session) (Profile, eid.ID, error) {
	card, err := eid.Parse(x.card.EID.String())
	if err != nil {
		return Profile{}, card, fmt.Errorf("smdp: %w", err)
	}
	p, err := s.engine.cfg.Store.Find(ctx, Query{ICCID: x.offer.iccid})
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !x.offer.is(p):
		return p, card, refuse(mno.SubjectDownloadOrder, mno.ReasonExpired, "the order was withdrawn")
	case err != nil:
		return p, card, err
	case !p.EUICC.IsZero() && p.EUICC != card:
		return p, card, refuse(mno.SubjectProfile, mno.ReasonUnavailable, "another eUICC has this profile")
	case downloadable(p.State):
		return p, card, nil
	case p.State == mno.Error && p.Failure != nil && p.Failure.Subject == subjectCode:
		return p, card, p.Failure
	}
	return p, card, refuse(mno.SubjectDownloadOrder, mno.ReasonExpired, "the order has ended: order anew")
}

const subjectCode = "8.2.7" // confirmation code

// checkCode compares what the eUICC has made of the confirmation code with what
// the right one gives. Wrong ones are counted in the order, whatever the session;
// the last one ends it.
func (s *Server) checkCode(ctx context.Context, p Profile, id rsp.TransactionID, got []byte) error {
	if p.CodeHash == nil {
		return nil
	}
	if got == nil {
		return refuse(subjectCode, mno.ReasonMissing, "enter the confirmation code of the operator")
	}
	var kept [sha256.Size]byte
	copy(kept[:], p.CodeHash)
	want := rsp.HashCCFromHash(kept, id)
	clear(kept[:])
	if subtle.ConstantTimeCompare(want[:], got) == 1 {
		return nil
	}
	failure := &mno.StatusError{Subject: subjectCode, Reason: mno.ReasonRefused, Message: "the confirmation code is wrong"}
	p.Download.CodeTries++
	last := p.Download.CodeTries >= s.cfg.MaxCodeTries
	if last {
		failure.Reason, failure.Message = "6.4", "the confirmation code was wrong too often: order anew"
		s.engine.move(&p, mno.InstallFailed)
		p.Failure, p.Sealed, p.Download.Bound = failure, nil, nil
	}
	if err := s.engine.put(ctx, &p); err != nil {
		return err
	}
	if last {
		if err := s.engine.tell(ctx, p, mno.PointInstall, nil); err != nil {
			s.untold(ctx, p, err)
		}
	}
	return failure
}

// pack returns the bound profile package for a session: a new one, or the one
// that the eUICC was given before, if it has kept its one-time key.
func (s *Server) pack(ctx context.Context, x *session, p Profile, oneTimeKey []byte) ([]byte, error) {
	if p.Download.Bound != nil {
		if bytes.Equal(p.Download.OneTimeKey, oneTimeKey) {
			return s.readdress(p.Download.Bound, oneTimeKey, x.id)
		}
		if !s.cfg.Rebind {
			return nil, refuse(mno.SubjectProfile, mno.ReasonUnavailable, "the profile is bound to an earlier one-time key of this eUICC")
		}
	}
	profile, err := s.profilePackage(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("smdp: profile package of %s: %w", p.ICCID, err)
	}
	host := s.engine.cfg.Address
	pkg, err := bsp.Bind(bsp.Binding{
		TransactionID: x.id, HostID: []byte(host[:min(len(host), 16)]), EID: x.card.EID, EUICCKey: oneTimeKey,
		Signer: s.cfg.Binding.Key, Metadata: x.offer.metadata, Random: s.engine.cfg.Rand,
	}, profile)
	if errors.Is(err, bsp.ErrPoint) {
		return nil, badSignature("the one-time key is no point of P-256")
	}
	return pkg, err
}

// readdress gives a package that was bound before to a new session. Only its
// first part names the session: what is behind it, and the one-time keys of both
// sides, stay as they were.
func (s *Server) readdress(pkg, oneTimeKey []byte, id rsp.TransactionID) ([]byte, error) {
	m, err := rsp.Decode[rsp.BoundProfilePackage](pkg)
	if err != nil {
		return nil, fmt.Errorf("smdp: %w", err)
	}
	channel := &m.SecureChannel
	channel.Raw, channel.TransactionID = nil, id
	text, err := channel.SignedText(oneTimeKey)
	if err != nil {
		return nil, fmt.Errorf("smdp: %w", err)
	}
	if channel.SMDPSign, err = rsp.Sign(s.engine.cfg.Rand, s.cfg.Binding.Key, text); err != nil {
		return nil, fmt.Errorf("smdp: %w", err)
	}
	return rsp.Encode(m)
}

// profilePackage returns what is to be bound.
func (s *Server) profilePackage(ctx context.Context, p Profile) ([]byte, error) {
	issuer := rsp.OID(s.cfg.Issuer)
	if s.cfg.Package == nil {
		return rsp.WrapProfile(rsp.ICCID(p.ICCID), shorten(p.Type, 100), issuer, p.Sealed)
	}
	own, err := s.cfg.Package(ctx, p)
	if err != nil || len(p.Sealed) == 0 {
		return own, err
	}
	return rsp.InsertNonStandard(own, issuer, p.Sealed)
}
