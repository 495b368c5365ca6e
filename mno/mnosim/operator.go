package mnosim

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
)

// Config are the settings of an [Operator]. The zero value works.
type Config struct {
	// Address is the name in receipts and activation codes; empty means
	// "smdp.example".
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

	// SMDP sets everything else about the order book: store, numbering, types,
	// whose eUICC is in which device. Its Address, Notify and NotifyDownloads are
	// overridden by the ones above.
	SMDP smdp.Config

	// Server sets everything else about downloads. Its certificates are
	// overridden by those of the operator's own PKI.
	Server smdp.ServerConfig

	// Log takes what goes wrong inside. Nil means none.
	Log *slog.Logger
}

// Operator is an SM-DP+ with an eIM beside it, and the PKI that both and the
// eUICCs have certificates of. It is safe for concurrent use and starts no
// goroutines.
type Operator struct {
	gsma   *gsma
	engine *smdp.Engine
	server *smdp.Server
	es2    http.Handler
	device http.Handler
	faults faults
}

// New returns an operator; the error names the setting that is wrong.
func New(cfg Config) (*Operator, error) {
	cfg.complete()
	engine, err := smdp.New(cfg.SMDP)
	if err != nil {
		return nil, err
	}
	o := &Operator{engine: engine}
	now := cfg.SMDP.Now
	if now == nil {
		now = time.Now
	}
	if o.gsma, err = newGSMA(now()); err != nil {
		return nil, err
	}
	o.gsma.settings(&cfg.Server)
	if o.server, err = smdp.NewServer(engine, cfg.Server); err != nil {
		return nil, err
	}
	o.es2 = o.faults.wrap(es2.NewHandler(engine, cfg.ES2))
	o.device = o.faults.wrap(es9.NewHandler(o.server, &es9.Options{Log: cfg.Log}))
	return o, nil
}

// complete puts defaults in, and one setting in the place of another.
func (c *Config) complete() {
	if c.Address == "" {
		c.Address = "smdp.example"
	}
	if c.Server.Log == nil {
		c.Server.Log = c.Log
	}
	c.SMDP.Address, c.SMDP.NotifyDownloads, c.SMDP.Notify = c.Address, c.NotifyDownloads, nil
	if notify := c.Notify; notify != nil {
		c.SMDP.Notify = func(ctx context.Context, _ string, p mno.Progress) error { return notify(ctx, p) }
	}
}

// Engine returns the order book, to look into.
func (o *Operator) Engine() *smdp.Engine { return o.engine }

// Server returns what DeviceHandler serves, to be called without HTTP.
func (o *Operator) Server() *smdp.Server { return o.server }

// Handler serves ES2+ to the registry. Mount it on a server that asks for and
// verifies client certificates.
func (o *Operator) Handler() http.Handler { return o.es2 }

// DeviceHandler serves ES9+ to devices, in both bindings.
func (o *Operator) DeviceHandler() http.Handler { return o.device }

// Inject makes the next n requests, of any handler, meet fault f; 0 ends it.
// Faults of different kinds are used up one after the other, in the order of
// their constants. d is the length of a [Delay].
func (o *Operator) Inject(f Fault, n int, d time.Duration) { o.faults.set(f, n, d) }
