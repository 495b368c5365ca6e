package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	_ "modernc.org/sqlite" // pure Go, so that the story needs no C compiler

	"github.com/iotregistry/sdk/examples/internal/keys"
	"github.com/iotregistry/sdk/examples/internal/term"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/sqlite"
	"github.com/iotregistry/sdk/transfer"
)

// The parties of the story.
var (
	city         = registry.Actor{Account: "ottawa", Role: registry.RoleOwner}
	maker        = registry.Actor{Account: "meterworks", Role: registry.RoleMaker}
	mnoActor     = registry.Actor{Account: "mno", Role: registry.RoleMNO}
	registryRoot = registry.Actor{Account: "registry", Role: registry.RoleOperator}
)

const firstProfileID = 11 // as on the deck's slides

// story is everything that runs, and what has happened so far.
type story struct {
	out     *term.Reporter
	report  *report
	dir     string
	closers []func() error

	world   *world
	op      *operator
	reg     *registry.Registry
	moves   *transfer.Service
	parko   *asp
	carPark *asp

	rows    []registry.Row
	meters  []*meter
	cards   *factory
	workers int
}

// tell runs the story from the list to the proofs.
func tell(ctx context.Context, opts options, out *term.Reporter) (_ *report, err error) {
	s := &story{
		out: out, report: newReport(),
		workers: 4 * runtime.GOMAXPROCS(0), // devices wait for the network more than they compute
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.cards, err = newFactory(opts.card, opts.tpm); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.cards.close)
	if err := s.prepareFolder(opts.data); err != nil {
		return nil, err
	}
	if err := s.readList(opts); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{
		s.open, s.importMeters, s.activate,
		func(ctx context.Context) error { return s.deliver(ctx, "download over ES9+ and install", "deliver") },
		s.connectFirst, s.wrongCode, s.transfer,
		func(ctx context.Context) error { return s.deliver(ctx, "download again", "deliver_again") },
		s.connectSecond, s.proofs,
	} {
		if err := step(ctx); err != nil {
			return s.report, err
		}
	}
	if len(s.meters) > 0 {
		if s.report.Verifications, err = s.countVerifications(ctx); err != nil {
			return s.report, err
		}
	}
	s.summary()
	if opts.hold {
		return s.report, s.hold(ctx)
	}
	return s.report, nil
}

func (s *story) prepareFolder(data string) error {
	if data == "" {
		dir, err := os.MkdirTemp("", "ottawa-")
		if err != nil {
			return err
		}
		s.dir = dir
		s.closers = append(s.closers, func() error { return os.RemoveAll(dir) })
	} else {
		s.dir = data
		if _, err := os.Stat(filepath.Join(data, "registry.db")); err == nil {
			return fmt.Errorf("%s holds an earlier story; give an empty folder", data)
		}
	}
	return os.MkdirAll(filepath.Join(s.dir, "keys"), 0o700)
}

func (s *story) close() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	return err
}

// readList reads and previews the city's list.
func (s *story) readList(opts options) error {
	f, err := cityList(opts)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, bad, err := registry.ReadCSV(f)
	if err != nil {
		return err
	}
	s.out.Printf("1. The City of Ottawa has a list of %d parking meters:", len(rows)+len(bad))
	for _, row := range rows[:min(5, len(rows))] {
		s.out.Printf("     %-32s  %s %s", row.ID, row.Model, row.Version)
	}
	if len(rows) > 5 {
		s.out.Printf("     ... and %d more", len(rows)-5)
	}
	for _, e := range bad[:min(20, len(bad))] {
		s.out.Printf("     %v", e)
	}
	if len(bad) > 0 {
		return fmt.Errorf("the list has %d wrong rows: nothing was imported", len(bad))
	}
	if len(rows) == 0 {
		return errors.New("the list has no meters")
	}
	s.rows, s.report.Devices = rows, len(rows)
	return nil
}

// open starts DNS, providers, operator and registry.
func (s *story) open(ctx context.Context) (err error) {
	begin := time.Now()
	keyDir := filepath.Join(s.dir, "keys")
	if s.world, err = newWorld(ctx, keyDir); err != nil {
		return err
	}
	s.closers = append(s.closers, s.world.server.Close)
	for account, p := range map[string]struct {
		host string
		asp  **asp
	}{"parkoserv": {parkoHost, &s.parko}, "carparkserv": {carParkHost, &s.carPark}} {
		a, err := newASP(ctx, s.world, keyDir, account, p.host)
		if err != nil {
			return err
		}
		*p.asp = a
		s.closers = append(s.closers, a.stop)
	}
	// The operator reports to the registry, which is made with a way to the operator.
	take := func(ctx context.Context, p mno.Progress) error { return s.reg.Progress(ctx, mnoActor, p) }
	if s.op, err = newOperator(ctx, keyDir, take); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { s.op.stop(); return nil })
	if err := s.openRegistry(ctx, keyDir); err != nil {
		return err
	}
	for _, a := range []*asp{s.parko, s.carPark} {
		a.start(func(ctx context.Context, cs ...registry.Confirmation) error {
			results, err := s.reg.Confirm(ctx, a.actor, cs...)
			return firstError(results, err)
		})
	}
	s.report.Seconds["open"] = time.Since(begin).Seconds()
	return nil
}

func (s *story) openRegistry(ctx context.Context, keyDir string) error {
	root, err := keys.OpenOrCreate(ctx, filepath.Join(keyDir, "registry-root.pem"), keys.P256)
	if err != nil {
		return err
	}
	issuer, err := keys.OpenOrCreate(ctx, filepath.Join(keyDir, "registry-issuer.pem"), keys.P256)
	if err != nil {
		return err
	}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{
		Registry: registryZone, Organization: "Secure IoT Registry", RootKey: root, IssuerKey: issuer,
	})
	if err != nil {
		return err
	}
	if err := s.world.publishAuthority(ctx, authority.Root()); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "registry.db"))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db.Close)
	store, err := sqlite.Open(ctx, db)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, store.Close)
	s.reg, err = registry.New(registry.Config{
		Zone: registryZone, Store: store, Authority: authority,
		Publisher:      s.world.zone(registryZone),
		Operators:      map[string]mno.Operator{mnoActor.Account: s.op.client},
		FirstProfileID: firstProfileID,
		Trace:          s.report.trace,
	})
	if err != nil {
		return err
	}
	s.moves = transfer.New(s.reg, transfer.Policy{})
	for _, a := range []registry.Account{
		{ID: city.Account, Role: city.Role, Name: "City of Ottawa"},
		{ID: maker.Account, Role: maker.Role}, {ID: mnoActor.Account, Role: mnoActor.Role},
		s.parko.account(), s.carPark.account(),
	} {
		if err := s.reg.PutAccount(ctx, registryRoot, a); err != nil {
			return err
		}
	}
	return nil
}

// importMeters is the maker's claims and ParkoServ's import.
func (s *story) importMeters(ctx context.Context) error {
	meters, claims, err := makeMeters(ctx, s.rows, s.cards, s.world, s.op)
	if err != nil {
		return err
	}
	s.meters = meters
	if results, err := s.reg.File(ctx, maker, claims); firstError(results, err) != nil {
		return firstError(results, err)
	}
	step := s.out.Step("2. ParkoServ imports", len(s.rows))
	results, err := s.reg.Import(ctx, s.parko.actor, registry.Import{
		Owner: city.Account, MNO: mnoActor.Account, Rows: s.rows, Atomic: true,
	})
	if err := firstError(results, err); err != nil {
		return err
	}
	step.Add(len(results))
	s.report.Seconds["import"] = step.Done().Seconds()
	return nil
}

// activate has the registry issue, seal, publish and order every profile.
func (s *story) activate(ctx context.Context) error {
	step := s.out.Step("3-5. registry issues, seals, publishes, orders over ES2+", len(s.rows))
	results, err := s.reg.Activate(ctx, s.parko.actor, registry.Options{}, s.ids()...)
	if err := firstError(results, err); err != nil {
		return err
	}
	step.Add(len(results))
	s.report.Activated = len(results)
	s.report.Seconds["activate"] = step.Done().Seconds()
	return nil
}

// deliver lets every meter fetch its newest profile and install it.
func (s *story) deliver(ctx context.Context, name, key string) error {
	if err := s.copySealed(ctx); err != nil {
		return err
	}
	step := s.out.Step("6. meters hear of it over ESipa, "+name, len(s.meters))
	_, err := forEach(ctx, s.meters, s.workers, func(ctx context.Context, m *meter) error {
		defer step.Add(1)
		return m.update(ctx)
	})
	s.report.Seconds[key] = step.Done().Seconds()
	return err
}

func (s *story) connectFirst(ctx context.Context) error {
	n, err := s.connect(ctx, "7. meters verify by DNS and connect to ParkoServ", "connect", s.parko)
	s.report.ConnectedFirst = n
	if err != nil {
		return err
	}
	return s.table(ctx, s.parko)
}

func (s *story) connectSecond(ctx context.Context) error {
	n, err := s.connect(ctx, "9. meters reconnect to CarParkServ", "reconnect", s.carPark)
	s.report.ConnectedSecond = n
	if err != nil {
		return err
	}
	return s.table(ctx, s.carPark)
}

// connect lets every meter verify its profile, connect to its provider and
// report that it is free; it returns how many the provider has seen so.
func (s *story) connect(ctx context.Context, name, key string, a *asp) (int, error) {
	step := s.out.Step(name, len(s.meters))
	_, err := forEach(ctx, s.meters, s.workers, func(ctx context.Context, m *meter) error {
		defer step.Add(1)
		return m.report(ctx, "Free")
	})
	err = errors.Join(err, a.flush(ctx))
	s.report.Seconds[key] = step.Done().Seconds()
	free := 0
	for _, status := range a.statuses() {
		if status == "Free" {
			free++
		}
	}
	return free, err
}

// transfer is the city's decision: it draws the codes and gives them to
// CarParkServ, which asks for all the meters.
func (s *story) transfer(ctx context.Context) error {
	step := s.out.Step("8. the city draws authorization codes", len(s.rows))
	codes, err := s.reg.IssueCodes(ctx, city, s.ids()...)
	if err != nil {
		return err
	}
	items := make([]registry.Move, len(codes))
	for i, c := range codes {
		if c.Err != nil {
			return c.Err
		}
		items[i] = registry.Move{Device: c.Device, Code: c.Code}
	}
	step.Add(len(codes))
	s.report.Seconds["codes"] = step.Done().Seconds()

	s.keepOldProfiles()
	step = s.out.Step("   CarParkServ requests the transfer", len(items))
	actor := s.carPark.actor
	actor.Key = "ottawa moves"
	results, err := s.moves.Request(ctx, actor, registry.Options{}, items...)
	if err := firstError(results, err); err != nil {
		return err
	}
	step.Add(len(results))
	s.report.Transferred = len(results)
	s.report.Seconds["transfer"] = step.Done().Seconds()
	return nil
}

func (s *story) ids() []eid.ID {
	ids := make([]eid.ID, len(s.rows))
	for i, row := range s.rows {
		ids[i] = row.ID
	}
	return ids
}

func firstError(results []registry.Result, err error) error {
	if err != nil {
		return err
	}
	if failed := registry.Failed(results); len(failed) > 0 {
		return fmt.Errorf("%d of %d: %w", len(failed), len(results), failed[0].Err)
	}
	return nil
}

// table shows a few meters with the columns of the deck's dashboard.
func (s *story) table(ctx context.Context, a *asp) error {
	status := a.statuses()
	s.out.Printf("     %-32s %-10s %-10s %-10s %-7s %s", "device", "MNO", "profile", "status", "meter", "DNS")
	for _, m := range s.meters[:min(3, len(s.meters))] {
		ps, err := s.reg.Profiles(ctx, a.actor, m.id)
		if err != nil {
			return err
		}
		id, err := m.device.Verify(ctx)
		if err != nil {
			return err
		}
		p := ps[len(ps)-1]
		match := "CERT match ✓"
		if id.Registry != nil {
			match += " Record match ✓"
		}
		s.out.Printf("     %-32s %-10s %-10d %-10s %-7s %s", m.id, p.MNOStatus, p.ID, p.Status, status[m.id], match)
	}
	return nil
}
