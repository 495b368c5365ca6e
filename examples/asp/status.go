package main

import (
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/registry/eid"
)

// report is what operators see.
type report struct {
	Host          string       `json:"host"`
	Time          time.Time    `json:"time"`
	Devices       []aspd.State `json:"devices"`
	Confirmations *aspd.Counts `json:"confirmations,omitempty"`
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{"at": func(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateTime)
}}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<title>Devices of {{.Host}}</title></head><body>
<h1>Devices of {{.Host}}</h1>
<p>{{len .Devices}} connections at {{at .Time}} UTC{{with .Confirmations}}; {{.Pending}} to confirm at the registry{{end}}</p>
<table border="1" cellpadding="4">
<tr><th>Device</th><th>Profile</th><th>By</th><th>Since</th><th>Last message</th><th></th><th>Verdict</th><th>Until</th></tr>
{{range .Devices}}<tr><td>{{.Device}}</td><td>{{.Profile}}</td><td>{{.Kind}}</td><td>{{at .Since}}</td><td>{{at .LastMessage}}</td><td>{{.Message}}</td><td>{{.Verdict}}</td><td>{{at .Until}}</td></tr>
{{end}}</table></body></html>
`))

func (s *service) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, s.report())
	})
	mux.HandleFunc("GET /devices.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.report())
	})
	mux.HandleFunc("POST /devices/{id}/commands", s.postCommand)
	return local(http.NewCrossOriginProtection().Handler(mux))
}

// local refuses pages of other sites that browsers bring here: neither by a name
// that somebody else points at loopback, nor in a frame.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !loopback(host) {
			http.Error(w, "ask for this by a loopback address or as localhost", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *service) report() report {
	r := report{Host: s.cfg.host, Time: s.now().UTC(), Devices: s.sessions.List()}
	if s.confirmer != nil {
		counts := s.confirmer.Counts()
		r.Confirmations = &counts
	}
	return r
}

// postCommand sends a text to a device.
func (s *service) postCommand(w http.ResponseWriter, r *http.Request) {
	id, err := eid.Parse(r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		http.Error(w, "a command has at most 4 KiB", http.StatusRequestEntityTooLarge)
		return
	case err != nil || len(text) == 0:
		http.Error(w, "the body is the command", http.StatusBadRequest)
		return
	}
	if s.broker != nil && s.broker.command(id, text) {
		_, _ = io.WriteString(w, "sent\n")
		return
	}
	if err := s.boxes.put(id, string(text)); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "waiting for the device to ask\n")
}
