package es9

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/mno"
)

// Version is the protocol version that both sides send in X-Admin-Protocol.
// Devices of any version 2 or 3 are served; those of version 3 fall back.
const Version = "gsma/rsp/v2.5.0"

// The largest bodies in bytes. A bound profile package makes the answers large.
const (
	MaxRequest = 128 << 10
	MaxAnswer  = 4 << 20
)

// Options adjust a handler. Nil means the zero value.
type Options struct {
	// Log takes the errors of the back end that devices are not told. Nil means
	// none.
	Log *slog.Logger
}

// NewHandler serves ES9+ over b in both bindings: JSON at the five paths and
// ASN.1 at [PathASN1]. It is for a server with a DP-TLS certificate; devices
// have none of their own, the messages authenticate them.
//
// Refusals are HTTP 200 with their status code; 4xx means that the request was
// no ES9+ call. Notifications are answered by 204, or 503 where b did not take
// them. Bodies are bounded by [MaxRequest]; time limits are for the http.Server.
func NewHandler(b Backend, o *Options) http.Handler {
	h := &handler{backend: b, log: slog.New(slog.DiscardHandler)}
	if o != nil && o.Log != nil {
		h.log = o.Log
	}
	mux := http.NewServeMux()
	mux.Handle(PathInitiateAuthentication, function(h, (*initiateRequest).noun, b.InitiateAuthentication, initiateReply))
	mux.Handle(PathAuthenticateClient, function(h, (*authenticateClientRequest).noun, b.AuthenticateClient, authenticateClientReply))
	mux.Handle(PathGetBoundProfilePackage, function(h, (*packageRequest).noun, b.GetBoundProfilePackage, packageReply))
	mux.Handle(PathCancelSession, function(h, (*cancelRequest).noun,
		func(ctx context.Context, r CancelSession) (struct{}, error) {
			return struct{}{}, b.CancelSession(ctx, r)
		},
		func(struct{}) reply { return &emptyResponse{} }))
	mux.HandleFunc(PathHandleNotification, h.notification)
	mux.HandleFunc(PathASN1, h.asn1)
	return mux
}

// reply is a response the server fills in.
type reply interface{ setStatus(*mno.StatusError) }

type handler struct {
	backend Backend
	log     *slog.Logger
}

// function makes a handler of one JSON function: transport checks, strict
// decoding, run, one response.
func function[W, Q, A any](h *handler, read func(*W) (Q, error),
	run func(context.Context, Q) (A, error), write func(A) reply) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := receive(w, r, TypeJSON)
		if !ok {
			return
		}
		req := new(W)
		if err := strictjson.Decode(body, req, shape); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		answer, err := func() (a A, err error) {
			if err := versionOf(r); err != nil {
				return a, err
			}
			q, err := read(req)
			if err != nil {
				return a, err
			}
			return run(r.Context(), q)
		}()
		if err != nil {
			h.answer(w, &emptyResponse{}, h.refusal(r, err))
			return
		}
		h.answer(w, write(answer), nil)
	})
}

func initiateReply(a Authentication) reply {
	return &initiateResponse{TransactionID: transactionText(a.TransactionID), ServerSigned1: base64Of(a.ServerSigned1),
		Signature1: base64Of(a.Signature1), CIKeyID: base64Of(a.CIKeyID), Certificate: base64Of(a.Certificate)}
}

func authenticateClientReply(o Offer) reply {
	return &authenticateClientResponse{TransactionID: transactionText(o.TransactionID), Metadata: base64Of(o.Metadata),
		SMDPSigned2: base64Of(o.SMDPSigned2), Signature2: base64Of(o.Signature2), Certificate: base64Of(o.Certificate)}
}

func packageReply(p Package) reply {
	return &packageResponse{TransactionID: transactionText(p.TransactionID), Bound: base64Of(p.Bound)}
}

// notification has no response to say anything in: what is no notification is a
// bad request, and what was not taken is to come again.
func (h *handler) notification(w http.ResponseWriter, r *http.Request) {
	body, ok := receive(w, r, TypeJSON)
	if !ok {
		return
	}
	var req notificationRequest
	err := strictjson.Decode(body, &req, shape)
	if err == nil {
		err = versionOf(r)
	}
	var n []byte
	if err == nil {
		n, err = req.noun()
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	h.take(w, r, n)
}

func (h *handler) take(w http.ResponseWriter, r *http.Request, notification []byte) {
	if err := h.backend.HandleNotification(r.Context(), notification); err != nil {
		h.log.ErrorContext(r.Context(), "es9: notification not taken", "error", err)
		refuse(w, http.StatusServiceUnavailable, "not taken, send it again")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// versionOf refuses what speaks no version this server understands.
func versionOf(r *http.Request) error {
	v := r.Header.Get(headerProtocol)
	if strings.HasPrefix(v, "gsma/rsp/v2.") || strings.HasPrefix(v, "gsma/rsp/v3.") {
		return nil
	}
	return &mno.StatusError{Subject: mno.SubjectVersion, Reason: mno.ReasonUnsupported, Identifier: limited(v),
		Message: "send the header " + headerProtocol + ": " + Version}
}

// receive checks what HTTP says about the request and reads its body. It answers
// itself when it returns false.
func receive(w http.ResponseWriter, r *http.Request, mediaType string) ([]byte, bool) {
	w.Header().Set(headerProtocol, Version)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "use POST")
		return nil, false
	}
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != mediaType {
		refuse(w, http.StatusUnsupportedMediaType, "send Content-Type: "+mediaType)
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("body is larger than %d bytes", MaxRequest))
	case err != nil:
		refuse(w, http.StatusBadRequest, "the body was cut short")
	}
	return body, err == nil
}

func refuse(w http.ResponseWriter, code int, msg string) { http.Error(w, "es9: "+msg, code) }

// refusal is what the device is told of err.
func (h *handler) refusal(r *http.Request, err error) *mno.StatusError {
	var me *memberError
	if errors.As(err, &me) {
		return me.refusal()
	}
	var se *mno.StatusError
	if errors.As(err, &se) {
		return se
	}
	h.log.ErrorContext(r.Context(), "es9: back end failed", "path", r.URL.Path, "error", err)
	return &mno.StatusError{Subject: mno.SubjectSMDP, Reason: mno.ReasonExecution, Message: "failed inside, call again later"}
}

// answer writes the one response: the reply on success, a bare header on refusal.
func (h *handler) answer(w http.ResponseWriter, rep reply, se *mno.StatusError) {
	rep.setStatus(se)
	data, err := json.Marshal(rep)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the answer could not be encoded")
		return
	}
	w.Header().Set("Content-Type", TypeJSON+";charset=UTF-8")
	_, _ = w.Write(data) // a device that is gone repeats the call or begins anew
}
