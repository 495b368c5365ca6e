package web

import (
	crand "crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web/limit"
	"github.com/iotregistry/sdk/transfer"
)

// Defaults of Config.
const (
	DefaultMaxBody    = 8 << 20  // a call on 50,000 devices
	DefaultMaxJob     = 64 << 20 // a list of 2 million EIDs, which takes some 400 MB of memory until it is stored
	DefaultMaxLists   = 4
	DefaultMaxStreams = 64
	DefaultStrangers  = 200 // refused credentials
	DefaultTimeout    = time.Minute
	DefaultStreamTime = 15 * time.Minute
	DefaultWatch      = 5 * time.Minute
	DefaultPoll       = time.Second
	DefaultHeartbeat  = 15 * time.Second
)

// Config is what a [Server] is made of. Registry and Transfers are required; no
// number or duration may be negative.
type Config struct {
	Registry  *registry.Registry
	Transfers *transfer.Service

	// Logger takes one line for each request and the errors that callers are not
	// told. Nil means none.
	Logger *slog.Logger

	// Limiter, where given, is asked about each request after its account is
	// known. Nil means no limit.
	Limiter Limiter

	// Strangers is asked about each request whose credential is missing or refused,
	// with the caller's network address in place of an account: it is answered 429
	// where Strangers says no. Who has a credential does not pay for others at its
	// address. Nil means DefaultStrangers at once and one a second.
	Strangers Limiter

	// Address says where a request comes from, for Strangers: behind a proxy, what
	// that adds to it. Nil means the other end of the connection, an IPv4 address or
	// the /64 of an IPv6 one.
	Address func(*http.Request) string

	// Observe, where given, learns of each request when it has been answered.
	// Route is the pattern, such as "GET /v1/devices/{id}", and "" where there is
	// none; a method that is none of HTTP's common ones is "other". It must not wait.
	Observe func(route, method string, status int, took time.Duration)

	// Extra are handlers that this server also serves, to everybody, by the
	// pattern of http.ServeMux that they are for: "/rdap/", "GET /metrics".
	Extra map[string]http.Handler

	MaxBody    int64         // bytes of a request's body, which has 100,000 items at most; 0 means DefaultMaxBody
	MaxJob     int64         // the same of POST /v1/jobs and /v1/claims; 0 means DefaultMaxJob
	MaxLists   int           // of these at once, half of them of one account; 0 means DefaultMaxLists
	MaxStreams int           // event streams at once, half of them of one account; 0 means DefaultMaxStreams
	Timeout    time.Duration // for one call; 0 means DefaultTimeout
	StreamTime time.Duration // for a submission, a list of claims or an export of the audit trail; 0 means DefaultStreamTime
	Watch      time.Duration // how long an event stream lasts at most; 0 means DefaultWatch
	Poll       time.Duration // how often it looks at its job; 0 means DefaultPoll
	Heartbeat  time.Duration // how often it says that it is there; 0 means DefaultHeartbeat

	Now  func() time.Time // for the log; nil means time.Now
	Rand io.Reader        // source of request IDs, safe for concurrent use; nil means crypto/rand.Reader
}

// Limiter bounds how often accounts may call. It must be safe for concurrent use.
//
// A device that calls by itself counts as an account that is called "device:" and
// its ID.
type Limiter interface {
	// Allow reports whether account may make a request now, and if not, how long
	// it is to wait.
	Allow(account string) (ok bool, retryAfter time.Duration)
}

// check refuses what cannot work and fills in what is left out.
func (c *Config) check() error {
	switch {
	case c.Registry == nil:
		return fmt.Errorf("registry/web: new: %w: Registry is required", registry.ErrInvalid)
	case c.Transfers == nil:
		return fmt.Errorf("registry/web: new: %w: Transfers is required", registry.ErrInvalid)
	}
	for _, f := range []struct {
		name  string
		value *int64
		def   int64
	}{{"MaxBody", &c.MaxBody, DefaultMaxBody}, {"MaxJob", &c.MaxJob, DefaultMaxJob}} {
		if err := fill(f.name, f.value, f.def); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"Timeout", &c.Timeout, DefaultTimeout}, {"StreamTime", &c.StreamTime, DefaultStreamTime},
		{"Watch", &c.Watch, DefaultWatch}, {"Poll", &c.Poll, DefaultPoll}, {"Heartbeat", &c.Heartbeat, DefaultHeartbeat},
	} {
		if err := fill(f.name, f.value, f.def); err != nil {
			return err
		}
	}
	if err := fill("MaxStreams", &c.MaxStreams, DefaultMaxStreams); err != nil {
		return err
	}
	if err := fill("MaxLists", &c.MaxLists, DefaultMaxLists); err != nil {
		return err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Strangers == nil {
		c.Strangers = limit.New(1, DefaultStrangers)
	}
	if c.Address == nil {
		c.Address = func(r *http.Request) string { return addressOf(r.RemoteAddr) }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = crand.Reader
	}
	return nil
}

func fill[T ~int | ~int64](name string, v *T, def T) error {
	if *v < 0 {
		return fmt.Errorf("registry/web: new: %w: %s must not be negative", registry.ErrInvalid, name)
	}
	if *v == 0 {
		*v = def
	}
	return nil
}
