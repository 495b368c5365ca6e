package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	rt "github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

const (
	farewell = 2 * time.Second // for a goodbye
	refresh  = 6 * time.Hour   // between two times that proofs are fetched while connected
)

// liveFlags are those of device run.
type liveFlags struct {
	flags
	reach
	dns, anchor, state, connect string
	say, status                 string
	interval, look, poll        time.Duration
	pace                        rt.Pace
}

func liveCommand() part {
	return part{
		name: "run", short: "be the device: verify, connect, stay connected, move with the profile",
		help: `Takes the profile from the card, has the DNS confirm it, connects to the provider
that it names, says its status there and takes commands, for good. When the card
has another profile, the device moves. Where nothing is known for sure, nothing is
connected. The card is one of

  -card FILE       a simulated eUICC from mno euicc, with an IoT SAFE applet beside
                   it that gets the profiles it opens; with -poll its eIM is asked
  -at PORT         an IoT SAFE applet behind a modem
  -pcsc[=READER]   an IoT SAFE applet in a smart card reader

What the device has to know after a loss of power is kept in FILE.device, or in
device.json in the folder of -state: the time it last was for sure, which its clock
cannot be before, and proofs (RFC 9102) to connect with where no DNS can be reached.

It ends with a signal, with status 0.`,
		setup: func(fs *flag.FlagSet) func(context.Context, *world) error {
			f := &liveFlags{}
			f.registerCard(fs)
			f.reach.register(fs)
			f.registerLive(fs)
			return f.run
		},
	}
}

func (f *liveFlags) registerLive(fs *flag.FlagSet) {
	fs.StringVar(&f.dns, "dns", "", "ask these DNS `servers`, in order: HOST[:PORT], tcp:// or tls://HOST[:PORT], by commas (default the system's)")
	fs.StringVar(&f.anchor, "anchor", "", "trust the anchors in this `file`: DS or DNSKEY records, or XML of RFC 9718 (default the IANA root anchors)")
	fs.StringVar(&f.state, "state", "", "`folder` for what the device has to know after a loss of power")
	fs.StringVar(&f.connect, "connect", "", "connect to this `host:port`, whatever the provider's name is; it has to prove the name all the same")
	fs.StringVar(&f.say, "say", "https", "`how` to speak with the provider: https or mqtt")
	fs.StringVar(&f.status, "status", "Free", "`text` that the device says")
	fs.DurationVar(&f.interval, "every", time.Minute, "`time` between two times that it says so")
	fs.DurationVar(&f.look, "look", time.Minute, "`time` after which the card is asked whether it is there, and whether its profile is another")
	fs.DurationVar(&f.poll, "poll", 0, "ask the eIM of -card this often; 0: never")
	fs.StringVar(&f.smdp, "smdp-address", "", "connect to this `host:port`, whatever the SM-DP+'s name is")
	fs.StringVar(&f.eim, "eim-address", "", "connect to this `host:port`, whatever the eIM's name is")
	fs.StringVar(&f.ca, "ca", "", "PEM `file` with more roots for TLS of SM-DP+s and the eIM")
	fs.BoolVar(&f.indirect, "indirect", false, "reach SM-DP+s through the eIM only")
	fs.DurationVar(&f.pace.Min, "retry", time.Second, "`time` before the second attempt to connect; it doubles up to 5m")
	fs.DurationVar(&f.pace.Grace, "grace", time.Hour, "`time` for which a connection may go on where the DNS is silent")
	fs.BoolVar(&f.json, "json", false, "print events as JSON")
}

func (f *liveFlags) checkLive() error {
	switch {
	case f.card != "" && f.reach.set():
		return errors.New("-card is a simulated card, -at and -pcsc are real ones: give one")
	case f.card == "" && !f.reach.set():
		return errors.New("which card? give -card, -at or -pcsc")
	case f.registry == "":
		return errors.New("-registry is required: whose profiles count")
	case f.card == "" && (f.registryCA != "" || f.poll != 0 || f.eim != "" || f.smdp != "" || f.indirect):
		return errors.New("-registry-ca, -poll, -eim-address, -smdp-address and -indirect are about a -card")
	case f.interval <= 0 || f.look <= 0 || f.poll < 0 || f.pace.Min <= 0 || f.pace.Grace <= 0:
		return errors.New("-every, -look, -retry and -grace are above zero, and -poll is not below")
	}
	if _, _, err := net.SplitHostPort(f.connect); f.connect != "" && err != nil {
		return fmt.Errorf("-connect: %q is no host:port", f.connect)
	}
	if f.card != "" {
		return f.flags.check()
	}
	return f.reach.check()
}

// notes is where the device's memory is.
func (f *liveFlags) notes() string {
	switch {
	case f.state != "":
		return filepath.Join(f.state, "device.json")
	case f.card != "":
		return f.card + ".device"
	}
	return ""
}

// sayer speaks with the provider until its context ends, the connection does, or
// the device is told to stop; then it says goodbye and returns nil.
type sayer func(ctx context.Context, s *rt.Session) error

// live is a running device.
type live struct {
	*liveFlags
	world    *world
	clock    *steadyClock
	teller   *teller
	notebook *notebook
	slot     *slot
	sim      *sim // nil for a real card
	verifier *dane.Verifier
	runtime  *rt.Device
	say      sayer
	stopping context.Context // done when the device is told to end

	mu        sync.Mutex
	address   string // of the provider, where the last connection led to
	attending bool   // a sayer is
	end       context.CancelFunc
}

func (f *liveFlags) run(ctx context.Context, w *world) error {
	if err := f.checkLive(); err != nil {
		return usageError{err}
	}
	l := &live{liveFlags: f, world: w, stopping: ctx}
	if err := l.prepare(); err != nil {
		return err
	}
	if _, err := l.slot.get(ctx); err != nil { // later it may come and go
		return fmt.Errorf("the card: %w", err)
	}
	defer l.slot.Close()
	return l.live(ctx)
}

// prepare makes all parts.
func (l *live) prepare() error {
	var err error
	if l.say, err = l.sayer(); err != nil {
		return usageError{err}
	}
	if l.state != "" {
		if err := os.MkdirAll(l.state, 0o700); err != nil {
			return err
		}
	}
	if l.notebook, err = openNotebook(l.notes(), l.world.warnf); err != nil {
		return err
	}
	floor := l.world.built
	if floor.IsZero() {
		floor = built()
	}
	if l.notebook.Seen.After(floor) {
		floor = l.notebook.Seen
	}
	l.clock = newSteadyClock(l.world.clock(), floor)
	l.teller = &teller{json: l.json, now: l.clock.Now, w: l.world.stdout}
	if err := l.prepareDNS(floor); err != nil {
		return err
	}
	return l.prepareCard()
}

func (l *live) prepareDNS(floor time.Time) error {
	anchors, err := readAnchors(l.anchor)
	if err != nil {
		return err
	}
	exchanger := l.world.exchanger
	if exchanger == nil {
		if exchanger, err = dnsServers(l.dns); err != nil {
			return usageError{err}
		}
	}
	resolver := &dnssec.Resolver{Exchanger: exchanger, Anchors: anchors, Now: l.clock.Now, Floor: floor}
	l.verifier = &dane.Verifier{Resolver: resolver, Now: l.clock.Now, Evidence: l.notebook.bundles()}
	return nil
}

func (l *live) prepareCard() error {
	l.slot = &slot{
		registry: l.registry, every: l.look, pause: l.world.pause, open: l.reach.open, news: make(chan struct{}, 1),
		options: iotsafe.Options{Now: l.clock.Now},
	}
	if l.card == "" {
		return nil
	}
	s, err := l.openSIM(applet.StandardCard(), l.slot.poke, func(err error) { l.world.warnf("%v", err) })
	if err != nil {
		return err
	}
	l.sim = s
	s.device.stdout, s.device.stderr = l.teller, l.world.stderr
	l.slot.open = func(context.Context) (iotsafe.Transport, io.Closer, error) { return s.uicc, nothing{}, nil }
	return nil
}

// live runs until ctx ends, and says goodbye then.
func (l *live) live(ctx context.Context) error {
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	l.end = end
	defer context.AfterFunc(ctx, l.leave)()
	var wg sync.WaitGroup
	if l.sim != nil && l.poll > 0 {
		l.sim.device.flags.every = l.poll
		wg.Go(func() {
			if err := l.sim.device.poll(ctx, nil); err != nil {
				l.world.warnf("the eIM is not asked any more: %v", err)
			}
		})
	}
	l.runtime = &rt.Device{
		Source: l.slot, Verifier: l.verifier, DialContext: l.dial,
		Pace: l.pace, Observe: l.teller.observe, Sleep: l.world.sleep,
	}
	err := l.runtime.Run(running, l.serve)
	wg.Wait()
	if ctx.Err() == nil {
		return err
	}
	l.teller.tell(event{Event: "stopped"})
	return nil
}

// leave ends the runtime, at once or after the sayer's goodbye.
func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.attending {
		l.end()
		return
	}
	time.AfterFunc(farewell, l.end)
}

// serve has the sayer speak on one connection.
func (l *live) serve(ctx context.Context, s *rt.Session) error {
	c := s.Identity.Credentials
	l.teller.tell(event{Event: string(rt.Connected), Profile: c.ProfileID, Name: c.Name, Service: service(c)})
	l.attend(true)
	defer l.attend(false)
	var wg sync.WaitGroup
	defer wg.Wait()
	learn, done := context.WithCancel(ctx)
	defer done()
	wg.Go(func() { l.study(learn, s) })
	err := l.say(ctx, s)
	if l.stopping.Err() != nil {
		l.end()
	}
	return err
}

func (l *live) attend(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attending = on
}

// service is the provider of a profile.
func service(c *rt.Credentials) string {
	return net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
}

// dial connects to the provider: where -connect says, where the DNS says, or, with
// no DNS, where it was the last time.
func (l *live) dial(ctx context.Context, network, address string) (net.Conn, error) {
	list, err := l.candidates(ctx, address)
	if err != nil {
		return nil, err
	}
	dial := l.world.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	var errs []error
	for _, to := range list {
		conn, err := dial(ctx, network, to)
		if err == nil {
			l.mu.Lock()
			l.address = to
			l.mu.Unlock()
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (l *live) candidates(ctx context.Context, address string) ([]string, error) {
	if l.connect != "" {
		return []string{l.connect}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	list, err := addresses(ctx, l.verifier.Resolver, host)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.notebook.Provider == address && len(l.notebook.Addresses) > 0 {
			return l.notebook.Addresses, nil
		}
		return nil, err
	}
	for i := range list {
		list[i] = net.JoinHostPort(list[i], port)
	}
	return list, nil
}

// study remembers at once, and again before what is known is old.
func (l *live) study(ctx context.Context, s *rt.Session) {
	for id, first := s.Identity, true; ; first = false {
		if !first || !l.known(id) {
			l.remember(ctx, s, id)
		}
		if l.world.pause(ctx, refresh) != nil {
			return
		}
		if again, err := l.runtime.Verify(ctx); err == nil && again.Credentials.ProfileID == id.Credentials.ProfileID {
			id = again
		}
	}
}

// known reports whether all was written down a short while ago: a device that loses
// its connection again and again is not to ask the DNS for more than it needs.
func (l *live) known(id *rt.Identity) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, c := l.notebook, id.Credentials
	return n.Device == c.Name && n.Provider == service(c) && l.clock.Now().Sub(n.Seen) < time.Hour
}

// remember writes down what a later start may need, if the DNS and not older proofs
// has confirmed all of it.
func (l *live) remember(ctx context.Context, s *rt.Session, id *rt.Identity) {
	c := id.Credentials
	provider, err := l.verifier.Service(ctx, c.Host, c.Port, s.Conn.ConnectionState().PeerCertificates)
	if err != nil {
		return // the handshake had it; what is not known now is not kept
	}
	m := memory{Seen: l.clock.Now(), Device: c.Name, Provider: service(c)}
	answers := []*dnssec.Result{id.Device.Answer, id.Registry.Answer, provider.Answer}
	for _, q := range l.besides(id) {
		if answer, err := l.verifier.Resolver.Lookup(ctx, q.Name, q.Qtype); err == nil {
			answers = append(answers, answer)
		}
	}
	for _, answer := range answers {
		if answer == nil || answer.Queries == 0 {
			return // proofs that were brought along
		}
		if wire, err := proof(answer); err == nil {
			m.Evidence = append(m.Evidence, wire)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m.Addresses = []string{l.address}
	if l.notebook.same(m) {
		return
	}
	if err := l.notebook.write(m); err != nil {
		l.world.warnf("%v", err)
	}
}

// besides are questions that the verifier asks too, without an answer that shows in
// what it finds: whether the provider's name is an alias, and whether a device that
// is published as TLSA has no CERT record.
func (l *live) besides(id *rt.Identity) []dns.Question {
	list := []dns.Question{{Name: dns.Fqdn(id.Credentials.Host), Qtype: dns.TypeA}}
	if _, ok := id.Device.Record.(*dns.CERT); !ok {
		list = append(list, dns.Question{Name: dns.Fqdn(id.Credentials.Name), Qtype: dns.TypeCERT})
	}
	return list
}

// proof is a result's RFC 9102 bundle in wire form.
func proof(answer *dnssec.Result) ([]byte, error) {
	bundle, err := answer.Evidence()
	if err != nil {
		return nil, err
	}
	return bundle.MarshalBinary()
}
