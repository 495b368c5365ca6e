package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/registry/web/limit"
)

// Bounds of one device over HTTPS.
const (
	maxTelemetry   = 16 << 10
	maxStatus      = 32
	maxConnections = 4
	pollTime       = 30 * time.Second
	maxPoll        = 60 // seconds
)

// front serves HTTPS to devices that TLS has admitted.
type front struct {
	crowd    *crowd
	http     *http.Server
	tls      *tls.Config
	zones    []string
	sessions *aspd.Sessions
	rate     *limit.Limiter
	boxes    *mailboxes
	log      *slog.Logger
	end      context.CancelFunc // of what polls wait for
}

func newFront(ln net.Listener, cfg *tls.Config, limitTo int, s *service) *front {
	f := &front{
		crowd: newCrowd(ln, limitTo), tls: cfg, zones: s.cfg.zoneList, sessions: s.sessions, rate: s.rate, boxes: s.boxes, log: s.log,
	}
	ending, end := context.WithCancel(context.Background())
	f.end = end
	mux := http.NewServeMux()
	mux.Handle("PUT /status", f.device(f.putStatus))
	mux.Handle("POST /telemetry", f.device(f.postTelemetry))
	mux.Handle("GET /commands", f.device(f.getCommands(ending)))
	f.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: handshakeTime, ReadTimeout: 30 * time.Second,
		WriteTimeout: maxPoll*time.Second + 30*time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // handshakes of strangers
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, visitKey{}, &visit{conn: c.(*tls.Conn)})
		},
	}
	f.http.RegisterOnShutdown(end)
	return f
}

func (f *front) run() error {
	err := f.http.Serve(tls.NewListener(f.crowd, f.tls))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// visit is one connection; its device is admitted with the first request.
type visit struct {
	conn *tls.Conn

	once    sync.Once
	session *aspd.Session
	err     error
}

type visitKey struct{}

func (f *front) admit(v *visit, cs tls.ConnectionState) (*aspd.Session, error) {
	v.once.Do(func() {
		device, err := aspd.Identify(cs, f.zones...)
		if err != nil {
			v.err = err
			return
		}
		drop := func(aspd.Reason) { v.conn.NetConn().Close() } // HTTP has no word for it
		v.session, v.err = f.sessions.Admit(device, aspd.Link{Kind: "https", Limit: maxConnections, Drop: drop})
		if v.err == nil {
			v.conn.NetConn().(*member).afterwards(v.session.Leave)
		}
	})
	return v.session, v.err
}

// device wraps what is for admitted devices.
func (f *front) device(next func(http.ResponseWriter, *http.Request, *aspd.Session)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := f.admit(r.Context().Value(visitKey{}).(*visit), *r.TLS)
		switch {
		case errors.Is(err, aspd.ErrFull), errors.Is(err, aspd.ErrClosed):
			refuse(w, http.StatusServiceUnavailable, err)
			return
		case err != nil:
			refuse(w, http.StatusForbidden, err)
			return
		}
		if ok, after := f.rate.Allow(session.Device.ID.String()); !ok {
			w.Header().Set("Retry-After", limit.Seconds(after))
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		select {
		case <-session.Done(): // the connection is about to be closed
			refuse(w, http.StatusForbidden, errors.New("the device is not admitted any more"))
		default:
			next(w, r, session)
		}
	})
}

// refuse answers and closes the connection.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Connection", "close")
	http.Error(w, err.Error(), status)
}

func (f *front) putStatus(w http.ResponseWriter, r *http.Request, s *aspd.Session) {
	status, err := parseStatus(r.URL.Query().Get("is"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.Touch("status " + status)
	w.WriteHeader(http.StatusNoContent)
}

// parseStatus reads a word or a few.
func parseStatus(text string) (string, error) {
	word := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ' ' || c == '-' || c == '_'
	}
	if text == "" || len(text) > maxStatus || strings.ContainsFunc(text, func(c rune) bool { return !word(c) }) {
		return "", fmt.Errorf("is: want 1 to %d letters, digits, spaces, - and _", maxStatus)
	}
	return text, nil
}

func (f *front) postTelemetry(w http.ResponseWriter, r *http.Request, s *aspd.Session) {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTelemetry))
	if err != nil {
		status := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the body cannot be read, or is larger than 16 KiB", status)
		return
	}
	if err := checkTelemetry(body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.Touch("telemetry, " + strconv.Itoa(len(body)) + " bytes")
	w.WriteHeader(http.StatusNoContent)
}

// checkTelemetry accepts one JSON value of reasonable shape.
func checkTelemetry(body []byte) error {
	var v any
	if err := strictjson.Decode(body, &v, strictjson.Limits{Depth: 8, Names: 512, Members: 64, Elements: 512}); err != nil {
		return errors.New("the body is no JSON of reasonable shape: depth 8, 64 members, 512 elements")
	}
	return nil
}

// getCommands answers when there are commands, or when the time is over.
func (f *front) getCommands(ending context.Context) func(http.ResponseWriter, *http.Request, *aspd.Session) {
	return func(w http.ResponseWriter, r *http.Request, s *aspd.Session) {
		wait, err := parseWait(r.URL.Query().Get("wait"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		defer context.AfterFunc(ending, cancel)()
		texts := f.boxes.take(ctx, s.Device.ID)
		if len(texts) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(texts)
	}
}

// parseWait reads whole seconds.
func parseWait(text string) (time.Duration, error) {
	if text == "" {
		return pollTime, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n > maxPoll {
		return 0, fmt.Errorf("wait: want 0 to %d seconds", maxPoll)
	}
	return time.Duration(n) * time.Second, nil
}
