package web

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// Server is the API as an http.Handler. Make it with [New]; it is safe for
// concurrent use.
//
// The http.Server around it bounds what this cannot: set ReadHeaderTimeout,
// MaxHeaderBytes (16 kB are plenty) and IdleTimeout. How long a body may take to
// arrive and an answer to leave, each route sets by Config.Timeout or
// Config.StreamTime, in place of ReadTimeout and WriteTimeout; these hold for
// Config.Extra.
type Server struct {
	Config
	mux *http.ServeMux

	lists, streams *shares

	mu       sync.Mutex
	watchers map[string]map[chan struct{}]struct{} // by job
}

// New checks the configuration and returns a Server.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{Config: cfg, mux: http.NewServeMux(), lists: newShares(cfg.MaxLists), streams: newShares(cfg.MaxStreams), watchers: map[string]map[chan struct{}]struct{}{}}
	for _, rt := range routes() {
		s.mux.Handle(rt.pattern(), s.handler(rt))
	}
	for pattern, h := range cfg.Extra {
		if err := mount(s.mux, pattern, h); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// mount turns the panic of http.ServeMux on a pattern that is none, or clashes
// with another, into an error.
func mount(mux *http.ServeMux, pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("registry/web: new: Extra %q: %v", pattern, p)
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

// TLSConfig returns base, nil for the zero value, changed so that clients may
// show a certificate. Any will do to connect: what counts is whether the
// registry knows its key ([registry.Registry.TrustCertificate]), and TLS proves
// that the client has that. A proxy in front that ends TLS takes this away.
func (s *Server) TLSConfig(base *tls.Config) *tls.Config {
	c := &tls.Config{}
	if base != nil {
		c = base.Clone()
	}
	if c.MinVersion < tls.VersionTLS12 {
		c.MinVersion = tls.VersionTLS12
	}
	if c.ClientAuth == tls.NoClientCert {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

// visit is what the log and the answer to a failure need of a request.
type visit struct {
	id      string
	account string
	err     error // that was answered
}

type visitKey struct{}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	if v == nil {
		v = &visit{}
	}
	return v
}

// ServeHTTP answers a request: by one of the API's routes, one of Config.Extra,
// or a problem document.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := s.Now()
	v, outer := &visit{id: s.requestID()}, r
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	rec := &recorder{ResponseWriter: w}
	h := w.Header()
	h.Set(headerRequest, v.id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	defer func() {
		outer.Pattern = r.Pattern // for who counts requests around this
		s.finish(r, rec, v, s.Now().Sub(begin), recover())
	}()
	s.dispatch(rec, r)
}

// dispatch is the mux with its own texts replaced by problem documents.
func (s *Server) dispatch(w *recorder, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	answer := &discarded{header: http.Header{}}
	h.ServeHTTP(answer, r)
	err := ErrNoRoute
	if answer.status == http.StatusMethodNotAllowed {
		w.Header()["Allow"] = answer.header["Allow"]
		err = ErrMethod
	}
	s.refuse(w, r, err)
}

// finish ends a request: it answers one that panicked, and tells the log and
// Config.Observe.
func (s *Server) finish(r *http.Request, w *recorder, v *visit, took time.Duration, panicked any) {
	abort := false
	if panicked != nil {
		abort = w.status != 0
		err, _ := panicked.(error)
		if !errors.Is(err, http.ErrAbortHandler) {
			s.Logger.ErrorContext(r.Context(), "a handler panicked", "request", v.id, "route", r.Pattern,
				"panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		} else {
			abort = true
		}
		if !abort {
			s.refuse(w, r, fmt.Errorf("panic: %v", panicked))
		}
	}
	s.log(r, w, v, took)
	if s.Observe != nil {
		s.Observe(r.Pattern, methodOf(r), w.code(), took)
	}
	if abort { // so that the client does not take what it has for all
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) log(r *http.Request, w *recorder, v *visit, took time.Duration) {
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("request", v.id), slog.String("account", v.account), slog.String("method", r.Method),
		slog.String("route", r.Pattern), slog.Int("status", w.code()), slog.Duration("took", took),
	}
	if v.err != nil {
		attrs = append(attrs, slog.String("kind", kindOf(v.err)))
	}
	if v.err != nil && w.code() >= 500 && !gone(r.Context()) {
		level, attrs = slog.LevelError, append(attrs, slog.String("err", v.err.Error()))
	}
	s.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// methodOf keeps callers from making up words for metrics.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "other"
}

func (s *Server) requestID() string {
	var b [8]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return "" // it is for the log only
	}
	return hex.EncodeToString(b[:])
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK // net/http answers so where a handler writes nothing
	}
	return w.status
}

// discarded is an answer nobody gets.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }
