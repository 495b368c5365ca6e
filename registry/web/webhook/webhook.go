// Package webhook tells accounts that there is something in their queues, so that
// they need not ask all the time.
//
//	notifier, err := webhook.New(webhook.Config{Engine: reg})
//	err = notifier.Run(ctx) // until ctx ends
//
// An account for which the operator has set [registry.Account.Webhook] gets
//
//	POST /its/path HTTP/1.1
//	Content-Type: application/json
//
//	{"account":"parkoserv","messages":true}
//
// and answers with any status from 200 to 299. Then it fetches its messages as it
// always does, with its own credentials. The call carries no content and no secret:
// it needs no signature, since whoever forges or repeats it makes the account look
// at its queue and no more; and it leaks nothing to who overhears it but that
// something has happened.
//
// # When it calls
//
// When the queue has something that was not there at the last successful call.
// What fails is repeated after a time that doubles up to an hour, with chance in
// it. What is not acknowledged is told again every hour; that also covers a message
// that another process committed late, before one that was told already. Nothing is
// stored: after a restart each account that has something in its queue is told once
// more, and two notifiers call twice. Calls are hints, so an account should still
// look at its queue now and then.
//
// # What this does not protect from
//
// A URL is called from the registry's network. Addresses that are not public are
// refused when the connection is made, so that neither a name that points inside
// nor one that changes after it was looked at gets there; redirects are not
// followed and proxies of the environment not used. What is public and trusts the
// registry's address is still reached, with this one request.
package webhook

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// Defaults of Config.
const (
	DefaultEvery      = 10 * time.Second
	DefaultTimeout    = 10 * time.Second
	DefaultRemind     = time.Hour
	DefaultFirstRetry = 10 * time.Second
	DefaultLastRetry  = time.Hour
	DefaultParallel   = 8
)

// Why a call failed, or could not be set up.
var (
	ErrConfig   = errors.New("the notifier's configuration is wrong")
	ErrAddress  = errors.New("the webhook's address is not public")
	ErrRedirect = errors.New("the webhook redirects: have the operator set the URL that it points to")
	ErrStatus   = errors.New("the webhook answered with a status outside 200 to 299")
)

// Engine is what a Notifier needs of a [registry.Registry].
type Engine interface {
	Accounts(ctx context.Context, actor registry.Actor, role registry.Role, after string, limit int) ([]*registry.Account, error) // pages of accounts
	Messages(ctx context.Context, actor registry.Actor, after string, limit int) ([]registry.Message, error)                      // an account's queue
}

// Config is what a Notifier is made of. Engine is required; no number or duration
// may be negative.
type Config struct {
	Engine Engine

	Every      time.Duration // between two looks at all queues; 0 means DefaultEvery
	Timeout    time.Duration // of a call with everything in it; 0 means DefaultTimeout
	Remind     time.Duration // after which what is still in a queue is told again; 0 means DefaultRemind
	FirstRetry time.Duration // after the first failure, doubled by each further one; 0 means DefaultFirstRetry
	LastRetry  time.Duration // at most between two retries; 0 means DefaultLastRetry
	Parallel   int           // calls at once; 0 means DefaultParallel

	// AllowPrivate lets webhooks be at loopback, private and other addresses that
	// are not public: for registries in a network of their own, and tests.
	AllowPrivate bool

	Roots  *x509.CertPool                                   // that vouch for webhooks' certificates; nil means the system's
	Now    func() time.Time                                 // nil means time.Now
	Rand   io.Reader                                        // spreads retries; nil means crypto/rand.Reader
	Wait   func(ctx context.Context, d time.Duration) error // until d is over or ctx ends; nil means by a timer
	Logger *slog.Logger                                     // nil means none
}

// Notifier calls webhooks. It is safe for concurrent use; make one with [New].
type Notifier struct {
	cfg    Config
	client *http.Client

	mu     sync.Mutex // one round at a time
	states map[string]*state

	chance sync.Mutex // of Config.Rand
}

// New checks the configuration and returns a Notifier; an error wraps ErrConfig.
func New(cfg Config) (*Notifier, error) {
	if cfg.Engine == nil {
		return nil, fmt.Errorf("webhook: %w: Engine is required", ErrConfig)
	}
	if min(cfg.Every, cfg.Timeout, cfg.Remind, cfg.FirstRetry, cfg.LastRetry, time.Duration(cfg.Parallel)) < 0 {
		return nil, fmt.Errorf("webhook: %w: no number or duration may be negative", ErrConfig)
	}
	setDefault(&cfg.Every, DefaultEvery)
	setDefault(&cfg.Timeout, DefaultTimeout)
	setDefault(&cfg.Remind, DefaultRemind)
	setDefault(&cfg.FirstRetry, DefaultFirstRetry)
	setDefault(&cfg.LastRetry, DefaultLastRetry)
	setDefault(&cfg.Parallel, DefaultParallel)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Notifier{cfg: cfg, client: newClient(cfg), states: map[string]*state{}}, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// newClient makes a client that speaks to one server per call: no proxy, since one
// would connect to addresses that we refuse; no redirects; and no connection kept,
// so that each call's address is looked at.
func newClient(cfg Config) *http.Client {
	dialer := &net.Dialer{Timeout: cfg.Timeout}
	if !cfg.AllowPrivate {
		dialer.Control = refusePrivate
	}
	return &http.Client{
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// Run looks at the queues and calls, until ctx ends; then it returns the context's
// error, after the calls under way have ended.
func (n *Notifier) Run(ctx context.Context) error {
	for {
		if _, err := n.Round(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Logger.WarnContext(ctx, "webhooks: could not look at every queue", "error", err)
		}
		if err := n.cfg.Wait(ctx, n.cfg.Every); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return ctx.Err()
	}
}
