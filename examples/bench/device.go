package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/profile"
	rt "github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/registry/eid"
)

func deviceBench() bench {
	return bench{
		name: "device", short: "Measure a device: from boot to connected in round trips, queries, APDUs and signatures, its binary and its memory",
		setup: func(fs *flag.FlagSet) func(context.Context, *report) error {
			b := &deviceRun{}
			fs.DurationVar(&b.rtt, "rtt", 50*time.Millisecond, "simulated round-trip `time` of the DNS")
			fs.IntVar(&b.trials, "trials", 5, "how often the times are taken")
			fs.BoolVar(&b.program, "program", true, "build examples/device, and run it")
			fs.StringVar(&b.cross, "cross", "linux/arm,linux/arm64,linux/riscv64", "build it for these `systems` too, separated by commas")
			return b.run
		},
	}
}

// deviceRun is one run of the bench.
type deviceRun struct {
	rtt     time.Duration
	trials  int
	program bool
	cross   string
}

func (b *deviceRun) run(ctx context.Context, r *report) error {
	if b.rtt <= 0 || b.trials < 1 {
		return usageError{errors.New("flags must be above zero")}
	}
	d := &daneRun{}
	return d.parts(ctx, r, func(ctx context.Context, r *report) error {
		y, err := newYard(d.stage)
		if err != nil {
			return err
		}
		defer y.close()
		if err := b.boot(ctx, r, y); err != nil {
			return err
		}
		if !b.program {
			return nil
		}
		return b.binary(ctx, r, y)
	})
}

// Who is in the yard.
const (
	yardZone = "iotregistry.ca"
	yardHost = "parkoserv.ca"
	yardID   = "1000000000000001"
)

// yard is a device's world: a DNS, a registry, a provider, and a card with the
// device's profile.
type yard struct {
	*danetest.World
	card   *counted
	server *http.Server
	addr   string
}

func newYard(s *stage) (*yard, error) {
	w := danetest.NewWorld(s, danetest.Config{Zones: append(threeZones(), yardHost+"."), Start: time.Now()})
	y := &yard{World: w}
	port, err := y.serve()
	if err != nil {
		return nil, err
	}
	p, err := y.issue(port)
	if err != nil {
		return nil, errors.Join(err, y.close())
	}
	card, err := applet.New(applet.Config{})
	if err == nil {
		var objects []applet.Object
		if objects, err = applet.CIRA(p, applet.CIRAOptions{Card: card}); err == nil {
			err = card.Put(objects...)
		}
	}
	if err != nil {
		return nil, errors.Join(err, y.close())
	}
	y.card = &counted{Applet: card}
	return y, nil
}

func (y *yard) close() error { return y.server.Close() }

// serve runs the provider and publishes it.
func (y *yard) serve() (port uint16, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{yardHost},
		NotBefore: y.Now().Add(-time.Hour), NotAfter: y.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return 0, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return 0, err
	}
	v, err := y.verifier(y)
	if err != nil {
		return 0, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port = uint16(ln.Addr().(*net.TCPAddr).Port)
	name, err := dane.ServiceName(yardHost, port)
	if err != nil {
		return 0, err
	}
	rr, err := dane.NewTLSA(name+".", 3600, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, leaf)
	if err != nil {
		return 0, err
	}
	y.AddRR(rr)
	y.Add(yardHost + ". 3600 IN A 127.0.0.1")
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	y.addr = ln.Addr().String()
	y.server = &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	cfg := v.ServerConfig(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, yardZone)
	go func() { _ = y.server.Serve(tls.NewListener(ln, cfg)) }()
	return port, nil
}

// issue makes and publishes the device's profile.
func (y *yard) issue(port uint16) (*profile.Profile, error) {
	var keys [3]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: yardZone, RootKey: keys[0], IssuerKey: keys[1], Now: y.Now})
	if err != nil {
		return nil, err
	}
	rr, err := dane.NewTLSA(yardZone+".", 3600, dane.UsageDANETA, dane.SelectorCert, dane.MatchingSHA256, a.Root())
	if err != nil {
		return nil, err
	}
	y.AddRR(rr)
	name, err := dane.DeviceName(11, yardID, yardZone)
	if err != nil {
		return nil, err
	}
	id, end := eid.MustParse(yardID), y.Now().AddDate(1, 0, 0)
	der, err := a.Issue(profile.Request{Name: name, Device: id, PublicKey: keys[2].Public(), NotAfter: end})
	if err != nil {
		return nil, err
	}
	y.AddCERT(name+".", der)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(keys[2])
	if err != nil {
		return nil, err
	}
	return &profile.Profile{
		ID: 11, Device: id, Registry: yardZone, Name: name, Host: yardHost, Port: port,
		Certificate: der, PrivateKey: pkcs8, CACertificates: a.Chain(), NotBefore: y.Now(), NotAfter: end,
	}, nil
}

func (y *yard) verifier(x dnssec.Exchanger) (*dane.Verifier, error) {
	anchors, err := anchorsOf(y.World)
	if err != nil {
		return nil, err
	}
	return &dane.Verifier{Resolver: &dnssec.Resolver{Exchanger: x, Anchors: anchors, Now: y.Now}, Now: y.Now, Naming: dane.Deck2020}, nil
}

// counted is a card whose commands are counted.
type counted struct {
	*applet.Applet
	commands, signatures atomic.Int64
}

const insComputeSignature = 0x2B

// Transmit carries out a command.
func (c *counted) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.commands.Add(1)
	if len(command) > 1 && command[1] == insComputeSignature {
		c.signatures.Add(1)
	}
	return c.Applet.Transmit(ctx, command)
}

// flights is a connection that counts how often an answer was waited for.
type flights struct {
	net.Conn
	asked  atomic.Bool
	rounds *atomic.Int64
}

func (f *flights) Write(b []byte) (int, error) {
	f.asked.Store(true)
	return f.Conn.Write(b)
}

func (f *flights) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if n > 0 && f.asked.Swap(false) {
		f.rounds.Add(1)
	}
	return n, err
}

// boot measures how a device comes to be connected, from power on and once more.
func (b *deviceRun) boot(ctx context.Context, r *report, y *yard) error {
	p := &path{next: y, rtt: b.rtt}
	var first, again []start
	for n := range b.trials + 1 {
		cold, warm, err := b.pair(ctx, y, p)
		if err != nil {
			return err
		}
		if n > 0 { // the world signs denials when they are first asked for
			first, again = append(first, cold), append(again, warm)
		}
	}
	s := r.section("cold", fmt.Sprintf("From boot to connected, nothing known, at %s round trip of the DNS", b.rtt))
	describeStart(s, "cold", first)
	s = r.section("warm", "Connected once more, zones known and card open")
	describeStart(s, "warm", again)
	return nil
}

// start is what one start took.
type start struct {
	time                                         time.Duration
	queries, dns, flights, apdus, made, verified int64
}

func describeStart(s *section, name string, list []start) {
	var times []time.Duration
	for _, one := range list {
		times = append(times, one.time)
	}
	one := list[len(list)-1]
	s.add(name+"_rounds", float64(one.dns+one.flights), "round trips", fmt.Sprintf("waited for one after the other: %d of the DNS, %d of TCP and TLS 1.3", one.dns, one.flights))
	s.add(name+"_queries", float64(one.queries), "queries", "of the DNS, most of them at once")
	s.add(name+"_apdus", float64(one.apdus), "APDUs", "to the card")
	s.add(name+"_signatures_made", float64(one.made), "signatures", "by the card")
	s.add(name+"_signatures_verified", float64(one.verified), "signatures", "of DNSSEC, over the device's and the registry's records and the zones above them")
	s.add(name+"_time", float64(median(times))/float64(time.Millisecond), "ms", "the card's own time not included: it is a simulation")
}

// pair boots a device and has it connect twice.
func (b *deviceRun) pair(ctx context.Context, y *yard, p *path) (cold, warm start, err error) {
	v, err := y.verifier(p)
	if err != nil {
		return cold, warm, err
	}
	var device *rt.Device
	var rounds atomic.Int64
	boot := func() error {
		if device != nil {
			return nil
		}
		client, err := iotsafe.Open(ctx, y.card, iotsafe.Options{Now: y.Now})
		device = &rt.Device{Source: rt.FromApplet(client, yardZone), Verifier: v, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, y.addr)
			rounds.Add(1) // of TCP
			return &flights{Conn: conn, rounds: &rounds}, err
		}}
		return err
	}
	for _, one := range []*start{&cold, &warm} {
		if *one, err = connectOnce(ctx, y, p, &rounds, boot, func() *rt.Device { return device }); err != nil {
			return cold, warm, err
		}
	}
	y.card.Reset() // gives the channels back
	return cold, warm, nil
}

func connectOnce(ctx context.Context, y *yard, p *path, rounds *atomic.Int64, boot func() error, device func() *rt.Device) (start, error) {
	p.counts()
	rounds.Store(0)
	y.card.commands.Store(0)
	y.card.signatures.Store(0)
	begin := time.Now()
	if err := boot(); err != nil {
		return start{}, err
	}
	var one start
	done := errors.New("connected")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := device()
	d.Observe = func(e rt.Event) {
		switch e.Kind {
		case rt.Connected: // before the runtime looks after the connection
			one.time = time.Since(begin)
			queries, waited := p.counts()
			one.queries, one.dns, one.flights = int64(queries), int64(waited), rounds.Load()
			one.apdus, one.made = y.card.commands.Load(), y.card.signatures.Load()
		case rt.Ended:
		default:
			cancel(e.Err)
		}
	}
	err := d.Run(ctx, func(_ context.Context, s *rt.Session) error {
		one.verified = int64(s.Identity.Device.Answer.Verifications + s.Identity.Registry.Answer.Verifications)
		cancel(done)
		return nil
	})
	if !errors.Is(err, done) {
		return start{}, err
	}
	return one, nil
}

// systems are the flag's.
func (b *deviceRun) systems() []string {
	if b.cross == "" {
		return nil
	}
	return strings.Split(b.cross, ",")
}
