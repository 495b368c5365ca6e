package mnosim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
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
	// whose eUICC is in which device. Its Address, Notify, NotifyDownloads and
	// Released are overridden.
	SMDP smdp.Config

	// Server sets everything else about downloads. Its certificates are
	// overridden by those of the operator's own PKI.
	Server smdp.ServerConfig

	// Indirect has devices download by way of the eIM, for those that reach nobody
	// else. It decides nothing here: devices do as their own settings say.
	Indirect bool

	// Wait leaves profiles disabled once they are installed, until [eim.EIM.Manage]
	// is called. Otherwise the eIM enables them.
	Wait bool

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
	eim    *eim.EIM
	wait   bool

	es2, device, esipa http.Handler
	faults             faults
}

// New returns an operator; the error names the setting that is wrong.
func New(cfg Config) (*Operator, error) {
	o := &Operator{wait: cfg.Wait}
	cfg.complete(o)
	var err error
	if o.engine, err = smdp.New(cfg.SMDP); err != nil {
		return nil, err
	}
	if o.gsma, err = newGSMA(cfg.now()); err != nil {
		return nil, err
	}
	o.gsma.settings(&cfg.Server)
	if o.server, err = smdp.NewServer(o.engine, cfg.Server); err != nil {
		return nil, err
	}
	if o.eim, err = o.newEIM(cfg); err != nil {
		return nil, err
	}
	relay := &esipa.Relay{Now: cfg.SMDP.Now, Dial: o.dial}
	o.es2 = o.faults.wrap(es2.NewHandler(o.engine, cfg.ES2))
	o.device = o.faults.wrap(es9.NewHandler(o.server, &es9.Options{Log: cfg.Log}))
	o.esipa = o.faults.wrap(esipa.NewHandler(o.eim, &esipa.Options{Relay: relay, Log: cfg.Log}))
	return o, nil
}

// EIMID is what the operator's eIM is called in eUICCs.
const EIMID = "eim.mnosim"

func (o *Operator) newEIM(cfg Config) (*eim.EIM, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return eim.New(eim.Config{
		ID: EIMID, FQDN: "eim." + cfg.Address, Key: key, CIs: [][]byte{o.gsma.CI.DER}, Open: true,
		IndirectDownload: cfg.Indirect, Now: cfg.SMDP.Now, Rand: cfg.SMDP.Rand, Log: cfg.Log,
	})
}

// dial returns the SM-DP+ of this operator, and no other.
func (o *Operator) dial(address string) (es9.Backend, error) {
	if address != o.engine.Address() {
		return nil, fmt.Errorf("mnosim: %q is another SM-DP+", address)
	}
	return o.server, nil
}

// trigger has the eIM send a device to its order.
func (o *Operator) trigger(ctx context.Context, p smdp.Profile) error {
	if p.EUICC.IsZero() {
		return nil // whoever has the matching ID comes by itself
	}
	text, err := es9.ActivationCode{Address: o.engine.Address(), MatchingID: p.MatchingID}.Text()
	if err != nil {
		return err
	}
	_, err = o.eim.Trigger(ctx, p.EUICC, eim.Download{ActivationCode: text, ICCID: p.ICCID, Enable: !o.wait})
	return err
}

// complete puts defaults in, and one setting in the place of another.
func (c *Config) complete(o *Operator) {
	if c.Address == "" {
		c.Address = "smdp.example"
	}
	if c.Server.Log == nil {
		c.Server.Log = c.Log
	}
	c.SMDP.Address, c.SMDP.NotifyDownloads, c.SMDP.Notify = c.Address, c.NotifyDownloads, nil
	c.SMDP.Released = o.trigger
	if notify := c.Notify; notify != nil {
		c.SMDP.Notify = func(ctx context.Context, _ string, p mno.Progress) error { return notify(ctx, p) }
	}
}

func (c *Config) now() time.Time {
	if c.SMDP.Now == nil {
		return time.Now()
	}
	return c.SMDP.Now()
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

// EIM returns what EIMHandler serves, to ask it for more, or to look into.
func (o *Operator) EIM() *eim.EIM { return o.eim }

// EIMHandler serves ESipa to devices: what there is to do, and downloads through
// the eIM.
func (o *Operator) EIMHandler() http.Handler { return o.esipa }

// Inject makes the next n requests, of any handler, meet fault f; 0 ends it.
// Faults of different kinds are used up one after the other, in the order of
// their constants. d is the length of a [Delay].
func (o *Operator) Inject(f Fault, n int, d time.Duration) { o.faults.set(f, n, d) }
