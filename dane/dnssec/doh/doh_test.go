package doh_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/dane/dnssec/doh"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func TestLookupOverHTTPS(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.Add("dev1.iotregistry.ca. 300 TXT one")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		q := new(dns.Msg)
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/dns-message" || q.Unpack(body) != nil || q.Id != 0 || !q.CheckingDisabled {
			http.Error(rw, "bad request", http.StatusBadRequest)
			return
		}
		m, err := w.Exchange(r.Context(), q)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
			return
		}
		wire, _ := m.Pack()
		rw.Header().Set("Content-Type", "application/dns-message")
		_, _ = rw.Write(wire)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	a, err := dnssec.ParseAnchors(strings.NewReader(w.Anchor()))
	require.NoError(t, err)
	c := &doh.Client{URL: s.URL, HTTP: s.Client()}
	r := &dnssec.Resolver{Exchanger: c, Anchors: a, Now: w.Now}
	res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)

	_, err = (&doh.Client{URL: s.URL}).Exchange(t.Context(), new(dns.Msg).SetQuestion("dev1.iotregistry.ca.", dns.TypeTXT))
	require.ErrorIs(t, err, dnssec.ErrUpstream, "its certificate is not trusted")
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	q := new(dns.Msg).SetQuestion("example.", dns.TypeA)
	other := new(dns.Msg).SetReply(new(dns.Msg).SetQuestion("other.", dns.TypeA))
	otherWire, err := other.Pack()
	require.NoError(t, err)
	for name, h := range map[string]http.HandlerFunc{
		"status":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusTemporaryRedirect) },
		"type":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(otherWire) },
		"question": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/dns-message")
			_, _ = w.Write(otherWire)
		},
		"junk": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/dns-message")
			_, _ = w.Write([]byte("junk"))
		},
		"flood": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/dns-message")
			_, _ = w.Write(make([]byte, 1<<17))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(h)
			defer s.Close()
			c := &doh.Client{URL: s.URL, Timeout: time.Second}
			_, err := c.Exchange(t.Context(), q)
			require.ErrorIs(t, err, dnssec.ErrUpstream)
			require.ErrorContains(t, err, c.String())
		})
	}
	_, err = (&doh.Client{URL: "::"}).Exchange(t.Context(), q)
	require.ErrorIs(t, err, dnssec.ErrUpstream)
}
