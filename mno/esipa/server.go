package esipa

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// Options adjust a handler. Nil means the zero value.
type Options struct {
	// Relay is where devices' indirect downloads and notifications go on to, such
	// as a [Relay]. Nil refuses them.
	Relay es9.Backend

	// Log takes the errors of the back ends that devices are not told. Nil means
	// none.
	Log *slog.Logger
}

// NewHandler serves ESipa over b at [PathASN1]. It is for a server whose
// certificate the eUICCs' configuration of the eIM names; devices have none of
// their own.
//
// Refusals are HTTP 200 with an error code; 4xx means that the request was no
// ESipa call. Notifications are answered by 204, by 503 where they were not taken,
// and by 501 where there is no relay. Bodies are bounded by [MaxRequest]; time
// limits are for the http.Server.
func NewHandler(b Backend, o *Options) http.Handler {
	h := &handler{backend: b, relay: nowhere{}, log: slog.New(slog.DiscardHandler)}
	if o != nil && o.Relay != nil {
		h.relay = o.Relay
	}
	if o != nil && o.Log != nil {
		h.log = o.Log
	}
	mux := http.NewServeMux()
	mux.Handle(PathASN1, h)
	return mux
}

type handler struct {
	backend Backend
	relay   es9.Backend
	log     *slog.Logger
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := receive(w, r)
	if !ok {
		return
	}
	t, err := bertlv.Parse(body)
	if err == nil {
		err = versionOf(r)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, limited(err.Error()))
		return
	}
	if t.Tag == tagNotify {
		h.notification(w, r, body)
		return
	}
	answer, err := h.answer(r, t)
	if err != nil {
		refuse(w, http.StatusBadRequest, limited(err.Error()))
		return
	}
	w.Header().Set("Content-Type", TypeASN1)
	_, _ = w.Write(answer) // a device that is gone asks again
}

var errNoFunction = errors.New("no function of ESipa has this tag")

// answer has a back end carry out one of the functions with an answer. Its error
// says what is wrong with the request.
func (h *handler) answer(r *http.Request, t bertlv.TLV) ([]byte, error) {
	switch t.Tag {
	case tagGetPackage:
		return h.getPackage(r, t)
	case tagProvideResult:
		return h.provideResult(r, t)
	case tagInitiate:
		return h.initiate(r, t.Raw)
	case tagAuthenticate:
		return h.authenticate(r, t.Raw)
	case tagGetBound:
		return h.getBound(r, t.Raw)
	case tagCancel:
		return h.cancel(r, t.Raw)
	}
	return nil, errNoFunction
}

func (h *handler) getPackage(r *http.Request, t bertlv.TLV) ([]byte, error) {
	refused := func(code byte) ([]byte, error) { return failure(tagGetPackage, tagInteger, code), nil }
	id, err := t.Find(tagEID)
	if err != nil {
		return refused(codeMissingEID)
	}
	if _, err := eidOf(id); err != nil {
		return refused(byte(rsp.EIMInvalidEID))
	}
	m, err := rsp.Decode[rsp.GetEIMPackageRequest](t.Raw)
	if err != nil {
		return nil, err
	}
	b, err := h.backend.GetEIMPackage(r.Context(), Poll{EID: m.EID.String(), StateChanged: m.NotifyChange, Cause: m.Cause})
	if errors.Is(err, ErrNoPackage) {
		return refused(byte(rsp.EIMNoPackage))
	}
	if err != nil {
		return refused(h.code(r, err))
	}
	p, err := bertlv.Parse(b)
	if err == nil && !isPackage(p.Tag) {
		err = fmt.Errorf("esipa: the package has the tag %v", p.Tag)
	}
	if err != nil {
		return refused(h.code(r, err))
	}
	return bertlv.Append(nil, tagGetPackage, b), nil
}

func (h *handler) provideResult(r *http.Request, t bertlv.TLV) ([]byte, error) {
	refused := func(code byte) ([]byte, error) { return failure(tagProvideResult, tagInteger, code), nil }
	result, err := resultOf(t)
	if errors.Is(err, errEID) {
		return refused(byte(rsp.EIMInvalidEID))
	}
	if err != nil {
		return nil, err
	}
	numbers, err := h.backend.ProvideEIMPackageResult(r.Context(), result)
	if err != nil {
		return refused(h.code(r, err))
	}
	// What does not fit is acknowledged when it is provided again.
	numbers = numbers[:min(len(numbers), rsp.MaxNotifications)]
	answer, err := rsp.Encode(&rsp.ProvideEIMPackageResultResponse{Acknowledged: numbers})
	if err != nil {
		return refused(h.code(r, err))
	}
	return answer, nil
}

// resultOf reads a ProvideEimPackageResult. What came of the package is left for
// the eIM to understand: it may be signed, and it may be newer than this.
func resultOf(t bertlv.TLV) (Result, error) {
	members, err := t.Children()
	if err != nil {
		return Result{}, err
	}
	var r Result
	if len(members) > 0 && members[0].Tag == tagEID {
		if r.EID, err = eidOf(members[0]); err != nil {
			return Result{}, err
		}
		members = members[1:]
	}
	if len(members) == 0 || !isResult(members[0].Tag) {
		return Result{}, errors.New("no result of an eIM package in the message")
	}
	r.Object = members[0].Raw
	return r, nil
}

var errEID = errors.New("no EID")

func eidOf(t bertlv.TLV) (string, error) {
	id, err := rsp.ParseEID(fmt.Sprintf("%x", t.Value))
	if err != nil {
		return "", errEID
	}
	return id.String(), nil
}

// code is what the device is told of an error of the eIM.
func (h *handler) code(r *http.Request, err error) byte {
	switch {
	case errors.Is(err, ErrUnknownEID):
		return byte(rsp.EIMEIDNotFound)
	case errors.Is(err, ErrInvalidEID):
		return byte(rsp.EIMInvalidEID)
	}
	h.log.ErrorContext(r.Context(), "esipa: eIM failed", "error", err)
	return codeUndefined
}

// notification has no answer to say anything in: what is no notification is a bad
// request, and what was not taken is to come again.
func (h *handler) notification(w http.ResponseWriter, r *http.Request, body []byte) {
	m, err := rsp.Decode[rsp.HandleNotificationEsipa](body)
	if err != nil {
		refuse(w, http.StatusBadRequest, limited(err.Error()))
		return
	}
	if m.Result == nil {
		err = h.relay.HandleNotification(r.Context(), m.Notification)
	} else {
		err = h.resultOnly(r, m.Result)
	}
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, errNoRelay):
		refuse(w, http.StatusNotImplemented, "send notifications to their SM-DP+")
	case errors.Is(err, ErrUnknownEID), errors.Is(err, ErrInvalidEID):
		refuse(w, http.StatusBadRequest, limited(err.Error()))
	default:
		h.log.ErrorContext(r.Context(), "esipa: notification not taken", "error", err)
		refuse(w, http.StatusServiceUnavailable, "not taken, send it again")
	}
}

// resultOnly takes a result whose sender wants no answer.
func (h *handler) resultOnly(r *http.Request, m *rsp.ProvideEIMPackageResult) error {
	result := Result{Object: m.Result.Raw}
	if m.EID != nil {
		result.EID = m.EID.String()
	}
	_, err := h.backend.ProvideEIMPackageResult(r.Context(), result)
	return err
}

// versionOf refuses what speaks no version this server understands.
func versionOf(r *http.Request) error {
	v := r.Header.Get(headerProtocol)
	for _, known := range []string{"gsma/rsp/v1.", "gsma/rsp/v2.", "gsma/rsp/v3."} {
		if strings.HasPrefix(v, known) {
			return nil
		}
	}
	return &mno.StatusError{Subject: mno.SubjectVersion, Reason: mno.ReasonUnsupported, Identifier: limited(v),
		Message: "send the header " + headerProtocol + ": " + Version}
}

// receive checks what HTTP says about the request and reads its body. It answers
// itself when it returns false.
func receive(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	w.Header().Set(headerProtocol, Version)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "use POST")
		return nil, false
	}
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != TypeASN1 {
		refuse(w, http.StatusUnsupportedMediaType, "send Content-Type: "+TypeASN1)
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

func refuse(w http.ResponseWriter, code int, msg string) { http.Error(w, "esipa: "+msg, code) }
