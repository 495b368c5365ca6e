package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	failed, pgFailed := 0, 0
	for range b.trials {
		took, _, err := b.write(ctx, 1, onSQLite)
		if err != nil {
			return err
		}
		one = append(one, took)
		took, n, err := b.write(ctx, manyWriters, onSQLite)
		if err != nil {
			return err
		}
		many, failed = append(many, took), failed+n
		if server == nil {
			continue
		}
		if took, n, err = b.write(ctx, manyWriters, server.open); err != nil {
			return err
		}
		pg, pgFailed = append(pg, took), pgFailed+n
	}
	rate := func(took time.Duration) float64 { return float64(b.fleet) / took.Seconds() }
	s.goal("writers8_errors", float64(failed), "errors", 0, "of calls and devices, SQLite")
	s.goal("writers8_time_ratio", medianRatio(many, one), "x", 1/0.9, "time of 8 writers over that of one: 1.11 is 0.9 of its throughput")
	s.add("writers1_rate", rate(median(one)), "devices/s", "SQLite")
	s.add("writers8_rate", rate(median(many)), "devices/s", "SQLite")
	if server == nil {
		s.skip("postgres8_rate", why)
		return nil
	}
	s.add("postgres8_rate", rate(median(pg)), "devices/s", server.note)
	s.add("postgres8_time_ratio", medianRatio(pg, many), "x", "time over that on SQLite, 8 writers each")
	s.goal("postgres8_errors", float64(pgFailed), "errors", 0, "of calls and devices")
	s.add("postgres8_retries", float64(server.retries.Load())/float64(b.trials*b.fleet), "per device", "transactions that conflicted and were repeated")
	return nil
}

// medianRatio is the median of the ratios of what was measured side by side.
func medianRatio(a, b []time.Duration) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = ratio(a[i], b[i])
	}
	return median(ratios)
}

// write has n writers share one fleet, and returns how long they took and how
// many calls and devices failed.
func (b *registryRun) write(ctx context.Context, n int, open opener) (took time.Duration, failed int, err error) {
	f, err := newFleet(ctx, b.fleet, open)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	errs := make([]error, n)
	counts := make([]int, n)
	share := (b.fleet + n - 1) / n
	var all sync.WaitGroup
	begin := time.Now()
	for w := range n {
		all.Go(func() {
			from, to := min(w*share, b.fleet), min((w+1)*share, b.fleet)
			for at := range slices.Chunk(makeRange(from, to), devicesCall) {
				low, high := at[0], at[len(at)-1]+1
				for _, err := range []error{f.importRows(ctx, f.rows[low:high]), f.activate(ctx, f.ids[low:high])} {
					if err != nil {
						counts[w], errs[w] = counts[w]+1, err
					}
				}
			}
		})
	}
	all.Wait()
	took = time.Since(begin)
	for _, c := range counts {
		failed += c
	}
	return took, failed, ctx.Err()
}

func makeRange(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}
