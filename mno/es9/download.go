package es9

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

// What a user's decision may be, besides consent. They end a download, are
// returned by it, and tell the SM-DP+ why (SGP.22 section 5.7.14).
var (
	ErrRejected  = errors.New("es9: the user does not want the profile")         // the order ends
	ErrPostponed = errors.New("es9: the user wants the profile later")           // the order stays
	ErrForbidden = errors.New("es9: the profile's policy rules are not allowed") // the order ends
)

// Why the LPA itself ends a download.
var (
	ErrNeedsCode    = errors.New("es9: the SM-DP+ wants a confirmation code: ask the user for it")
	ErrOtherServer  = errors.New("es9: the SM-DP+ is not the one that the activation code names")
	ErrOtherProfile = errors.New("es9: the package holds another profile than the one that was shown")
	ErrAnswer       = errors.New("es9: the SM-DP+ answered something else than was asked for")
)

// InstallationError says that the eUICC could not install a profile. Its signed
// report goes to the SM-DP+ like that of a success.
type InstallationError struct {
	ICCID   string
	Step    string // bppCommandId, in SGP.22's words
	Reason  string // errorReason, in SGP.22's words
	Code    int    // errorReason
	Details []byte // what the eUICC's profile interpreter says; may be nil
	Receipt []byte // ProfileInstallationResult, BF37, as the eUICC has signed it
}

// Error gives the step and the reason.
func (e *InstallationError) Error() string {
	return fmt.Sprintf("es9: profile %s was not installed: %s at %s", e.ICCID, e.Reason, e.Step)
}

// Result is a profile that was downloaded, and is disabled still.
type Result struct {
	Metadata Metadata
	AID      []byte // of the profile's security domain
	Receipt  []byte // ProfileInstallationResult, BF37, as the eUICC has signed it

	// Unsent is why the SM-DP+ has not been told, nil where it has. The profile
	// is there all the same; ProcessNotifications tries again.
	Unsent error
}

// download is the state of one session.
type download struct {
	lpa     *LPA
	code    ActivationCode
	confirm func(Metadata) (string, error)
	card    *channel
	server  Backend

	session  rsp.TransactionID // nil before there is one
	ended    bool              // nothing is left to cancel
	metadata Metadata
	result   *rsp.ProfileInstallationResult
}

// Download fetches the profile that waits behind an activation code and installs
// it. Once the profile is known, confirm is asked for consent and, where
// NeedsCode is set, for the confirmation code; nil consents and has no code. Its
// errors are returned: [ErrRejected], [ErrPostponed] and [ErrForbidden] are told
// to the SM-DP+ as they are, the end of a context as a time-out.
//
// After any failure the session is cancelled on both sides, in a way that keeps
// the order where trying again may help. The Metadata are set as far as they got
// known. An [*InstallationError] is the eUICC's refusal.
func (l *LPA) Download(ctx context.Context, code ActivationCode, confirm func(Metadata) (string, error)) (Result, error) {
	if err := code.check(); err != nil {
		return Result{}, err
	}
	server, err := l.dial(code.Address)
	if err != nil {
		return Result{}, err
	}
	d := &download{lpa: l, code: code, confirm: confirm, server: server}
	var res Result
	err = l.with(ctx, func(c *channel) error {
		d.card = c
		if err := d.run(ctx); err != nil {
			d.cancel(ctx, reasonOf(err))
			return err
		}
		res, err = d.report(ctx)
		return err
	})
	res.Metadata = d.metadata
	return res, err
}

func (d *download) run(ctx context.Context) error {
	response, err := d.authenticate(ctx)
	if err != nil {
		return err
	}
	offer, err := d.server.AuthenticateClient(ctx, AuthenticateClient{TransactionID: d.session, Response: response})
	if err != nil {
		return err
	}
	prepare, err := d.consent(offer)
	if err != nil {
		return err
	}
	prepared, err := d.card.object(ctx, "PrepareDownload", prepare, tagPrepare)
	if err != nil {
		return err
	}
	if !accepted(prepared) {
		return refusedDownload(prepared.Raw)
	}
	p, err := d.server.GetBoundProfilePackage(ctx, GetBoundProfilePackage{TransactionID: d.session, Response: prepared.Raw})
	if err != nil {
		return err
	}
	segments, err := d.segments(p)
	if err != nil {
		return err
	}
	return d.load(ctx, segments)
}

// authenticate has server and eUICC prove to each other who they are, and
// returns the eUICC's proof.
func (d *download) authenticate(ctx context.Context) ([]byte, error) {
	info, err := d.card.object(ctx, "GetEUICCInfo", bertlv.Append(nil, tagInfo1), tagInfo1)
	if err != nil {
		return nil, err
	}
	challenge, err := function10[rsp.GetEUICCChallengeResponse](ctx, d.card, "GetEUICCChallenge", &rsp.GetEUICCChallengeRequest{})
	if err != nil {
		return nil, err
	}
	a, err := d.server.InitiateAuthentication(ctx, InitiateAuthentication{
		Challenge: challenge.Challenge, Info1: info.Raw, SMDPAddress: d.code.Address})
	if err != nil {
		return nil, err
	}
	d.session = a.TransactionID
	if err := d.checkServer(a); err != nil {
		return nil, err
	}
	params, err := d.lpa.params(d.code.MatchingID)
	if err != nil {
		return nil, err
	}
	request := bertlv.Append(nil, tagAuthenticate, a.ServerSigned1, a.Signature1, a.CIKeyID, a.Certificate, params)
	r, err := d.card.object(ctx, "AuthenticateServer", request, tagAuthenticate)
	if err != nil {
		return nil, err
	}
	if !accepted(r) {
		// The eUICC has no session that could be cancelled: its refusal itself
		// ends the server's, which then has nothing to offer.
		d.ended = true
		_, _ = d.server.AuthenticateClient(ctx, AuthenticateClient{TransactionID: d.session, Response: r.Raw})
		return nil, refusedServer(r.Raw)
	}
	return r.Raw, nil
}

func refusedServer(raw []byte) error {
	r, err := rsp.Decode[rsp.AuthenticateServerResponse](raw)
	if err != nil {
		return &CardError{Function: "AuthenticateServer", Err: err}
	}
	return &CardError{Function: "AuthenticateServer", Reason: r.Error.Code.String()}
}

func refusedDownload(raw []byte) error {
	r, err := rsp.Decode[rsp.PrepareDownloadResponse](raw)
	if err != nil {
		return &CardError{Function: "PrepareDownload", Err: err}
	}
	return &CardError{Function: "PrepareDownload", Reason: r.Error.Code.String()}
}

// params is the context that the eUICC signs.
func (l *LPA) params(matchingID string) ([]byte, error) {
	p := rsp.CtxParams1{Device: rsp.DeviceInfo{TAC: l.TAC, IMEI: l.IMEI}}
	if p.Device.TAC == nil {
		p.Device.TAC = make([]byte, 4)
	}
	if matchingID != "" {
		p.MatchingID = &matchingID
	}
	b, err := rsp.Encode(&p)
	if err != nil {
		return nil, fmt.Errorf("es9: set TAC of 4 and IMEI of 8 bytes: %w", err)
	}
	return b, nil
}

// checkServer compares what the server says about itself with the activation
// code. That it says the truth is for the eUICC to find out.
func (d *download) checkServer(a Authentication) error {
	s, err := rsp.Decode[rsp.ServerSigned1](a.ServerSigned1)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if !bytes.Equal(s.TransactionID, a.TransactionID) {
		return fmt.Errorf("%w: two transaction IDs", ErrAnswer)
	}
	if !sameServer(s.ServerAddress, d.code.Address) {
		return fmt.Errorf("%w: it calls itself %q", ErrOtherServer, limited(s.ServerAddress))
	}
	if d.code.OID == "" {
		return nil
	}
	oid, err := registeredID(a.Certificate)
	if err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrAnswer, err)
	}
	if string(oid) != d.code.OID {
		return fmt.Errorf("%w: its object identifier is %s", ErrOtherServer, oid)
	}
	return nil
}

// consent shows the profile to the user and returns what the eUICC is to prepare.
func (d *download) consent(o Offer) ([]byte, error) {
	m, err := rsp.Decode[rsp.StoreMetadataRequest](o.Metadata)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	s, err := rsp.Decode[rsp.SMDPSigned2](o.SMDPSigned2)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if !bytes.Equal(o.TransactionID, d.session) || !bytes.Equal(s.TransactionID, d.session) {
		return nil, fmt.Errorf("%w: another session's offer", ErrAnswer)
	}
	d.metadata = metadataOf(m)
	d.metadata.NeedsCode = s.CCRequired
	code := ""
	if d.confirm != nil {
		if code, err = d.confirm(d.metadata); err != nil {
			return nil, &decision{err}
		}
	}
	var proof []byte
	if s.CCRequired {
		if code == "" {
			return nil, ErrNeedsCode
		}
		hash := rsp.HashCC(code, d.session)
		proof = bertlv.Append(nil, tagOctets, hash[:])
	}
	return bertlv.Append(nil, tagPrepare, o.SMDPSigned2, o.Signature2, proof, o.Certificate), nil
}

// decision is an error that the user's decision led to, told from one of ours.
type decision struct{ error }

func (d *decision) Unwrap() error { return d.error }

// segments cuts the package into what the eUICC is given at a time, after a look
// at whether it is the one that was agreed to.
func (d *download) segments(p Package) ([][]byte, error) {
	b, err := rsp.Decode[rsp.BoundProfilePackage](p.Bound)
	if err != nil {
		return nil, notCut(err)
	}
	if !bytes.Equal(p.TransactionID, d.session) || !bytes.Equal(b.SecureChannel.TransactionID, d.session) {
		return nil, fmt.Errorf("%w: another session's package", ErrAnswer)
	}
	shown, err := plainMetadata(b.StoreMetadata)
	if err != nil {
		return nil, notCut(err)
	}
	if !bytes.Equal(shown, d.metadata.DER) {
		return nil, ErrOtherProfile
	}
	list, err := b.Segments()
	if err != nil {
		return nil, notCut(err)
	}
	return list, nil
}

// notCut is the error of a package that has not the structure of one.
func notCut(err error) error { return &loadError{fmt.Errorf("%w: %w", ErrAnswer, err)} }

// macSize is what ends each segment (SGP.22 section 2.6.4).
const macSize = 8

// plainMetadata puts the metadata of a package together, which have MACs but are
// not encrypted.
func plainMetadata(segments [][]byte) ([]byte, error) {
	var b []byte
	for _, s := range segments {
		t, err := bertlv.Parse(s)
		if err != nil {
			return nil, err
		}
		if len(t.Value) < macSize {
			return nil, errors.New("a segment is shorter than its MAC")
		}
		b = append(b, t.Value[:len(t.Value)-macSize]...)
	}
	return b, nil
}

// loadError is trouble while the package is being loaded, or cut for it.
type loadError struct{ error }

func (e *loadError) Unwrap() error { return e.error }

// load gives the eUICC segment by segment until it tells the result: after the
// last one, or earlier where it has found an error.
func (d *download) load(ctx context.Context, segments [][]byte) error {
	const name = "LoadBoundProfilePackage"
	for _, s := range segments {
		answer, err := d.card.store(ctx, s)
		if err != nil {
			return &loadError{&CardError{Function: name, Err: err}}
		}
		if len(answer) == 0 {
			continue
		}
		if d.result, err = rsp.Decode[rsp.ProfileInstallationResult](answer); err != nil {
			return &loadError{&CardError{Function: name, Err: err}}
		}
		d.ended = true // the eUICC's session has ended with it
		return nil
	}
	return &loadError{&CardError{Function: name, Err: errors.New("no result after the last segment")}}
}

// report tells the SM-DP+ and the caller what the eUICC says.
func (d *download) report(ctx context.Context) (Result, error) {
	data := &d.result.Data
	server := d.server
	if !sameServer(data.Notification.Address, d.code.Address) {
		server = nil
	}
	unsent := d.lpa.deliver(ctx, d.card, server, d.result.Raw, &data.Notification)
	if f := data.Error; f != nil {
		return Result{Unsent: unsent}, &InstallationError{ICCID: d.metadata.ICCID, Step: f.Command.String(),
			Reason: f.Reason.String(), Code: int(f.Reason), Details: f.SIMAResponse, Receipt: d.result.Raw}
	}
	return Result{AID: data.Success.AID, Receipt: d.result.Raw, Unsent: unsent}, nil
}
