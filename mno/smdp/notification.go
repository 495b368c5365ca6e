package smdp

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
)

// Points of news about a profile that is installed already; SGP.22 leaves numbers
// above its own to SM-DP+s.
const (
	PointDeleted  mno.Point = 5
	PointEnabled  mno.Point = 101
	PointDisabled mno.Point = 102
)

// errUseless means that a notification changes nothing, now or later.
var errUseless = errors.New("smdp: notification of no use")

func useless(why string) error { return fmt.Errorf("%w: %s", errUseless, why) }

// HandleNotification implements [es9.Backend]. The result of an installation ends
// the order as [Engine.Finish] does, if the eUICC that was given the package has
// signed it. That an installed profile was enabled, disabled or deleted is passed
// on to the operator, once (see [PointEnabled]). Everything else, forgeries
// included, is logged and accepted: it would be no better next time.
func (s *Server) HandleNotification(ctx context.Context, notification []byte) error {
	n, err := rsp.DecodePendingNotification(notification)
	switch {
	case err != nil:
		err = useless(err.Error())
	case n.Installation != nil:
		err = s.installed(ctx, n.Installation)
	default:
		err = s.happened(ctx, n.Other)
	}
	if errors.Is(err, errUseless) {
		s.log.WarnContext(ctx, "smdp: notification accepted without effect", "error", err)
		return nil
	}
	return err
}

// installed takes the result of an installation.
func (s *Server) installed(ctx context.Context, m *rsp.ProfileInstallationResult) error {
	q := Query{Transaction: m.Data.TransactionID.String()}
	p, err := s.engine.cfg.Store.Find(ctx, q)
	if errors.Is(err, ErrNotFound) {
		return useless("its transaction ID is of no download")
	}
	if err != nil {
		return err
	}
	if why := s.judge(p, m); why != "" {
		return useless(why)
	}
	var failure *mno.StatusError
	if m.Data.Error != nil {
		if why := premature(p, m); why != "" {
			return useless(why)
		}
		failure = installFailure(p.ICCID, m.Data.Error)
	}
	err = s.engine.finish(ctx, q, failure, m.Raw)
	if errors.Is(err, ErrNotFound) || errors.Is(err, mno.ErrInvalidTransition) {
		return useless(err.Error())
	}
	if x := s.sessions.find(m.Data.TransactionID); x != nil && err == nil {
		s.sessions.remove(x)
	}
	return err
}

// judge says why a result is not the one of this download, "" if it is.
func (s *Server) judge(p Profile, m *rsp.ProfileInstallationResult) string {
	key, err := publicKey(p.Download.EUICC)
	if err != nil {
		return err.Error()
	}
	text, err := m.Data.SignedText()
	if err != nil {
		return err.Error()
	}
	if rsp.Verify(key, text, m.Signature) != nil {
		return "euiccSignPIR is not of the eUICC that has the package"
	}
	if id := m.Data.SMDPOID; id != nil && *id != s.oid {
		return "it is about another SM-DP+"
	}
	if id := m.Data.Notification.ICCID; id != nil && string(*id) != p.ICCID {
		return "it is about another profile"
	}
	return ""
}

// premature says why a failure is not what has become of the order, "" if it is.
// eUICCs may tell of their sessions in any order.
func premature(p Profile, m *rsp.ProfileInstallationResult) string {
	ids := p.Download.Transactions
	switch at := slices.Index(ids, m.Data.TransactionID.String()); {
	case p.State != mno.Downloaded: // it is judged already, and its operator perhaps not told
	case at != len(ids)-1:
		return "it is the failure of an earlier session: the eUICC was given the package again"
	case at > 0 && m.Data.Error.Reason == rsp.InstallICCIDExists:
		return "the eUICC has the profile of an earlier session, whose own result tells"
	}
	return ""
}

// publicKey returns the key of an eUICC's certificate that was checked when it
// was stored.
func publicKey(der []byte) (*ecdsa.PublicKey, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("smdp: stored eUICC certificate: %w", err)
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("smdp: stored eUICC certificate has no ECDSA key")
	}
	return key, nil
}

// installFailure says in ES2+'s words why an eUICC could not install a profile.
func installFailure(iccid string, f *rsp.InstallationFailure) *mno.StatusError {
	e := &mno.StatusError{
		Subject: mno.SubjectBPP, Reason: mno.ReasonExecution, Identifier: iccid, Message: f.Command.String() + ": " + f.Reason.String(),
	}
	switch f.Reason {
	case rsp.InstallInsufficientMemory:
		e.Subject, e.Reason = "8.1", "4.8"
	case rsp.InstallICCIDExists:
		e.Subject, e.Reason = mno.SubjectICCID, mno.ReasonInUse
	case rsp.InstallPPRNotAllowed:
		e.Subject, e.Reason = "8.2.8", mno.ReasonNotAllowed
	case rsp.InstallDataMismatch:
		e.Subject, e.Reason = "8.2.9", "3.11"
	}
	return e
}

// happened takes what became of a profile later.
func (s *Server) happened(ctx context.Context, m *rsp.OtherSignedNotification) error {
	point, ok := map[rsp.Events]mno.Point{
		rsp.EventEnable: PointEnabled, rsp.EventDisable: PointDisabled, rsp.EventDelete: PointDeleted,
	}[m.Notification.Event]
	if !ok || m.Notification.ICCID == nil {
		return useless("it says nothing of a profile")
	}
	card, err := s.verifier.EUICC(m.EUICCCertificate, m.EUMCertificate, nil)
	if err != nil {
		return useless(err.Error())
	}
	text, err := m.Notification.SignedText()
	if err != nil {
		return useless(err.Error())
	}
	if rsp.Verify(card.PublicKey, text, m.Signature) != nil {
		return useless("its signature does not fit")
	}
	return retry(ctx, func() error { return s.passOn(ctx, m, card.EID.String(), point) })
}

// passOn tells the operator of an event, and remembers that it has. Older ones
// that come later, or again, are not told.
func (s *Server) passOn(ctx context.Context, m *rsp.OtherSignedNotification, card string, point mno.Point) error {
	p, err := s.engine.cfg.Store.Find(ctx, Query{ICCID: string(*m.Notification.ICCID)})
	switch {
	case errors.Is(err, ErrNotFound):
		return useless("no such profile")
	case err != nil:
		return err
	case p.State != mno.Installed || p.EUICC.String() != card:
		return useless("the profile is not installed on this eUICC")
	case m.Notification.SeqNumber <= p.Download.Sequence:
		return useless("it is told already, or something newer is")
	}
	if s.engine.cfg.Notify != nil {
		err := s.engine.cfg.Notify(ctx, p.Owner, mno.Progress{
			Device: p.Device, ICCID: p.ICCID, ProfileType: p.Type, ProfileID: p.ProfileID,
			Time: s.engine.cfg.Now(), Point: point, Result: m.Raw,
		})
		if err := unlessUnwanted(p, err); err != nil {
			return err
		}
	}
	p.Download.Sequence = m.Notification.SeqNumber
	return s.engine.put(ctx, &p)
}
