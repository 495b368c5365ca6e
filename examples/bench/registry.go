package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
)

func registryBench() bench {
	return bench{
		name: "registry", short: "Measure the registry: a thousand devices, many writers, growth, other stores, and kills",
		setup: func(fs *flag.FlagSet) func(context.Context, *report) error {
			b := &registryRun{}
			fs.IntVar(&b.fleet, "fleet", 1000, "devices that are activated and transferred; the time goals are for 1000 and scale with it")
			fs.IntVar(&b.trials, "trials", 3, "how often the times are taken, in turns; medians count")
			fs.IntVar(&b.devices, "devices", 10_000, "devices for the cost of growth; 100000 take some minutes")
			fs.IntVar(&b.kills, "kills", 200, "how often a process is killed in the middle of a transfer; 0: never")
			return b.run
		},
	}
}

// registryRun is one run of the bench.
type registryRun struct {
	fleet, trials, devices, kills int
}

func (b *registryRun) run(ctx context.Context, r *report) error {
	if b.fleet < 1 || b.trials < 1 || b.devices < 10 || b.kills < 0 {
		return usageError{errors.New("flags must be above zero, and -devices at least 10")}
	}
	for _, part := range []func(context.Context, *report) error{b.thousand, b.writers, b.growth, b.survival} {
		if err := part(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// within is the time that a goal for 1000 devices leaves for this run's fleet.
func (b *registryRun) within(seconds float64) float64 { return seconds * float64(b.fleet) / 1000 }

// life is the times of one fleet's way.
type life struct {
	imported, activated, coded, transferred time.Duration
	bare                                    time.Duration // of the cryptography of one activation
	rawImport, rawAll                       time.Duration // of inserting the rows of import, and of both
	rows                                    int
}

// thousand takes a fleet from the list to another provider.
func (b *registryRun) thousand(ctx context.Context, r *report) error {
	s := r.section("thousand", fmt.Sprintf("%d devices: SQLite on disk, signed zone, SM-DP+ engine in process (medians)", b.fleet))
	lives := make([]life, b.trials)
	for i := range lives {
		var err error
		if lives[i], err = b.live(ctx); err != nil {
			return err
		}
	}
	of := func(f func(life) float64) float64 {
		var all []float64
		for _, l := range lives {
			all = append(all, f(l))
		}
		return median(all)
	}
	s.goal("import_and_activate", of(func(l life) float64 { return (l.imported + l.activated).Seconds() }), "s", b.within(3), "")
	s.add("import", of(func(l life) float64 { return l.imported.Seconds() }), "s", "")
	s.add("activate", of(func(l life) float64 { return l.activated.Seconds() }), "s", "")
	s.add("activate_ratio", of(func(l life) float64 { return ratio(l.activated, l.bare) }), "x", "over keys, signatures and seals alone")
	s.add("codes", of(func(l life) float64 { return l.coded.Seconds() }), "s", "drawn by the owner")
	s.goal("transfer_job", of(func(l life) float64 { return l.transferred.Seconds() }), "s", b.within(3), "from the submission with codes to the last order")
	s.add("transfer_ratio", of(func(l life) float64 { return ratio(l.transferred, l.bare) }), "x", "over keys, signatures and seals alone")
	s.add("import_raw_ratio", of(func(l life) float64 { return ratio(l.imported, l.rawImport) }), "x", "over a bare bulk insert of the rows it left")
	s.add("activate_raw_ratio", of(func(l life) float64 { return ratio(l.imported+l.activated, l.rawAll) }), "x",
		fmt.Sprintf("import and activation over a bare bulk insert of their %d rows", lives[0].rows))
	return nil
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// live measures one fleet's way on a new database.
func (b *registryRun) live(ctx context.Context) (l life, err error) {
	f, err := newFleet(ctx, b.fleet, onSQLite)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	before, err := f.records(ctx, nil)
	if err != nil {
		return l, err
	}
	if l.imported, err = timed(func() error { return f.importRows(ctx, f.rows) }); err != nil {
		return l, err
	}
	byImport, err := f.records(ctx, before)
	if err != nil {
		return l, err
	}
	if l.activated, err = timed(func() error { return f.activate(ctx, f.ids) }); err != nil {
		return l, err
	}
	byBoth, err := f.records(ctx, before)
	if err != nil {
		return l, err
	}
	l.rows = count(byBoth)
	if l.coded, err = timed(func() error { return f.drawCodes(ctx) }); err != nil {
		return l, err
	}
	if l.transferred, err = timed(func() error { return f.transferByJob(ctx) }); err != nil {
		return l, err
	}
	if l.bare, err = bareCrypto(b.fleet); err != nil {
		return l, err
	}
	if l.rawImport, err = rawInsert(ctx, byImport); err == nil {
		l.rawAll, err = rawInsert(ctx, byBoth)
	}
	return l, err
}

func timed(f func() error) (time.Duration, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin), err
}
