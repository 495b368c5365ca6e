package es9

import (
	"errors"
	"net/http"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
)

// The ASN.1 binding (SGP.22 section 6.6). It is read through the messages of
// package rsp, and written by setting the objects next to each other: nothing
// that is signed is made anew.

func wrapped(tag bertlv.Tag, parts ...[]byte) []byte {
	return bertlv.Append(nil, tagWrapper, bertlv.Append(nil, tag, parts...))
}

// success and failure are the two alternatives of every answer.
func success(tag bertlv.Tag, parts ...[]byte) []byte {
	return wrapped(tag, bertlv.Append(nil, tagSuccess, parts...))
}

func failure(tag bertlv.Tag, code byte) []byte {
	return wrapped(tag, bertlv.Append(nil, tagFailure, []byte{code}))
}

func transactionTLV(id []byte) []byte { return bertlv.Append(nil, tagTransaction, id) }

func (h *handler) asn1(w http.ResponseWriter, r *http.Request) {
	body, ok := receive(w, r, TypeASN1)
	if !ok {
		return
	}
	req, err := rsp.Decode[rsp.ES9Request](body)
	if err == nil {
		err = versionOf(r)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, limited(err.Error()))
		return
	}
	if n := req.HandleNotification; n != nil {
		h.notificationASN1(w, r, n)
		return
	}
	answer, err := h.runASN1(r, req)
	if err != nil {
		h.log.ErrorContext(r.Context(), "es9: answer not encoded", "error", err)
		refuse(w, http.StatusInternalServerError, "failed inside")
		return
	}
	w.Header().Set("Content-Type", TypeASN1)
	_, _ = w.Write(answer) // as in JSON
}

func (h *handler) notificationASN1(w http.ResponseWriter, r *http.Request, n *rsp.HandleNotification) {
	b, err := n.Notification.Encode()
	if err != nil {
		refuse(w, http.StatusBadRequest, limited(err.Error()))
		return
	}
	h.take(w, r, b)
}

// runASN1 has the back end carry out one of the four functions with an answer.
func (h *handler) runASN1(r *http.Request, req *rsp.ES9Request) ([]byte, error) {
	ctx, b := r.Context(), h.backend
	switch {
	case req.InitiateAuthentication != nil:
		m := req.InitiateAuthentication
		a, err := b.InitiateAuthentication(ctx, InitiateAuthentication{Challenge: m.Challenge, Info1: m.Info1.Raw, SMDPAddress: m.SMDPAddress})
		if err != nil {
			return failure(tagInitiateES9, byte(rsp.InitiateAuthenticationErrorOf(h.codes(r, err)))), nil
		}
		return success(tagInitiateES9, transactionTLV(a.TransactionID), a.ServerSigned1, a.Signature1, a.CIKeyID, a.Certificate), nil
	case req.AuthenticateClient != nil:
		m := req.AuthenticateClient
		o, err := b.AuthenticateClient(ctx, AuthenticateClient{TransactionID: m.TransactionID, Response: m.Response.Raw})
		if err != nil {
			return failure(tagAuthClientES9, byte(rsp.AuthenticateClientErrorOf(h.codes(r, err)))), nil
		}
		prepare := bertlv.Append(nil, tagPrepare, o.SMDPSigned2, o.Signature2, o.Certificate)
		return success(tagAuthClientES9, transactionTLV(o.TransactionID), o.Metadata, prepare), nil
	case req.GetBoundProfilePackage != nil:
		m := req.GetBoundProfilePackage
		p, err := b.GetBoundProfilePackage(ctx, GetBoundProfilePackage{TransactionID: m.TransactionID, Response: m.Response.Raw})
		if err != nil {
			return failure(tagPackageES9, byte(rsp.GetBoundProfilePackageErrorOf(h.codes(r, err)))), nil
		}
		return success(tagPackageES9, transactionTLV(p.TransactionID), p.Bound), nil
	case req.CancelSession != nil:
		return h.cancelASN1(r, req.CancelSession)
	}
	return nil, errors.New("es9: no function in the request")
}

func (h *handler) cancelASN1(r *http.Request, m *rsp.CancelSessionES9Request) ([]byte, error) {
	response, err := rsp.Encode(&m.Response) // its own tag may be left out; the signed part stays as it was
	if err != nil {
		return nil, err
	}
	err = h.backend.CancelSession(r.Context(), CancelSession{TransactionID: m.TransactionID, Response: response})
	if err != nil {
		return failure(tagCancel, byte(rsp.CancelSessionErrorOf(h.codes(r, err)))), nil
	}
	return success(tagCancel), nil
}

// codes is what the device is told of err; the ASN.1 binding has no more room.
func (h *handler) codes(r *http.Request, err error) rsp.Status {
	se := h.refusal(r, err)
	return rsp.Status{Subject: se.Subject, Reason: se.Reason}
}

// The device's side.

func initiateASN1(r InitiateAuthentication) []byte {
	return wrapped(tagInitiateES9, bertlv.Append(nil, 0x81, r.Challenge), bertlv.Append(nil, 0x83, []byte(r.SMDPAddress)), r.Info1)
}

func authenticateClientASN1(r AuthenticateClient) []byte {
	return wrapped(tagAuthClientES9, transactionTLV(r.TransactionID), r.Response)
}

func packageASN1(r GetBoundProfilePackage) []byte {
	return wrapped(tagPackageES9, transactionTLV(r.TransactionID), r.Response)
}

func cancelRequestASN1(r CancelSession) []byte {
	return wrapped(tagCancel, transactionTLV(r.TransactionID), bertlv.Append(nil, 0xA1, r.Response))
}

func notificationRequestASN1(n []byte) []byte {
	return wrapped(tagNotifyES9, bertlv.Append(nil, tagSuccess, n))
}

var errOtherAnswer = errors.New("the answer is to another function")

// statusError is a refusal of the ASN.1 binding in the words of all the rest.
func statusError(code interface{ Status() rsp.Status }, name string) error {
	s := code.Status()
	return &mno.StatusError{Subject: s.Subject, Reason: s.Reason, Message: name}
}

func authenticationOf(r *rsp.ES9Response) (Authentication, error) {
	m := r.InitiateAuthentication
	switch {
	case m == nil:
		return Authentication{}, errOtherAnswer
	case m.Error != nil:
		return Authentication{}, statusError(m.Error, m.Error.String())
	}
	signature, err := rsp.EncodeSignature(m.OK.ServerSignature1)
	if err != nil {
		return Authentication{}, err
	}
	key, err := rsp.EncodeKeyID(m.OK.CIKeyID)
	return Authentication{TransactionID: m.OK.TransactionID, ServerSigned1: m.OK.ServerSigned1.Raw,
		Signature1: signature, CIKeyID: key, Certificate: m.OK.ServerCertificate}, err
}

func offerOf(r *rsp.ES9Response) (Offer, error) {
	m := r.AuthenticateClient
	switch {
	case m == nil:
		return Offer{}, errOtherAnswer
	case m.Error != nil:
		return Offer{}, statusError(m.Error, m.Error.String())
	}
	signature, err := rsp.EncodeSignature(m.OK.Prepare.Signature2)
	return Offer{TransactionID: m.OK.TransactionID, Metadata: m.OK.Metadata.Raw, SMDPSigned2: m.OK.Prepare.Signed2.Raw,
		Signature2: signature, Certificate: m.OK.Prepare.Certificate}, err
}

func packageOf(r *rsp.ES9Response) (Package, error) {
	m := r.GetBoundProfilePackage
	switch {
	case m == nil:
		return Package{}, errOtherAnswer
	case m.Error != nil:
		return Package{}, statusError(m.Error, m.Error.String())
	}
	return Package{TransactionID: m.OK.TransactionID, Bound: m.OK.Package.Raw}, nil
}

func cancelledOf(r *rsp.ES9Response) (struct{}, error) {
	m := r.CancelSession
	switch {
	case m == nil:
		return struct{}{}, errOtherAnswer
	case m.Error != nil:
		return struct{}{}, statusError(m.Error, m.Error.String())
	}
	return struct{}{}, nil
}
