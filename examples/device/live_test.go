package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	townZone = "iotregistry.ca"
	townID   = "1000000000000001"
)

// town is a DNS with a registry and providers in it.
type town struct {
	*danetest.World
	t         *testing.T
	anchor    string // file
	authority *profile.Authority
}

func newTown(t *testing.T) *town { return newTownAt(t, danetest.Config{}) }

func newTownAt(t *testing.T, cfg danetest.Config) *town {
	w := &town{World: danetest.NewWorld(t, cfg), t: t, anchor: filepath.Join(t.TempDir(), "anchor.ds")}
	require.NoError(t, os.WriteFile(w.anchor, []byte(w.Anchor()), 0o600))
	var err error
	w.authority, err = profile.NewAuthority(profile.AuthorityConfig{Registry: townZone, RootKey: newKey(t), IssuerKey: newKey(t), Now: w.Now})
	require.NoError(t, err)
	rr, err := dane.NewTLSA(townZone+".", 300, dane.UsageDANETA, dane.SelectorCert, dane.MatchingSHA256, w.authority.Root())
	require.NoError(t, err)
	w.AddRR(rr)
	return w
}

// profile makes and publishes profile n for a provider.
func (w *town) profile(device string, n uint64, host, address string) *profile.Profile {
	w.t.Helper()
	_, port, err := net.SplitHostPort(address)
	require.NoError(w.t, err)
	number, err := strconv.ParseUint(port, 10, 16)
	require.NoError(w.t, err)
	name, err := dane.DeviceName(n, device, townZone)
	require.NoError(w.t, err)
	id, key, end := eid.MustParse(device), newKey(w.t), w.Now().AddDate(1, 0, 0)
	der, err := w.authority.Issue(profile.Request{Name: name, Device: id, PublicKey: key.Public(), NotAfter: end})
	require.NoError(w.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(w.t, err)
	w.AddCERT(name+".", der)
	return &profile.Profile{
		ID: n, Device: id, Registry: townZone, Name: name, Host: host, Port: uint16(number),
		Certificate: der, PrivateKey: pkcs8, CACertificates: w.authority.Chain(), NotBefore: w.Now(), NotAfter: end,
	}
}

// order puts profile n into the card.
func (w *town) order(card *applet.Applet, n uint64, host, address string) {
	w.t.Helper()
	objects, err := applet.CIRA(w.profile(townID, n, host, address), applet.CIRAOptions{Card: card})
	require.NoError(w.t, err)
	require.NoError(w.t, card.Update(objects...))
}

// provider runs a service for verified devices and publishes it.
func (w *town) provider(host string, serve func(net.Listener)) (address string) {
	w.t.Helper()
	key := newKey(w.t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: w.Now().Add(-time.Hour), NotAfter: w.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(w.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(w.t, err)
	anchors, err := dnssec.ParseAnchors(bytes.NewReader([]byte(w.Anchor())))
	require.NoError(w.t, err)
	v := &dane.Verifier{Resolver: &dnssec.Resolver{Exchanger: w, Anchors: anchors, Now: w.Now}, Now: w.Now}
	base := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", v.ServerConfig(base, townZone))
	require.NoError(w.t, err)
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	name, err := dane.ServiceName(host, port)
	require.NoError(w.t, err)
	rr, err := dane.NewTLSA(name+".", 300, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, cert)
	require.NoError(w.t, err)
	w.AddRR(rr)
	w.Add(host + ". 300 IN A 127.0.0.1")
	var all sync.WaitGroup
	all.Go(func() { serve(ln) })
	w.t.Cleanup(func() { ln.Close(); all.Wait() })
	return ln.Addr().String()
}

// https serves HTTP until the test ends.
func (w *town) https(h http.Handler) func(net.Listener) {
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	w.t.Cleanup(func() { s.Close() })
	return func(ln net.Listener) { _ = s.Serve(ln) }
}

// meters takes statuses and has no commands.
func meters(said chan<- string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /status", func(w http.ResponseWriter, r *http.Request) {
		select {
		case said <- r.URL.Query().Get("is"):
		default:
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// socket is a modem with a card.
type socket struct {
	*uicc
	applet *applet.Applet
	path   string
}

func newSocket(t *testing.T, opts atcsim.ServeOptions) *socket {
	a, err := applet.New(applet.Config{})
	require.NoError(t, err)
	s := &socket{uicc: newUICC(a), applet: a}
	s.path = plug(t, func(ctx context.Context, p *atcsim.PTY) { _ = atcsim.Serve(ctx, p, s, opts) })
	return s
}

// plug opens a terminal that is served until the test ends.
func plug(t *testing.T, serve func(context.Context, *atcsim.PTY)) (path string) {
	pty, err := atcsim.OpenPTY()
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { serve(ctx, pty) })
	t.Cleanup(func() { cancel(); pty.Close(); served.Wait() })
	return pty.Path
}

// unit is a device that runs.
type unit struct {
	t      *testing.T
	events chan event
	stop   context.CancelFunc
	ended  chan int
	log    bytes.Buffer
}

// start runs the device until the test ends or stop is called.
func (w *town) start(around *world, args ...string) *unit {
	w.t.Helper()
	u := &unit{t: w.t, events: make(chan event, 1000), ended: make(chan int, 1)}
	ctx, stop := context.WithCancel(w.t.Context())
	u.stop = stop
	out, in := io.Pipe()
	around.stdout, around.stderr = in, &u.log
	if around.now == nil {
		around.now = w.Now
	}
	if around.built.IsZero() {
		around.built = w.Now().Add(-time.Hour)
	}
	if around.exchanger == nil {
		around.exchanger = w
	}
	args = append([]string{"-json", "-registry", townZone, "-anchor", w.anchor, "-retry", "1ms", "-look", "5ms", "-every", "5ms"}, args...)
	p := liveCommand()
	var both sync.WaitGroup
	both.Go(func() {
		code := p.run(ctx, args, around)
		in.Close()
		u.ended <- code
	})
	both.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				select {
				case u.events <- e:
				default: // nobody reads any more
				}
			}
		}
		close(u.events)
	})
	w.t.Cleanup(func() { stop(); both.Wait() })
	return u
}

// until waits for an event.
func (u *unit) until(is func(event) bool) event {
	u.t.Helper()
	late := time.After(20 * time.Second)
	var last event
	for {
		select {
		case e, ok := <-u.events:
			if !ok {
				require.Fail(u.t, "it ended", "%s", &u.log)
			}
			if is(e) {
				return e
			}
			last = e
		case <-late:
			require.Fail(u.t, "it does not happen", "the last event is %v", &last)
		}
	}
}

func (u *unit) kind(kind string) event {
	u.t.Helper()
	return u.until(func(e event) bool { return e.Event == kind })
}

func (u *unit) connected(profile uint64) event {
	u.t.Helper()
	return u.until(func(e event) bool { return e.Event == "connected" && e.Profile == profile })
}

// end tells it to, and returns the exit status.
func (u *unit) end() int {
	u.t.Helper()
	u.stop()
	u.kind("stopped")
	return <-u.ended
}

func TestRunSays(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	said := make(chan string, 1)
	address := w.provider("parkoserv.ca", w.https(meters(said)))
	s := newSocket(t, atcsim.ServeOptions{})
	w.order(s.applet, 11, "parkoserv.ca", address)
	u := w.start(&world{}, "-at", s.path, "-status", "Taken")
	e := u.connected(11)
	require.Equal(t, "11.1000000000000001.iotregistry.ca", e.Name)
	u.kind("said")
	u.kind("said")
	require.Equal(t, "Taken", <-said)
	require.Zero(t, u.end())
	require.Empty(t, u.log.String())
}

// A provider's commands are told.
func TestRunCommands(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	mux := meters(nil).(*http.ServeMux)
	mux.HandleFunc("GET /commands", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `["reboot","b\u001bad"]`) })
	address := w.provider("parkoserv.ca", w.https(mux))
	s := newSocket(t, atcsim.ServeOptions{})
	w.order(s.applet, 11, "parkoserv.ca", address)
	u := w.start(&world{}, "-at", s.path)
	require.Equal(t, "reboot", u.kind("command").Text)
	require.Zero(t, u.end())
}

// The transfer: another profile comes to the card, and nobody touches the device.
func TestRunMoves(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	first := w.provider("parkoserv.ca", w.https(meters(nil)))
	second := w.provider("carparkserv.ca", w.https(meters(nil)))
	s := newSocket(t, atcsim.ServeOptions{})
	u := w.start(&world{}, "-at", s.path)
	u.kind("no profile")
	w.order(s.applet, 11, "parkoserv.ca", first)
	u.connected(11)
	w.order(s.applet, 16, "carparkserv.ca", second)
	w.Withdraw("11.1000000000000001.iotregistry.ca.")
	require.Contains(t, u.connected(16).Service, "carparkserv.ca")
	require.Zero(t, u.end())
}

// A card may be taken out and come back with another profile.
func TestRunCardRemoved(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	first := w.provider("parkoserv.ca", w.https(meters(nil)))
	s := newSocket(t, atcsim.ServeOptions{})
	u := w.start(&world{}, "-at", s.path)
	u.kind("no profile")
	s.Pull()
	w.order(s.applet, 11, "parkoserv.ca", first)
	s.Reset()
	u.connected(11)
	s.Pull()
	w.order(s.applet, 16, "parkoserv.ca", first)
	u.kind("said") // the connection does not need the card
	s.Reset()
	u.connected(16)
	require.Zero(t, u.end())
}

func TestRunGarbage(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	address := w.provider("parkoserv.ca", w.https(meters(nil)))
	s := newSocket(t, atcsim.ServeOptions{Unsolicited: "+CMTI: \"\x01,\xff+CSIM: x", RepeatAll: true})
	w.order(s.applet, 11, "parkoserv.ca", address)
	u := w.start(&world{}, "-at", s.path)
	u.connected(11)
	require.Zero(t, u.end())
	for name, answer := range map[string]string{
		"errors":         "ERROR\r\n",
		"no hexadecimal": "+CSIM: 4,\"zz00\"\r\nOK\r\n",
		"other lengths":  "+CSIM: 9999,\"9000\"\r\nOK\r\n",
		"refusals":       "+CSIM: 4,\"6F00\"\r\nOK\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := plug(t, func(_ context.Context, p *atcsim.PTY) {
				for lines := bufio.NewReader(p); ; {
					if _, err := lines.ReadString('\r'); err != nil {
						return
					}
					_, _ = io.WriteString(p, "\r\n"+answer)
				}
			})
			var out, log bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			p := selftestCommand()
			require.Equal(t, 1, p.run(ctx, []string{"-at", path}, &world{stdout: &out, stderr: &log, sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}))
			require.NoError(t, ctx.Err(), "it does not hang")
			require.Contains(t, out.String(), "FAIL applet")
		})
	}
}

func TestRunExpired(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	address := w.provider("parkoserv.ca", w.https(meters(nil)))
	s := newSocket(t, atcsim.ServeOptions{})
	w.order(s.applet, 11, "parkoserv.ca", address)
	u := w.start(&world{now: func() time.Time { return w.Now().AddDate(2, 0, 0) }}, "-at", s.path)
	require.Contains(t, u.kind("no profile").Error, "does not hold together")
	require.Zero(t, u.end())
}

// A clock at 1970 goes on from where the device last was sure of the time, so that
// signatures that have expired since do not count again.
func TestRunClock(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	address := w.provider("parkoserv.ca", w.https(meters(nil)))
	s := newSocket(t, atcsim.ServeOptions{})
	w.order(s.applet, 11, "parkoserv.ca", address)
	dead := func() time.Time { return time.Unix(0, 0) }
	state := t.TempDir()
	u := w.start(&world{now: dead}, "-at", s.path, "-state", state)
	require.Equal(t, w.Now().Add(-time.Hour).UTC(), u.connected(11).Time, "the build date")
	require.Zero(t, u.end())

	later := w.Now().Add(90 * 24 * time.Hour)
	text, err := json.Marshal(memory{Seen: later})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(state, "device.json"), text, 0o600))
	u = w.start(&world{now: dead}, "-at", s.path, "-state", state)
	require.Contains(t, u.kind("unconfirmed").Error, "expired")
	require.Zero(t, u.end())
}

// Proofs that were kept connect a device where there is no DNS; they are no help
// against what the DNS says.
func TestRunEvidence(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	address := w.provider("parkoserv.ca", w.https(meters(nil)))
	s := newSocket(t, atcsim.ServeOptions{})
	w.order(s.applet, 11, "parkoserv.ca", address)
	args := []string{"-at", s.path, "-state", t.TempDir()}
	learned := make(chan struct{})
	around := &world{sleep: func(ctx context.Context, d time.Duration) error {
		if d == refresh {
			close(learned)
			<-ctx.Done()
		}
		return (&world{}).pause(ctx, d)
	}}
	u := w.start(around, args...)
	u.connected(11)
	<-learned
	require.Zero(t, u.end())

	u = w.start(&world{exchanger: away{}}, "-at", s.path, "-state", t.TempDir())
	u.kind("unconfirmed")
	require.Zero(t, u.end())
	u = w.start(&world{exchanger: away{}}, args...)
	u.connected(11)
	u.kind("said")
	require.Zero(t, u.end())
	w.Withdraw("11.1000000000000001.iotregistry.ca.")
	u = w.start(&world{}, args...)
	u.kind("withdrawn")
	require.Zero(t, u.end())
}

// away is a DNS that cannot be reached.
type away struct{}

func (away) Exchange(context.Context, *dns.Msg) (*dns.Msg, error) { return nil, net.ErrClosed }

// A device with a simulated eUICC gets its profiles from the eIM while it runs, and
// has them in its applet at the next start.
func TestRunCard(t *testing.T) {
	t.Parallel()
	o, w := startMNO(t), newTown(t)
	card := o.card()
	info, root := infoOf(t, card), filepath.Join(t.TempDir(), "root.pem")
	require.NoError(t, os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.authority.Root().Raw}), 0o600))
	deliver := func(n uint64, host, address string) {
		to, err := profile.ParsePublicKey(info.PublicKey)
		require.NoError(t, err)
		sealed, err := w.authority.Seal(to, w.profile(info.EID, n, host, address))
		require.NoError(t, err)
		iccid, _ := o.call(es2.PathDownloadOrder, fmt.Sprintf(`"eid":%q,"profileType":"iot"%s`, info.EID, sealedMembers(n, sealed)))["iccid"].(string)
		require.NotEmpty(t, iccid)
		o.call(es2.PathConfirmOrder, fmt.Sprintf(`"iccid":%q,"releaseFlag":true`, iccid))
	}
	args := []string{"-card", card, "-registry-ca", root}
	u := w.start(&world{}, append(args, "-poll", "20ms", "-eim-address", o.eim(), "-smdp-address", o.address())...)
	u.kind("no profile")
	deliver(11, "parkoserv.ca", w.provider("parkoserv.ca", w.https(meters(nil))))
	u.connected(11)
	deliver(16, "carparkserv.ca", w.provider("carparkserv.ca", w.https(meters(nil))))
	u.connected(16)
	require.Zero(t, u.end())

	u = w.start(&world{}, args...)
	u.connected(16)
	require.Zero(t, u.end())
	for _, name := range []string{".state", ".applet", ".device"} {
		info, err := os.Stat(card + name)
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, name)
	}
}

func TestRunUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"": 2, "-h": 0, "-at x": 2, "-registry z": 2, "-at x -card y -registry z": 2, "-at x -pcsc -registry z": 2,
		"-at x -registry z -poll 1s": 2, "-at x -registry z -say gossip": 2, "-at x -registry z -every 0s": 2,
		"-at x -registry z -connect nowhere": 2, "-at x -registry z -dns ftp://x": 2, "-at x -registry z extra": 2,
		"-at /nonexistent -registry z": 1, "-card /nonexistent -registry z -registry-ca /nonexistent": 1, "-at x -registry z -anchor /nonexistent": 1,
		"-card x -registry z": 2,
	} {
		var out, log bytes.Buffer
		p := liveCommand()
		require.Equal(t, want, p.run(t.Context(), fields(args), &world{stdout: &out, stderr: &log}), "%s: %s", args, &log)
		require.Equal(t, want == 0, out.Len() > 0, args)
	}
}
