package registry_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/sqlite"
)

// onDisk gives a bench the store and the zone that a small registry has.
func onDisk(b *testing.B) func(*registry.Config) {
	db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "registry.db"))
	require.NoError(b, err)
	store, err := sqlite.Open(b.Context(), db)
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, store.Close())
		require.NoError(b, db.Close())
	})
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: zone + ".", Keys: []publish.Key{{Signer: signer(b), Flags: publish.KSK, Algorithm: 13}},
	})
	require.NoError(b, err)
	return func(c *registry.Config) { c.Store, c.Publisher = store, z }
}

// BenchmarkActivate activates n devices at a time, SQLite and signed zone
// included; ns/device should be flat.
func BenchmarkActivate(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				t := newBench(b, onDisk(b))
				ids := t.imported(n)
				b.StartTimer()
				results, err := t.reg.Activate(b.Context(), parko, ids...)
				t.allDone(results, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/device")
		})
	}
}

func BenchmarkMove(b *testing.B) {
	const n = 1000
	for b.Loop() {
		b.StopTimer()
		t := newBench(b, onDisk(b))
		ids := t.active(n)
		codes, err := t.reg.IssueCodes(b.Context(), city, ids...)
		require.NoError(b, err)
		moves := make([]registry.Move, n)
		for i, c := range codes {
			moves[i] = registry.Move{Device: c.Device, Code: c.Code}
		}
		b.StartTimer()
		results, err := t.reg.Move(b.Context(), carPark, moves, registry.MoveOptions{})
		t.allDone(results, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/device")
}
