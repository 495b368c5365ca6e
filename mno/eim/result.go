package eim

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// ErrMalformed means that bytes are no EimPackageResult.
var ErrMalformed = errors.New("eim: this is no EimPackageResult")

// errUseless means that a result changes nothing, now or later.
var errUseless = errors.New("eim: result of no use")

func useless(why string) error { return fmt.Errorf("%w: %s", errUseless, why) }

// maxSigned bounds how many signatures of one result are checked.
const maxSigned = 64

// ProvideEIMPackageResult implements [esipa.Backend]. What the eUICC has signed
// ends the job that it is about, and is acknowledged once the operator has the
// news and the record is stored; so it is, without news, when it comes again.
// Everything else that is well-formed, forgeries included, is logged and accepted
// without acknowledgement: it would be no better next time. An error wraps
// [ErrMalformed], [esipa.ErrUnknownEID] or [esipa.ErrInvalidEID], or is trouble of
// the eIM, after which the device is to provide the result again.
func (e *EIM) ProvideEIMPackageResult(ctx context.Context, r esipa.Result) ([]int64, error) {
	m, err := decodeResult(r.Object)
	if err != nil {
		return nil, err
	}
	device, err := e.sender(ctx, r.EID, m)
	if err != nil {
		return nil, err
	}
	acknowledged, err := e.take(ctx, device, m)
	if errors.Is(err, errUseless) {
		e.cfg.Log.WarnContext(ctx, "eim: result accepted without effect", "eid", device.String(), "error", err)
		return acknowledged, nil
	}
	if err != nil {
		return nil, err
	}
	return acknowledged, nil
}

func decodeResult(object []byte) (*rsp.EIMPackageResult, error) {
	if len(object) > rsp.MaxPackage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(object))
	}
	whole, err := rsp.Decode[rsp.ProvideEIMPackageResult](bertlv.Append(nil, 0xBF50, object))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if whole.EID != nil || len(whole.Extra) > 0 {
		return nil, fmt.Errorf("%w: it is one object of the choice alone", ErrMalformed)
	}
	return &whole.Result, nil
}

// sender returns whose result it is: as the device says, or whose job it is about.
func (e *EIM) sender(ctx context.Context, said string, m *rsp.EIMPackageResult) (eid.ID, error) {
	if said != "" {
		return parseEID(said)
	}
	id := transaction(m)
	if len(id) == 0 {
		return certificateEID(m)
	}
	r, err := e.cfg.Store.FindJob(ctx, id.String())
	if !errors.Is(err, ErrNotFound) {
		return r.EID, err
	}
	if device, err := parseEID(hex.EncodeToString(id)); err == nil {
		return device, nil // see askCertificates
	}
	return eid.ID{}, esipa.ErrUnknownEID
}

// certificateEID returns the EID in the certificate that a device was asked for. It
// is what devices of SGP.32 version 1.0 answer with, which knows no transaction
// there. Whether the certificate is good is looked at later.
func certificateEID(m *rsp.EIMPackageResult) (eid.ID, error) {
	if m.Data == nil || m.Data.Data == nil || m.Data.Data.EUICCCertificate == nil {
		return eid.ID{}, esipa.ErrInvalidEID
	}
	c, err := x509.ParseCertificate(rsp.UnwrapCertificate(m.Data.Data.EUICCCertificate))
	if err != nil {
		return eid.ID{}, esipa.ErrInvalidEID
	}
	return parseEID(c.Subject.SerialNumber)
}

// transaction returns the eimTransactionId of a result, nil where it has none.
func transaction(m *rsp.EIMPackageResult) rsp.TransactionID {
	switch {
	case m.Package != nil:
		return packageTransaction(m.Package)
	case m.WithNotifications != nil:
		return packageTransaction(&m.WithNotifications.Package)
	case m.Data != nil && m.Data.Data != nil:
		return m.Data.Data.EIMTransactionID
	case m.Data != nil:
		return m.Data.Error.EIMTransactionID
	case m.Trigger != nil:
		return m.Trigger.EIMTransactionID
	case m.Error != nil:
		return m.Error.EIMTransactionID
	}
	return nil
}

func packageTransaction(m *rsp.EUICCPackageResult) rsp.TransactionID {
	switch {
	case m.Signed != nil:
		return m.Signed.Data.EIMTransactionID
	case m.Error != nil:
		return m.Error.Data.EIMTransactionID
	}
	return m.Unsigned.EIMTransactionID
}

// take has each kind of result do what it does.
func (e *EIM) take(ctx context.Context, device eid.ID, m *rsp.EIMPackageResult) ([]int64, error) {
	switch {
	case m.Package != nil:
		return e.packageResult(ctx, device, m.Package)
	case m.WithNotifications != nil:
		done, why := e.packageResult(ctx, device, &m.WithNotifications.Package)
		if why != nil && !errors.Is(why, errUseless) {
			return nil, why
		}
		more, err := e.forward(ctx, device, m.WithNotifications.Notifications)
		if err != nil {
			return nil, err
		}
		return append(done, more...), why // what is of no use takes nothing else with it
	case m.Data != nil:
		return e.dataResult(ctx, device, m.Data)
	case m.Trigger != nil:
		return e.downloadResult(ctx, device, m.Trigger)
	case m.Error != nil:
		return nil, e.unusable(ctx, device, m.Error)
	}
	return nil, useless("a kind that is not known here")
}

// unusable takes a device's word that it could do nothing with what it was given.
// Where it could not read it, it does not know which job that was.
func (e *EIM) unusable(ctx context.Context, device eid.ID, m *rsp.EIMPackageResultFailure) error {
	id := m.EIMTransactionID
	if id == nil {
		r, err := e.cfg.Store.Find(ctx, device)
		switch {
		case errors.Is(err, ErrNotFound):
			return esipa.ErrUnknownEID
		case err != nil:
			return err
		case len(r.Queue) == 0:
			return useless("there is nothing that the device has to do")
		}
		if id, err = rsp.ParseTransactionID(r.Queue[0].ID); err != nil {
			return fmt.Errorf("eim: stored record: %w", err)
		}
	}
	return e.unproven(ctx, device, id, "the device could not use it: "+m.Code.String())
}

// unproven takes a failure that nobody has signed: the job is given again, and
// ended after some tries. One for each time that it was given counts.
func (e *EIM) unproven(ctx context.Context, device eid.ID, id rsp.TransactionID, why string) error {
	_, err := e.conclude(ctx, device, func(r *Record) (bool, error) {
		j := r.job(id.String())
		if j == nil || j.State != Offered {
			return false, useless("it is about nothing that the device was given, or this try is known to have failed")
		}
		return true, e.attempt(ctx, r, j, why)
	})
	return err
}

// conclude is change for what may end jobs. Results of one device wait for each
// other here, for the operator to hear last what came of a job last: of two that
// meet, one would take back its change, and its news it could not.
func (e *EIM) conclude(ctx context.Context, device eid.ID, f func(r *Record) (save bool, err error)) (Record, error) {
	lock := &e.concluding[stripe(device)]
	lock.Lock()
	defer lock.Unlock()
	return e.change(ctx, device, false, f)
}

// attempt counts a try that failed, and ends the job with the last.
func (e *EIM) attempt(ctx context.Context, r *Record, j *Job, why string) error {
	j.Attempts++
	j.State, j.Failure = Waiting, why
	if j.Attempts < e.cfg.Attempts {
		return nil
	}
	return e.end(ctx, r, j, Failed, nil, nil)
}

// end ends a job, or puts right how it ended, and tells the operator.
func (e *EIM) end(ctx context.Context, r *Record, j *Job, s State, result []byte, listed []Profile) error {
	j.State, j.Proven, j.Ended = s, result != nil, e.cfg.Now()
	ev := Event{EID: r.EID, Job: *j, Result: slices.Clone(result), Listed: slices.Clone(listed)}
	ev.Job.Steps, ev.Job.Package = slices.Clone(j.Steps), nil
	if err := e.cfg.Notify(ctx, ev); err != nil {
		return fmt.Errorf("eim: the operator has not taken the news: %w", err)
	}
	if listed != nil && *j.Sequence > r.ListedAt { // else it comes late
		r.Profiles, r.Listed, r.ListedAt = listed, j.Ended, *j.Sequence
	}
	r.end(j, e.cfg.MaxHistory)
	return nil
}

// verify checks that certificates are those of this eUICC.
func (e *EIM) verify(device eid.ID, euicc, eum []byte) error {
	card, err := e.verifier.EUICC(euicc, eum, nil)
	if err != nil {
		return err
	}
	if card.EID.String() != device.String() {
		return errors.New("eim: the certificate is of another eUICC")
	}
	return nil
}

// signedBy checks that the record's eUICC has signed text.
func signedBy(r *Record, text, signature []byte, err error) error {
	if err != nil {
		return useless(err.Error())
	}
	if r.Certificate == nil {
		return useless("the eUICC's certificate is not known yet")
	}
	c, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return fmt.Errorf("eim: stored certificate: %w", err)
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return errors.New("eim: stored certificate has no ECDSA key")
	}
	if rsp.Verify(key, text, signature) != nil {
		return useless("the signature is not of this eUICC")
	}
	return nil
}

// forward passes on notifications that the eUICC has signed.
func (e *EIM) forward(ctx context.Context, device eid.ID, list []rsp.PendingNotification) ([]int64, error) {
	if e.cfg.Forward == nil || len(list) == 0 {
		return nil, nil
	}
	r, err := e.cfg.Store.Find(ctx, device)
	if err != nil {
		return nil, err
	}
	var done []int64
	for i := range list[:min(len(list), maxSigned)] {
		raw, err := notification(&r, &list[i])
		if errors.Is(err, errUseless) {
			e.cfg.Log.WarnContext(ctx, "eim: notification not passed on", "eid", device.String(), "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := e.cfg.Forward(ctx, device, raw); err != nil {
			return nil, fmt.Errorf("eim: a notification could not be passed on: %w", err)
		}
		done = append(done, list[i].Metadata().SeqNumber)
	}
	return done, nil
}

// notification returns the bytes of a notification that the record's eUICC has
// signed.
func notification(r *Record, n *rsp.PendingNotification) ([]byte, error) {
	if n.Installation != nil {
		text, err := n.Installation.Data.SignedText()
		return n.Installation.Raw, signedBy(r, text, n.Installation.Signature, err)
	}
	text, err := n.Other.Notification.SignedText()
	return n.Other.Raw, signedBy(r, text, n.Other.Signature, err)
}
