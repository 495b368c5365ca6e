package esipa

import (
	"context"
	"errors"
	"net/http"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// The functions of an indirect download (SGP.32 sections 6.3.2.1 to 5). Objects
// are set next to each other as the SM-DP+ and the eUICC have made them: nothing
// that is signed is made anew.

func (h *handler) initiate(r *http.Request, body []byte) ([]byte, error) {
	m, err := rsp.Decode[rsp.InitiateAuthenticationRequestEsipa](body)
	if err != nil {
		return nil, err
	}
	a, err := h.begin(r.Context(), m)
	if err != nil {
		return failure(tagInitiate, tagFailure, byte(rsp.InitiateAuthenticationErrorEsipaOf(h.status(r, err)))), nil
	}
	return success(tagInitiate, transactionTLV(a.TransactionID), a.ServerSigned1, a.Signature1, a.CIKeyID, a.Certificate), nil
}

// begin goes on to the SM-DP+ with what the device gave. That the eIM knows the
// SM-DP+ and the eUICC's keys already is a saving that is not supported here.
func (h *handler) begin(ctx context.Context, m *rsp.InitiateAuthenticationRequestEsipa) (es9.Authentication, error) {
	if m.SMDPAddress == nil || m.Info1 == nil {
		return es9.Authentication{}, &mno.StatusError{Subject: "8.8.1", Reason: mno.ReasonRefused,
			Message: "send smdpAddress and euiccInfo1"}
	}
	return h.relay.InitiateAuthentication(ctx, es9.InitiateAuthentication{
		Challenge: m.Challenge, Info1: m.Info1, SMDPAddress: *m.SMDPAddress})
}

func (h *handler) authenticate(r *http.Request, body []byte) ([]byte, error) {
	m, err := rsp.Decode[rsp.AuthenticateClientRequestEsipa](body)
	if err != nil {
		return nil, err
	}
	o, err := h.relay.AuthenticateClient(r.Context(), es9.AuthenticateClient{TransactionID: m.TransactionID, Response: m.Response})
	if err != nil {
		return failure(tagAuthenticate, tagFailureClient, byte(rsp.AuthenticateClientErrorEsipaOf(h.status(r, err)))), nil
	}
	return success(tagAuthenticate, transactionTLV(o.TransactionID), o.Metadata, o.SMDPSigned2, o.Signature2, o.Certificate), nil
}

func (h *handler) getBound(r *http.Request, body []byte) ([]byte, error) {
	m, err := rsp.Decode[rsp.GetBoundProfilePackageRequestEsipa](body)
	if err != nil {
		return nil, err
	}
	p, err := h.relay.GetBoundProfilePackage(r.Context(), es9.GetBoundProfilePackage{TransactionID: m.TransactionID, Response: m.Response})
	if err != nil {
		return failure(tagGetBound, tagFailure, byte(rsp.GetBoundProfilePackageErrorEsipaOf(h.status(r, err)))), nil
	}
	return success(tagGetBound, transactionTLV(p.TransactionID), p.Bound), nil
}

func (h *handler) cancel(r *http.Request, body []byte) ([]byte, error) {
	m, err := rsp.Decode[rsp.CancelSessionRequestEsipa](body)
	if err != nil {
		return nil, err
	}
	err = h.relay.CancelSession(r.Context(), es9.CancelSession{TransactionID: m.TransactionID, Response: m.Response})
	if err != nil {
		return failure(tagCancel, tagFailure, byte(rsp.CancelSessionErrorOf(h.status(r, err)))), nil
	}
	return success(tagCancel), nil
}

// status is what the device is told of an SM-DP+'s refusal; the binding has no
// more room.
func (h *handler) status(r *http.Request, err error) rsp.Status {
	var se *mno.StatusError
	if errors.As(err, &se) {
		return rsp.Status{Subject: se.Subject, Reason: se.Reason}
	}
	h.log.ErrorContext(r.Context(), "esipa: relay failed", "error", err)
	return rsp.Status{}
}

// nowhere refuses what an eIM without a relay is asked.
type nowhere struct{}

var errNoRelay = errors.New("esipa: this eIM stands before no SM-DP+")

// noSession is what there is no session for, as none can have been begun.
func noSession() error {
	return &mno.StatusError{Subject: "8.10.1", Reason: mno.ReasonUnknown, Message: "this eIM stands before no SM-DP+"}
}

func (nowhere) InitiateAuthentication(context.Context, es9.InitiateAuthentication) (es9.Authentication, error) {
	return es9.Authentication{}, &mno.StatusError{Subject: "8.8.1", Reason: mno.ReasonRefused, Message: "go to the SM-DP+ directly"}
}

func (nowhere) AuthenticateClient(context.Context, es9.AuthenticateClient) (es9.Offer, error) {
	return es9.Offer{}, noSession()
}

func (nowhere) GetBoundProfilePackage(context.Context, es9.GetBoundProfilePackage) (es9.Package, error) {
	return es9.Package{}, noSession()
}

func (nowhere) CancelSession(context.Context, es9.CancelSession) error { return noSession() }

func (nowhere) HandleNotification(context.Context, []byte) error { return errNoRelay }

// The device's side.

func initiateRequest(r es9.InitiateAuthentication) []byte {
	return bertlv.Append(nil, tagInitiate, bertlv.Append(nil, 0x81, r.Challenge),
		bertlv.Append(nil, 0x83, []byte(r.SMDPAddress)), r.Info1)
}

func authenticationOf(b []byte) (es9.Authentication, error) {
	m, err := rsp.Decode[rsp.InitiateAuthenticationResponseEsipa](b)
	switch {
	case err != nil:
		return es9.Authentication{}, err
	case m.Error != nil:
		return es9.Authentication{}, statusError(*m.Error)
	}
	a := es9.Authentication{TransactionID: m.OK.TransactionID, ServerSigned1: m.OK.ServerSigned1, Certificate: m.OK.ServerCertificate}
	if a.TransactionID == nil {
		s, err := rsp.Decode[rsp.ServerSigned1](a.ServerSigned1)
		if err != nil {
			return es9.Authentication{}, err
		}
		a.TransactionID = s.TransactionID
	}
	if a.Signature1, err = rsp.EncodeSignature(m.OK.ServerSignature1); err != nil {
		return es9.Authentication{}, err
	}
	a.CIKeyID, err = rsp.EncodeKeyID(m.OK.CIKeyID)
	return a, err
}

var (
	errDiscovery  = errors.New("the answer is a discovery server's")
	errNoMetadata = errors.New("the eIM keeps the profile's metadata to itself")
)

func offerOf(b []byte) (es9.Offer, error) {
	m, err := rsp.Decode[rsp.AuthenticateClientResponseEsipa](b)
	switch {
	case err != nil:
		return es9.Offer{}, err
	case m.Error != nil:
		return es9.Offer{}, statusError(*m.Error)
	case m.DP == nil:
		return es9.Offer{}, errDiscovery
	case m.DP.Metadata == nil:
		return es9.Offer{}, errNoMetadata
	}
	o := es9.Offer{TransactionID: m.DP.TransactionID, Metadata: m.DP.Metadata, SMDPSigned2: m.DP.SMDPSigned2, Certificate: m.DP.SMDPCertificate}
	if o.TransactionID == nil {
		s, err := rsp.Decode[rsp.SMDPSigned2](o.SMDPSigned2)
		if err != nil {
			return es9.Offer{}, err
		}
		o.TransactionID = s.TransactionID
	}
	o.Signature2, err = rsp.EncodeSignature(m.DP.SMDPSignature2)
	return o, err
}

func boundOf(b []byte) (es9.Package, error) {
	m, err := rsp.Decode[rsp.GetBoundProfilePackageResponseEsipa](b)
	switch {
	case err != nil:
		return es9.Package{}, err
	case m.Error != nil:
		return es9.Package{}, statusError(*m.Error)
	}
	p := es9.Package{TransactionID: m.OK.TransactionID, Bound: m.OK.Package}
	if p.TransactionID == nil {
		inner, err := rsp.Decode[rsp.BoundProfilePackage](p.Bound)
		if err != nil {
			return es9.Package{}, err
		}
		p.TransactionID = inner.SecureChannel.TransactionID
	}
	return p, nil
}

func cancelledOf(b []byte) (struct{}, error) {
	m, err := rsp.Decode[rsp.CancelSessionResponseEsipa](b)
	switch {
	case err != nil:
		return struct{}{}, err
	case m.Error != nil:
		return struct{}{}, statusError(*m.Error)
	}
	return struct{}{}, nil
}
