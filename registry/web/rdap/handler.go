package rdap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// ServeHTTP answers one look-up.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Access-Control-Allow-Origin", "*") // RFC 7480 section 5.6; cookies mean nothing here
	head.Set("Cache-Control", "no-store")        // until it is known to be for everybody
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		head.Set("Access-Control-Allow-Methods", "GET, HEAD")
		head.Set("Access-Control-Allow-Headers", "Authorization")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		head.Set("Allow", "GET, HEAD, OPTIONS")
		h.fail(w, r, http.StatusMethodNotAllowed, "Use GET or HEAD: this service only tells.")
		return
	}
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/rdap/"), "/")
	switch {
	case kind == "help" && id == "":
		h.public(w)
		h.answer(w, r, http.StatusOK, h.help())
	case kind == "device" || kind == extension+"_device":
		h.device(w, r, id)
	default:
		h.fail(w, r, http.StatusBadRequest, "This service knows /rdap/device/{id} and /rdap/help.")
	}
}

// device decides whether there is an answer for this caller at all.
func (h *Handler) device(w http.ResponseWriter, r *http.Request, id string) {
	var actor registry.Actor
	known := false
	if h.cfg.Actor != nil {
		actor, known = h.cfg.Actor(r)
	}
	if !known {
		actor = registry.Actor{}
	}
	if h.cfg.Limit != nil {
		if ok, after := h.cfg.Limit(r, actor); !ok {
			w.Header().Set("Retry-After", seconds(after))
			h.fail(w, r, http.StatusTooManyRequests, "Too many look-ups: wait as long as Retry-After says.")
			return
		}
	}
	if !known && !h.cfg.Public {
		w.Header().Set("WWW-Authenticate", `Bearer realm="rdap"`)
		h.fail(w, r, http.StatusUnauthorized, "Say who you are: this registry answers only those it knows.")
		return
	}
	device, err := h.parse(id)
	if err != nil {
		h.fail(w, r, http.StatusBadRequest, "The device ID cannot be read: it is an EID, an ICCID or a decimal number.")
		return
	}
	h.find(w, r, actor, known, device)
}

// find looks the device up as the caller first, so that the engine alone says who
// may see all of it.
func (h *Handler) find(w http.ResponseWriter, r *http.Request, actor registry.Actor, known bool, id eid.ID) {
	var d *registry.Device
	err := error(registry.ErrNotFound)
	if known {
		d, err = h.cfg.Engine.Device(r.Context(), actor, id)
	}
	redacted := false
	if errors.Is(err, registry.ErrNotFound) && h.cfg.Public {
		redacted = true
		d, err = h.cfg.Engine.Device(r.Context(), operator(), id)
	}
	var o *object
	if err == nil {
		o, err = h.object(r.Context(), d, redacted)
	}
	switch {
	case errors.Is(err, registry.ErrNotFound):
		h.fail(w, r, http.StatusNotFound, "No such device is known here, or it is not yours to see.")
	case err != nil:
		if r.Context().Err() == nil { // otherwise whoever asked has left, which anybody can do
			h.cfg.Logger.ErrorContext(r.Context(), "rdap: look-up failed", "device", id.String(), "error", err)
		}
		h.fail(w, r, http.StatusInternalServerError, "The registry failed: try again later.")
	default:
		if !known {
			h.public(w)
		}
		h.answer(w, r, http.StatusOK, o)
	}
}

// operator reads what callers may see without being of the registry. It changes
// nothing and appears nowhere.
func operator() registry.Actor {
	return registry.Actor{Account: "rdap", Role: registry.RoleOperator}
}

const longestID = 128 // bytes of a device ID with a tag

// parse reads a device ID or a handle.
func (h *Handler) parse(text string) (eid.ID, error) {
	if len(text) > longestID {
		return eid.ID{}, fmt.Errorf("rdap: longer than %d bytes", longestID)
	}
	if i := len(text) - len(h.cfg.Tag) - 1; i > 0 && text[i] == '-' && strings.EqualFold(text[i+1:], h.cfg.Tag) {
		text = text[:i]
	}
	return eid.Parse(text)
}

// public lets everybody keep the answer for a while; a proxy must not give it to
// those who say who they are.
func (h *Handler) public(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "public, max-age="+seconds(h.cfg.MaxAge))
	w.Header().Set("Vary", "Authorization")
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, code int, description string) {
	h.answer(w, r, code, &failure{
		Conformance: []string{"rdap_level_0"}, Notices: h.cfg.Notices,
		Code: code, Title: http.StatusText(code), Description: []string{description},
	})
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // all that gets here is texts and times
		h.cfg.Logger.ErrorContext(r.Context(), "rdap: cannot write answer", "error", err)
		code, body = http.StatusInternalServerError, []byte(`{"rdapConformance":["rdap_level_0"],"errorCode":500}`)
	}
	body = append(body, '\n')
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever asked is gone
	}
}

// seconds rounds up: who waits that long does not come too early.
func seconds(d time.Duration) string {
	d = max(d, 0)
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return strconv.FormatInt(s, 10)
}
