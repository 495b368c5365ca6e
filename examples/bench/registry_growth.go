package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// growth imports and activates tenth after tenth into one registry.
func (b *registryRun) growth(ctx context.Context, r *report) (err error) {
	s := r.section("growth", fmt.Sprintf("%d devices imported and activated, tenth after tenth (-devices sets how many)", b.devices))
	dir, err := os.MkdirTemp("", "bench-growth-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "registry.db")
	f, err := newFleet(ctx, 0, func(ctx context.Context) (registry.Store, func() error, error) { return openSQLite(ctx, file) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	empty := heap()
	var tenths [10]cost
	for i := range tenths {
		if tenths[i], err = b.tenth(ctx, f, i); err != nil {
			return err
		}
		s.add(fmt.Sprintf("growth_tenth_%d", i+1), tenths[i].wall, "us/device", number(tenths[i].cpu)+" us CPU")
	}
	s.goal("growth_ratio", tenths[9].wall/tenths[0].wall, "x", 1.5, "time of the last tenth over that of the first")
	s.goal("growth_cpu_ratio", tenths[9].cpu/tenths[0].cpu, "x", 1.5, "the same of CPU time, which other programs disturb less")
	n := float64(10 * (b.devices / 10))
	s.add("growth_memory", float64(heap()-empty)/n, "octets/device", "heap of this process, with the zone and the SM-DP+'s order book in it")
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	s.add("growth_disk", float64(info.Size())/n, "octets/device", "database file")
	runtime.KeepAlive(f)
	return nil
}

// cost is what one device takes, in microseconds.
type cost struct{ wall, cpu float64 }

// tenth is the cost of one tenth. The claims are filed before,
// and the audit trail is sealed after it, as a registry that runs does.
func (b *registryRun) tenth(ctx context.Context, f *fleet, i int) (c cost, err error) {
	n := b.devices / 10
	if err := f.vouch(ctx, n); err != nil {
		return c, err
	}
	runtime.GC() // what was left by the tenth before is not this one's
	begin, beginCPU := time.Now(), cpuTime()
	if err := f.importRows(ctx, f.rows[i*n:]); err != nil {
		return c, err
	}
	if err := f.activate(ctx, f.ids[i*n:]); err != nil {
		return c, err
	}
	c = cost{micros(time.Since(begin)) / float64(n), micros(cpuTime()-beginCPU) / float64(n)}
	_, err = f.reg.Resume(ctx, rootActor())
	return c, err
}

// heap is what is alive in this process.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
