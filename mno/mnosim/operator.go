package mnosim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// Paths of the device seam.
const (
	PathDownload  = "/iotregistry/v1/download"
	PathInstalled = "/iotregistry/v1/installed"
)

const (
	maxRequest = 8 << 10           // bytes of a device's request
	maxAnswer  = 2 * mno.MaxSealed // bytes of an answer: base64 and the rest
	maxMessage = 200               // bytes of a device's failure text
)

// Config are the settings of an [Operator]. The zero value works.
type Config struct {
	// Address is the name in receipts; empty means "smdp.example".
	Address string

	// Notify takes news for the registry, usually the HandleDownloadProgressInfo
	// method of an es2.Client. It runs within the device's report, which is
	// acknowledged only when Notify returned nil: what the registry did not take,
	// the device says again. Nil means that nobody wants to know.
	Notify func(ctx context.Context, p mno.Progress) error

	// NotifyDownloads makes Notify also run for every download (point 3).
	NotifyDownloads bool

	// ES2 adjusts the ES2+ handler; nil demands a verified client certificate.
	ES2 *es2.Options

	// SMDP sets everything else about the order book: store, numbering, types.
	// Its Address, Notify and NotifyDownloads are overridden by the ones above.
	SMDP smdp.Config

	// Log takes what goes wrong inside. Nil means none.
	Log *slog.Logger
}

// Operator is an SM-DP+ with an ES2+ side and a device side. It is safe for
// concurrent use and starts no goroutines.
type Operator struct {
	engine *smdp.Engine
	es2    http.Handler
	device http.Handler
	log    *slog.Logger
	faults faults
}

// New returns an operator; the error names the setting that is wrong.
func New(cfg Config) (*Operator, error) {
	if cfg.Address == "" {
		cfg.Address = "smdp.example"
	}
	cfg.SMDP.Address, cfg.SMDP.NotifyDownloads, cfg.SMDP.Notify = cfg.Address, cfg.NotifyDownloads, nil
	if cfg.Notify != nil {
		cfg.SMDP.Notify = func(ctx context.Context, _ string, p mno.Progress) error { return cfg.Notify(ctx, p) }
	}
	engine, err := smdp.New(cfg.SMDP)
	if err != nil {
		return nil, err
	}
	o := &Operator{engine: engine, log: cfg.Log}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathDownload, o.download)
	mux.HandleFunc("POST "+PathInstalled, o.installed)
	o.es2, o.device = o.faults.wrap(es2.NewHandler(engine, cfg.ES2)), o.faults.wrap(mux)
	return o, nil
}

// Engine returns the order book, to look into.
func (o *Operator) Engine() *smdp.Engine { return o.engine }

// Handler serves ES2+ to the registry. Mount it on a server that asks for and
// verifies client certificates.
func (o *Operator) Handler() http.Handler { return o.es2 }

// DeviceHandler serves the device seam described in the package comment.
func (o *Operator) DeviceHandler() http.Handler { return o.device }

// Inject makes the next n requests, of either handler, meet fault f; 0 ends it.
// Faults of different kinds are used up one after the other, in the order of
// their constants. d is the length of a [Delay].
func (o *Operator) Inject(f Fault, n int, d time.Duration) { o.faults.set(f, n, d) }

type downloadRequest struct {
	DeviceID       string `json:"deviceId"`
	AfterProfileID uint64 `json:"afterProfileId,omitempty"`
}

type downloadAnswer struct {
	ICCID      string `json:"iccid"`
	MatchingID string `json:"matchingId"`
	ProfileID  uint64 `json:"profileId"`
	Sealed     []byte `json:"sealed"`
}

type installedRequest struct {
	DeviceID  string `json:"deviceId"`
	ProfileID uint64 `json:"profileId"`
	OK        bool   `json:"ok"`
	Error     string `json:"error,omitempty"`
}

func (o *Operator) download(w http.ResponseWriter, r *http.Request) {
	var req downloadRequest
	device, ok := read(w, r, &req, &req.DeviceID)
	if !ok {
		return
	}
	p, err := o.engine.Deliver(r.Context(), device, req.AfterProfileID)
	switch {
	case errors.Is(err, smdp.ErrNotFound):
		w.WriteHeader(http.StatusNoContent)
		return
	case err != nil:
		o.busy(w, r, err)
		return
	}
	data, err := json.Marshal(downloadAnswer{ICCID: p.ICCID, MatchingID: p.MatchingID, ProfileID: p.ProfileID, Sealed: p.Sealed})
	if err != nil {
		o.busy(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data) // a device that is gone fetches again
}

func (o *Operator) installed(w http.ResponseWriter, r *http.Request) {
	var req installedRequest
	device, ok := read(w, r, &req, &req.DeviceID)
	if !ok {
		return
	}
	var failure *mno.StatusError
	if !req.OK {
		failure = &mno.StatusError{Subject: mno.SubjectBPP, Reason: mno.ReasonExecution, Message: clip(req.Error)}
	}
	err := o.engine.Finish(r.Context(), device, req.ProfileID, failure)
	var se *mno.StatusError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, smdp.ErrNotFound):
		http.Error(w, "mnosim: no such profile for this device", http.StatusNotFound)
	case errors.Is(err, mno.ErrInvalidTransition) && errors.As(err, &se):
		http.Error(w, se.Error(), http.StatusConflict)
	default:
		o.busy(w, r, err)
	}
}

// busy asks the device to come back.
func (o *Operator) busy(w http.ResponseWriter, r *http.Request, err error) {
	o.log.ErrorContext(r.Context(), "mnosim: device request failed", "path", r.URL.Path, "error", err)
	http.Error(w, "mnosim: not now, call again", http.StatusServiceUnavailable)
}

// read decodes a device's request. It answers itself when it returns false.
func read(w http.ResponseWriter, r *http.Request, v any, deviceID *string) (eid.ID, bool) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	var device eid.ID
	if err == nil {
		device, err = eid.Parse(*deviceID)
	}
	if err != nil {
		http.Error(w, "mnosim: bad request: "+clip(err.Error()), http.StatusBadRequest)
		return eid.ID{}, false
	}
	return device, true
}

func clip(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage]
	}
	return s
}
