package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/smdp"
)

// survival kills processes that transfer a fleet, at random moments, until so
// many were killed, and counts what was lost or done twice.
func (b *registryRun) survival(ctx context.Context, r *report) (err error) {
	s := r.section("kills", fmt.Sprintf("Transfer of %d devices by processes that are killed (SIGKILL) at random moments and started again", b.fleet))
	if b.kills == 0 {
		s.skip("kills", "-kills 0")
		return nil
	}
	dir, err := os.MkdirTemp("", "bench-kills-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k := &killing{pristine: filepath.Join(dir, "pristine"), rnd: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))}
	if err := k.prepare(ctx, b.fleet); err != nil {
		return err
	}
	for k.transfers == 0 || k.kills < b.kills {
		folder := filepath.Join(dir, strconv.Itoa(k.transfers))
		if err := k.transfer(ctx, folder, b.kills); err != nil {
			return err
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	s.add("kills", float64(k.kills), "processes", "")
	s.add("kills_transfers", float64(k.transfers), "transfers", fmt.Sprintf("of %d devices each; the first without a kill", b.fleet))
	for _, name := range findings {
		s.goal("kills_"+name, float64(k.found[name]), "cases", 0, "")
	}
	return nil
}

// killing is the state of the kills.
type killing struct {
	pristine string // folder with a fleet that is about to be transferred
	rnd      *rand.Rand

	records []dns.RR // in the zone, before
	whole   time.Duration
	kills   int

	transfers int
	found     map[string]int // by finding
}

// prepare puts an active fleet with its codes into the pristine folder.
func (k *killing) prepare(ctx context.Context, devices int) error {
	if err := os.Mkdir(k.pristine, 0o700); err != nil {
		return err
	}
	k.found = map[string]int{}
	store, closeStore, err := openSQLite(ctx, filepath.Join(k.pristine, "registry.db"))
	if err != nil {
		return err
	}
	f := &fleet{close: closeStore}
	err = f.build(ctx, store)
	if err == nil {
		k.record(f)
		err = f.ready(ctx, devices)
	}
	if err == nil {
		err = f.bequeath(k.pristine)
	}
	return errors.Join(err, closeStore())
}

// ready makes active devices with their codes.
func (f *fleet) ready(ctx context.Context, devices int) error {
	if err := f.vouch(ctx, devices); err != nil {
		return err
	}
	if err := f.importRows(ctx, f.rows); err != nil {
		return err
	}
	if err := f.activate(ctx, f.ids); err != nil {
		return err
	}
	return f.drawCodes(ctx)
}

// recorder keeps what is added to a zone, to fill others alike.
type recorder struct {
	publish.Publisher
	killing *killing
}

func (r recorder) Publish(ctx context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	r.killing.records = append(r.killing.records, c.Add...)
	return r.Publisher.Publish(ctx, c)
}

func (k *killing) record(f *fleet) { f.reg.Publisher = recorder{f.reg.Publisher, k} }

// bequeath writes what every life of the registry is given.
func (f *fleet) bequeath(folder string) error {
	e := estate{Birth: time.Now().Truncate(time.Second), Chain: f.reg.Authority.Chain(), Devices: f.ids}
	for _, c := range f.codes {
		e.Codes = append(e.Codes, c.Reveal())
	}
	var err1, err2 error
	e.Issuer, err1 = x509.MarshalPKCS8PrivateKey(f.issuer)
	e.Audit, err2 = x509.MarshalPKCS8PrivateKey(f.audit)
	text, err := json.Marshal(e)
	if err := errors.Join(err1, err2, err); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "estate.json"), text, 0o600)
}

// survivors are the systems that a registry's death does not touch: the zone
// and the operator.
type survivors struct {
	zone   *publish.Zone
	engine *smdp.Engine
	url    string
	server *http.Server
	done   chan error
}

func newSurvivors(ctx context.Context, records []dns.RR) (*survivors, error) {
	zone, err := newSignedZone()
	if err != nil {
		return nil, err
	}
	if _, err := zone.Publish(ctx, publish.ChangeSet{Add: records}); err != nil {
		return nil, err
	}
	engine, err := smdp.New(smdp.Config{Address: "smdp.example"})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &survivors{zone: zone, engine: engine, url: "http://" + l.Addr().String(), done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.Handle("/", es2.NewHandler(engine, &es2.Options{AllowNoClientCertificate: true}))
	mux.HandleFunc("POST "+zonePath, s.change)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { s.done <- s.server.Serve(l) }()
	return s, nil
}

const maxChange = 64 << 20

func (s *survivors) change(w http.ResponseWriter, r *http.Request) {
	var change zoneChange
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange)).Decode(&change)
	set := publish.ChangeSet{RemoveNames: change.Remove}
	for _, line := range change.Add {
		rr, parseErr := dns.NewRR(line)
		set.Add, err = append(set.Add, rr), errors.Join(err, parseErr)
	}
	if err == nil {
		_, err = s.zone.Publish(r.Context(), set)
	}
	if err != nil { // cut off by a death
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *survivors) close() error {
	err := s.server.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// tooManyLives ends a transfer that makes no progress.
const tooManyLives = 500

// transfer carries one transfer to its end, in as many lives as it takes, and
// looks at what is left. The first one is not killed and shows how long one takes.
func (k *killing) transfer(ctx context.Context, folder string, most int) (err error) {
	if err := os.CopyFS(folder, os.DirFS(k.pristine)); err != nil {
		return err
	}
	s, err := newSurvivors(ctx, k.records)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	lives := 0
	for killed := true; killed; lives++ {
		if lives == tooManyLives {
			return fmt.Errorf("a transfer has not ended after %d lives", lives)
		}
		after := time.Duration(-1)
		if k.transfers > 0 && k.kills < most {
			after = time.Duration(k.rnd.Int64N(int64(k.whole) / 6))
		}
		if killed, err = k.life(ctx, folder, s.url, lives, after); err != nil {
			return err
		}
		if killed {
			k.kills++
		}
	}
	k.transfers++
	found, err := check(ctx, folder, s, lives)
	for name, n := range found {
		k.found[name] += n
	}
	return err
}

// life runs one process and kills it after that time from its beginning to work;
// a negative time lets it end.
func (k *killing) life(ctx context.Context, folder, url string, number int, after time.Duration) (killed bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, self, mortalCommand, folder, url, strconv.Itoa(number))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	begun := bufio.NewScanner(out)
	begun.Scan()
	begin := time.Now()
	if after >= 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
		defer timer.Stop()
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		return false, err
	}
	switch err := cmd.Wait(); {
	case err == nil:
		if after < 0 && k.whole == 0 {
			k.whole = time.Since(begin)
		}
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case after < 0 || stderr.Len() > 0:
		return false, fmt.Errorf("life %d: %w: %s", number, err, strings.TrimSpace(stderr.String()))
	}
	return true, nil
}
