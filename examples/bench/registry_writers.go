package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	manyWriters = 8
	devicesCall = 25 // in one call of a writer
)

// writers has one and then several writers do the same work, on SQLite and on
// PostgreSQL, in turns.
func (b *registryRun) writers(ctx context.Context, r *report) error {
	s := r.section("writers", fmt.Sprintf("%d devices imported and activated in calls of %d (medians)", b.fleet, devicesCall))
	server, why, err := findPostgres(ctx)
	if err != nil {
		return err
	}
	if server != nil {
		defer server.stop()
	}
	var one, many, pg []time.Duration
	var failed, pgFailed failures
	for range b.trials {
		took, refused, err := b.write(ctx, 1, onSQLite)
		if err = errors.Join(err, refused.first); err != nil {
			return err
		}
		one = append(one, took)
		took, refused, err = b.write(ctx, manyWriters, onSQLite)
		if err != nil {
			return err
		}
		many, failed = append(many, took), failed.and(refused)
		if server == nil {
			continue
		}
		if took, refused, err = b.write(ctx, manyWriters, server.open); err != nil {
			return err
		}
		pg, pgFailed = append(pg, took), pgFailed.and(refused)
	}
	rate := func(took time.Duration) float64 { return float64(b.fleet) / took.Seconds() }
	s.goal("writers8_errors", float64(failed.n), "errors", 0, failed.note("calls that failed, SQLite"))
	s.goal("writers8_time_ratio", medianRatio(many, one), "x", 1/0.9, "time of 8 writers over that of one: 1.11 is 0.9 of its throughput")
	s.add("writers1_rate", rate(median(one)), "devices/s", "SQLite")
	s.add("writers8_rate", rate(median(many)), "devices/s", "SQLite")
	if server == nil {
		s.skip("postgres8_rate", why)
		return nil
	}
	s.add("postgres8_rate", rate(median(pg)), "devices/s", server.note)
	s.add("postgres8_time_ratio", medianRatio(pg, many), "x", "time over that on SQLite, 8 writers each")
	s.goal("postgres8_errors", float64(pgFailed.n), "errors", 0, pgFailed.note("calls that failed"))
	s.add("postgres8_retries", float64(server.retries.Load())/float64(b.trials*b.fleet), "per device", "transactions that conflicted and were repeated")
	return nil
}

// failures counts calls that failed.
type failures struct {
	n     int
	first error
}

func (f failures) and(g failures) failures { return failures{f.n + g.n, cmp.Or(f.first, g.first)} }

func (f failures) note(what string) string {
	if f.first == nil {
		return what
	}
	return what + ", first: " + f.first.Error()
}

// medianRatio is the median of the ratios of what was measured side by side.
func medianRatio(a, b []time.Duration) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = ratio(a[i], b[i])
	}
	return median(ratios)
}

// write has n writers share one fleet, and returns how long they took and which
// calls failed.
func (b *registryRun) write(ctx context.Context, n int, open opener) (took time.Duration, failed failures, err error) {
	f, err := newFleet(ctx, b.fleet, open)
	if err != nil {
		return 0, failed, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	each := make([]failures, n)
	share := (b.fleet + n - 1) / n
	var all sync.WaitGroup
	begin := time.Now()
	for w := range n {
		all.Go(func() {
			for low := w * share; low < min((w+1)*share, b.fleet); low += devicesCall {
				high := min(low+devicesCall, (w+1)*share, b.fleet)
				for _, err := range []error{f.importRows(ctx, f.rows[low:high]), f.activate(ctx, f.ids[low:high])} {
					if err != nil {
						each[w] = each[w].and(failures{1, err})
					}
				}
			}
		})
	}
	all.Wait()
	took = time.Since(begin)
	for _, one := range each {
		failed = failed.and(one)
	}
	return took, failed, ctx.Err()
}
