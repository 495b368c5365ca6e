package webhook_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web/webhook"
	"github.com/stretchr/testify/require"
)

var errStore = errors.New("store is down")

// office is an engine with queues that the test fills.
type office struct {
	mu       sync.Mutex
	accounts []*registry.Account // by ID
	queues   map[string][]string // message IDs, in order
	down     bool
	actors   []registry.Actor // that asked for messages
}

func (o *office) Accounts(_ context.Context, actor registry.Actor, _ registry.Role, after string, limit int) ([]*registry.Account, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down || actor.Role != registry.RoleOperator {
		return nil, errStore
	}
	var page []*registry.Account
	for _, a := range o.accounts {
		if a.ID > after && len(page) < limit {
			page = append(page, a)
		}
	}
	return page, nil
}

func (o *office) Messages(_ context.Context, actor registry.Actor, after string, limit int) ([]registry.Message, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.actors = append(o.actors, actor)
	var page []registry.Message
	for _, id := range o.queues[actor.Account] {
		if id > after && len(page) < limit {
			page = append(page, registry.Message{ID: id})
		}
	}
	return page, nil
}

// say puts n messages more into a queue.
func (o *office) say(account string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range n {
		o.queues[account] = append(o.queues[account], fmt.Sprintf("%08d", len(o.queues[account])))
	}
}

func (o *office) empty(account string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queues[account] = nil
}

// receiver is the other side.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	answer http.HandlerFunc // nil is 204
}

func newReceiver(t testing.TB, answer http.HandlerFunc) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	r.bodies = append(r.bodies, fmt.Sprint(req.Method, " ", req.URL.Path, " ", req.Header.Get("Content-Type"), " ", req.Header.Get("Authorization"), string(body)))
	answer := r.answer
	r.mu.Unlock()
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case answer != nil:
		answer(w, req)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (r *receiver) set(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// calls returns what came since the last time.
func (r *receiver) calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := slices.Clone(r.bodies)
	r.bodies = nil
	return c
}

// bench is a notifier with all around it in the test's hands.
type bench struct {
	*webhook.Notifier
	office *office
	log    *safeBuffer

	mu  sync.Mutex
	now time.Time
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) forward(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// zeros is chance that always says zero, so that pauses have their full length.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// newBench makes a notifier for parkoserv, whose webhook is at url.
func newBench(t testing.TB, roots *httptest.Server, url string, change ...func(*webhook.Config)) *bench {
	b := &bench{
		now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), log: &safeBuffer{},
		office: &office{queues: map[string][]string{}, accounts: []*registry.Account{
			{ID: "ottawa", Role: registry.RoleOwner}, // has none
			{ID: "parkoserv", Role: registry.RoleASP, Webhook: url},
		}},
	}
	cfg := webhook.Config{
		Engine: b.office, AllowPrivate: true, Now: b.clock, Rand: zeros{}, Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	}
	if roots != nil {
		cfg.Roots = x509.NewCertPool()
		cfg.Roots.AddCert(roots.Certificate())
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	b.Notifier, err = webhook.New(cfg)
	require.NoError(t, err)
	return b
}

// round returns how many calls succeeded.
func (b *bench) round(t testing.TB) int {
	t.Helper()
	n, err := b.Round(t.Context())
	require.NoError(t, err)
	return n
}
