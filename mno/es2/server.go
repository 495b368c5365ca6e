package es2

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/mno"
)

// shape bounds a request, whose size [MaxBody] bounds. Members that are not
// known are skipped, as SGP.22 section 6.5.1 wants.
var shape = strictjson.Limits{Depth: 8, Names: 256}

// Options adjust a handler. Nil means the zero value.
type Options struct {
	// AllowNoClientCertificate lets requests in that came without a verified
	// client certificate: for a handler behind a proxy that ends mutual TLS, and
	// for tests. By default they get HTTP 403.
	AllowNoClientCertificate bool

	// Authorize decides whether the TLS peer of r may call as requester. An
	// error refuses the call; nothing of it but a [*mno.StatusError] is told to
	// the caller. Nil lets every peer with a verified certificate use any name.
	Authorize func(r *http.Request, requester string) error

	// Log takes the errors of the back end that callers are not told. Nil means
	// none.
	Log *slog.Logger
}

// NewHandler serves ES2+ for an SM-DP+: DownloadOrder, ConfirmOrder, CancelOrder
// and ReleaseProfile over b. Refusals are HTTP 200 with their status code; 4xx
// and 5xx mean that the request was no ES2+ call. Bodies are bounded by
// [MaxBody]; time limits are for the http.Server to set.
func NewHandler(b Backend, o *Options) http.Handler {
	h := newHandler(o)
	mux := http.NewServeMux()
	mux.Handle(PathDownloadOrder, function(h, func(ctx context.Context, call Call, r *downloadOrderRequest) (reply, error) {
		order, err := r.order()
		if err != nil {
			return nil, err
		}
		iccid, err := b.DownloadOrder(ctx, call, order)
		return &downloadOrderResponse{ICCID: iccid}, err
	}))
	mux.Handle(PathConfirmOrder, function(h, func(ctx context.Context, call Call, r *confirmOrderRequest) (reply, error) {
		order, err := r.order()
		if err != nil {
			return nil, err
		}
		rec, err := b.ConfirmOrder(ctx, call, order)
		return &confirmOrderResponse{deviceMembers: membersOf(rec.Device), MatchingID: &rec.MatchingID, SMDPAddress: rec.SMDPAddress}, err
	}))
	mux.Handle(PathCancelOrder, function(h, func(ctx context.Context, call Call, r *cancelOrderRequest) (reply, error) {
		order, err := r.order()
		if err != nil {
			return nil, err
		}
		return &emptyResponse{}, b.CancelOrder(ctx, call, order)
	}))
	mux.Handle(PathReleaseProfile, function(h, func(ctx context.Context, call Call, r *releaseProfileRequest) (reply, error) {
		iccid, err := iccidOf(r.ICCID)
		if err != nil {
			return nil, err
		}
		return &emptyResponse{}, b.ReleaseProfile(ctx, call, iccid)
	}))
	return mux
}

// NewProgressHandler serves the other direction of ES2+ for an operator:
// HandleDownloadProgressInfo, and HandleNotification of version 3. take must have stored the news when it returns
// nil; the SM-DP+ then gets 204. A [*mno.StatusError] that is not retryable is
// told to the SM-DP+ as it is, any other error is HTTP 503, so that it calls
// again.
func NewProgressHandler(take func(context.Context, mno.Progress) error, o *Options) http.Handler {
	h := newHandler(o)
	mux := http.NewServeMux()
	h.v3 = true
	progress := function(h, func(ctx context.Context, _ Call, r *progressRequest) (reply, error) {
		p, err := r.progress()
		if err != nil {
			return nil, err
		}
		err = take(ctx, p)
		var se *mno.StatusError
		if err != nil && (!errors.As(err, &se) || se.Retryable()) {
			return nil, &unavailableError{err}
		}
		return nil, err
	})
	mux.Handle(PathHandleDownloadProgressInfo, progress)
	mux.Handle(PathHandleNotification, progress)
	return mux
}

// reply is a response the server fills in.
type reply interface{ setStatus(*mno.StatusError) }

// unavailableError asks for HTTP 503.
type unavailableError struct{ error }

func (e *unavailableError) Unwrap() error { return e.error }

type handler struct {
	Options
	log *slog.Logger
	v3  bool // version 3 has the same functions
}

func newHandler(o *Options) *handler {
	h := &handler{log: slog.New(slog.DiscardHandler)}
	if o != nil {
		h.Options = *o
	}
	if h.Log != nil {
		h.log = h.Log
	}
	return h
}

// function makes a handler of one ES2+ function: transport checks, strict
// decoding, authorization, run, one response. A nil reply without error is 204.
func function[T any, R interface {
	*T
	request
}](h *handler, run func(context.Context, Call, R) (reply, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(headerProtocol, Version)
		body, ok := h.receive(w, r)
		if !ok {
			return
		}
		req := R(new(T))
		if err := strictjson.Decode(body, req, shape); err != nil {
			http.Error(w, "es2: "+err.Error(), http.StatusBadRequest)
			return
		}
		rep, err := h.run(r, req, func(call Call) (reply, error) { return run(r.Context(), call, req) })
		h.answer(w, r, rep, err)
	})
}

func (h *handler) run(r *http.Request, req request, f func(Call) (reply, error)) (reply, error) {
	if v := r.Header.Get(headerProtocol); !strings.HasPrefix(v, "gsma/rsp/v2.") && !(h.v3 && strings.HasPrefix(v, "gsma/rsp/v3.")) {
		return nil, &mno.StatusError{Subject: mno.SubjectVersion, Reason: mno.ReasonUnsupported, Identifier: limited(v),
			Message: "send the header " + headerProtocol + ": " + Version}
	}
	call, err := req.call()
	if err != nil {
		return nil, err
	}
	if h.Authorize != nil {
		if err := h.Authorize(r, call.Requester); err != nil {
			var se *mno.StatusError
			if errors.As(err, &se) {
				return nil, se
			}
			h.log.WarnContext(r.Context(), "es2: requester refused", "requester", call.Requester, "error", err)
			return nil, &mno.StatusError{Subject: mno.SubjectRequester, Reason: mno.ReasonNotAllowed,
				Message: "this client certificate may not call under this functionRequesterIdentifier"}
		}
	}
	return f(call)
}

// receive checks what HTTP and TLS say about the request and reads its body. It
// answers itself when it returns false.
func (h *handler) receive(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	refuse := func(code int, msg string) ([]byte, bool) {
		http.Error(w, "es2: "+msg, code)
		return nil, false
	}
	if !h.AllowNoClientCertificate && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return refuse(http.StatusForbidden, "ES2+ needs mutual TLS: present a client certificate")
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, "use POST")
	}
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != contentType {
		return refuse(http.StatusUnsupportedMediaType, "send Content-Type: "+contentType)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, errTooLarge.Error())
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "the body was cut short")
	}
	return body, true
}

// answer writes the one response: the reply on success, a bare header on
// refusal, 204 where there is no reply.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, rep reply, err error) {
	var busy *unavailableError
	if errors.As(err, &busy) {
		h.log.ErrorContext(r.Context(), "es2: news not taken", "path", r.URL.Path, "error", err)
		http.Error(w, "es2: not taken, call again", http.StatusServiceUnavailable)
		return
	}
	var se *mno.StatusError
	if err != nil && !errors.As(err, &se) {
		h.log.ErrorContext(r.Context(), "es2: back end failed", "path", r.URL.Path, "error", err)
		se = &mno.StatusError{Subject: mno.SubjectSMDP, Reason: mno.ReasonExecution, Message: "failed inside, call again later"}
	}
	if err == nil && rep == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err != nil {
		rep = &emptyResponse{}
	}
	rep.setStatus(se)
	data, err := json.Marshal(rep)
	if err != nil {
		http.Error(w, "es2: the answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType+";charset=UTF-8")
	_, _ = w.Write(data) // a peer that is gone repeats the call
}
