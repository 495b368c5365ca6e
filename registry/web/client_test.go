package web_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
)

// scripted answers one request after the other and remembers them.
type scripted struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	keys    []string
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.keys), len(s.answers)-1)
	s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
	s.answers[n](w)
}

// took are the idempotency keys of the requests so far.
func (s *scripted) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

func says(status int, contentType, body string, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func refuses(status int, kind string, retryable bool) func(http.ResponseWriter) {
	return says(status, "application/problem+json", fmt.Sprintf(`{"kind":%q,"detail":"x","retryable":%t}`, kind, retryable))
}

func cut(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func TestWhatIsRetried(t *testing.T) {
	t.Parallel()
	results := says(200, "application/json", `{"results":[]}`)
	token := says(201, "application/json", `{"credential":{"id":"t","account":"a","kind":"token","created":"2026-11-25T00:00:00Z"},"token":"x"}`)
	device := says(200, "application/json", `{"id":"1","revision":7}`)
	reset := func(c *web.Client) error { return justError(c.Reset(context.Background(), registry.Options{})) }
	issue := func(c *web.Client) error {
		_, _, err := c.IssueToken(context.Background(), "a", "", 0)
		return err
	}
	read := func(c *web.Client) error { return justError(c.Device(context.Background(), eid.MustParse("1"))) }
	for name, c := range map[string]struct {
		do       func(*web.Client) error
		answers  []func(http.ResponseWriter)
		attempts int
		ok       bool
	}{
		"a cut answer to a change":              {reset, []func(http.ResponseWriter){cut, cut, results}, 3, true},
		"a proxy's 502":                         {reset, []func(http.ResponseWriter){says(502, "text/html", "<html>"), results}, 2, true},
		"a proxy's 404":                         {reset, []func(http.ResponseWriter){says(404, "text/html", "<html>"), results}, 1, false},
		"the registry is closing":               {reset, []func(http.ResponseWriter){refuses(503, "closed", true), results}, 2, true},
		"a failure inside":                      {reset, []func(http.ResponseWriter){refuses(500, "internal", true), results}, 2, true},
		"a conflict of records":                 {reset, []func(http.ResponseWriter){refuses(409, "conflict", true), results}, 2, true},
		"too many requests":                     {reset, []func(http.ResponseWriter){refuses(429, "rate", true), results}, 2, true},
		"a locked code":                         {reset, []func(http.ResponseWriter){refuses(429, "locked", true), results}, 1, false},
		"a pending transfer":                    {reset, []func(http.ResponseWriter){refuses(409, "pending", true), results}, 1, false},
		"a decision":                            {reset, []func(http.ResponseWriter){refuses(403, "forbidden", false), results}, 1, false},
		"the attempts are used up":              {reset, []func(http.ResponseWriter){cut}, 5, false},
		"no registry":                           {reset, []func(http.ResponseWriter){says(200, "text/html", "hello")}, 1, false},
		"a redirect":                            {reset, []func(http.ResponseWriter){says(307, "text/html", "", "Location", "http://127.0.0.1:1/"), results}, 1, false},
		"a problem with a good status":          {reset, []func(http.ResponseWriter){refuses(200, "closed", true), results}, 1, false},
		"a problem that is none":                {reset, []func(http.ResponseWriter){says(400, "application/problem+json", "[]")}, 1, false},
		"damaged JSON":                          {reset, []func(http.ResponseWriter){says(200, "application/json", "{")}, 1, false},
		"a cut answer with a token":             {issue, []func(http.ResponseWriter){cut, token}, 1, false},
		"a token, held back":                    {issue, []func(http.ResponseWriter){refuses(429, "rate", true), token}, 2, true},
		"a token, held back by a proxy":         {issue, []func(http.ResponseWriter){says(429, "text/html", ""), token}, 2, true},
		"a token, the registry has failed once": {issue, []func(http.ResponseWriter){refuses(500, "internal", true), token}, 1, false},
		"reading":                               {read, []func(http.ResponseWriter){cut, device}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{answers: c.answers}
			front := httptest.NewServer(s)
			defer front.Close()
			// What net/http repeats by itself on a connection kept open is not counted.
			tr := &http.Transport{DisableKeepAlives: true}
			client := &web.Client{BaseURL: front.URL + "/", HTTP: &http.Client{Transport: tr}, Retry: web.Retry{Min: time.Millisecond, Max: time.Millisecond}}
			err := c.do(client)
			require.Equal(t, c.ok, err == nil, "%v", err)
			keys := s.took()
			require.Len(t, keys, c.attempts)
			require.Len(t, slices.Compact(keys), 1, "all attempts are one call")
			var te *web.TransportError
			if errors.As(err, &te) {
				require.Contains(t, err.Error(), te.Path)
				require.Equal(t, c.attempts > 1 || strings.HasPrefix(name, "a cut"), te.Retryable())
			}
		})
	}
}

func TestEachCallHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []func(http.ResponseWriter){says(200, "application/json", `{"results":[]}`)}}
	front := httptest.NewServer(s)
	defer front.Close()
	c := &web.Client{BaseURL: front.URL}
	for _, c := range []*web.Client{c, c, c.WithKey("mine"), c} {
		_, err := c.Activate(t.Context(), registry.Options{})
		require.NoError(t, err)
	}
	keys := s.took()
	require.Len(t, keys[0], 32)
	require.NotEqual(t, keys[0], keys[1])
	require.Equal(t, "mine", keys[2])
	require.NotEqual(t, "mine", keys[3])

	c.Rand = strings.NewReader("")
	_, err := c.Activate(t.Context(), registry.Options{})
	require.Error(t, err, "no randomness, no key")
	_, err = (&web.Client{}).Me(t.Context())
	require.ErrorContains(t, err, "BaseURL")
	_, err = (&web.Client{BaseURL: "::"}).Me(t.Context())
	require.Error(t, err)
}

// Retry-After moves the next attempt, and Max bounds that.
func TestTheRegistrySaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after          string
		longest, least time.Duration
	}{
		"as asked": {"1", time.Minute, time.Second}, "an hour, bounded": {"3600", time.Millisecond, 0}, "no number": {"soon", time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := httptest.NewServer(&scripted{answers: []func(http.ResponseWriter){
				says(429, "application/problem+json", `{"kind":"rate"}`, "Retry-After", c.after),
				says(200, "application/json", `{"account":"a","role":"asp"}`),
			}})
			defer front.Close()
			begin := time.Now()
			_, err := (&web.Client{BaseURL: front.URL, Retry: web.Retry{Min: time.Millisecond, Max: c.longest}}).Me(t.Context())
			require.NoError(t, err)
			require.GreaterOrEqual(t, time.Since(begin), c.least)
		})
	}
}

func TestATokenFollowsNobody(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	s := &scripted{answers: []func(http.ResponseWriter){says(302, "text/html", "", "Location", other.URL)}}
	front := httptest.NewServer(s)
	defer front.Close()
	_, err := (&web.Client{BaseURL: front.URL, Token: "x", Retry: web.Retry{Attempts: 1}}).Me(t.Context())
	var te *web.TransportError
	require.ErrorAs(t, err, &te)
	require.Equal(t, 302, te.Status)
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c := &web.Client{BaseURL: "http://" + l.Addr().String(), Retry: web.Retry{Attempts: 2, Min: time.Millisecond}}
	_, err = c.Me(t.Context())
	var te *web.TransportError
	require.ErrorAs(t, err, &te)
	require.True(t, te.Retryable())
	require.Zero(t, te.Status)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, do := range map[string]func() error{
		"a change": func() error { return justError(c.Activate(ctx, registry.Options{})) },
		"a list":   func() error { return drained(c.Devices(ctx)) },
		"a job":    func() error { return drained(c.WatchJob(ctx, "x")) },
		"results":  func() error { return drained(c.JobResults(ctx, "x", 0)) },
		"a trail":  func() error { return c.ExportAudit(ctx, &strings.Builder{}, 0) },
	} {
		require.ErrorIs(t, do(), context.Canceled, name)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	block := strings.Repeat(" ", 1<<20)
	endless := func(contentType string) *web.Client {
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, block); err != nil {
					return
				}
			}
		}))
		t.Cleanup(front.Close)
		return &web.Client{BaseURL: front.URL, Retry: web.Retry{Attempts: 1}}
	}
	_, err := endless("application/json").Me(t.Context())
	require.ErrorContains(t, err, "longer than")
	for _, err := range endless("text/event-stream").WatchJob(t.Context(), "x") {
		require.ErrorContains(t, err, "too long")
	}
	for _, err := range endless("text/html").WatchJob(t.Context(), "x") {
		require.ErrorContains(t, err, "is this a registry?")
	}
}

func TestListsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	c := &web.Client{BaseURL: "http://127.0.0.1:1"}
	_, err := c.SubmitCSV(t.Context(), registry.Batch{}, broken{})
	require.ErrorIs(t, err, errDown)
	_, err = c.FileSigned(t.Context(), broken{}, nil)
	require.ErrorIs(t, err, errDown)
	_, err = c.Submit(t.Context(), registry.Batch{}, func(yield func(registry.Row, error) bool) { yield(registry.Row{}, errDown) })
	require.ErrorIs(t, err, errDown)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errDown }

// A proxy that greets everybody with a page must not pass for a registry that has
// taken a credential out of use.
func TestAPageIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []func(http.ResponseWriter){says(200, "text/html", "<html>Welcome to our network")}}
	front := httptest.NewServer(s)
	defer front.Close()
	c := &web.Client{BaseURL: front.URL}
	for name, do := range map[string]func() error{
		"revocation":      func() error { return c.RevokeCredential(t.Context(), "x") },
		"acknowledgement": func() error { return c.Ack(t.Context(), "x") },
		"account":         func() error { return c.PutAccount(t.Context(), registry.Account{ID: "x"}) },
	} {
		require.ErrorContains(t, do(), "is this a registry?", name)
	}
}

// net/http repeats by itself what carries an Idempotency-Key.
func TestWhatIsMadeOnceHasNoKey(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []func(http.ResponseWriter){says(204, "", "")}}
	front := httptest.NewServer(s)
	defer front.Close()
	c := (&web.Client{BaseURL: front.URL}).WithKey("mine")
	require.NoError(t, c.RevokeCredential(t.Context(), "x"))
	require.NoError(t, c.Ack(t.Context(), "x"))
	require.Equal(t, []string{"", ""}, s.took())
}

// A lifetime that is no number of seconds must not become none, which is for ever.
func TestShortLifetimes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cert, _ := selfSigned(t)
	for lifetime, want := range map[time.Duration]time.Duration{
		time.Nanosecond: time.Second, time.Second: time.Second, 1500 * time.Millisecond: 2 * time.Second,
	} {
		cred, _, err := b.as(root).IssueToken(t.Context(), city.Account, "x", lifetime)
		require.NoError(t, err)
		require.Equal(t, b.clock().Add(want), cred.Expires, lifetime)
		cred, err = b.as(root).TrustCertificate(t.Context(), city.Account, "x", cert, lifetime)
		require.NoError(t, err)
		require.Equal(t, b.clock().Add(want), cred.Expires, lifetime)
	}
	_, _, err := b.as(root).IssueToken(t.Context(), city.Account, "x", -time.Nanosecond)
	require.ErrorIs(t, err, registry.ErrInvalid)
}
