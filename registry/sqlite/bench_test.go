package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
)

// BenchmarkBatch updates 100 records at a time, as registries do: read them,
// write them back. Each writer has records of its own. The same benchmark is in
// package postgres.
func BenchmarkBatch(b *testing.B) {
	const batch, own = 100, 1000 // records
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openFile(b, filepath.Join(b.TempDir(), "registry.db"))
			keys := make([][]string, writers)
			for w := range keys {
				recs := make([]registry.Record, own)
				for i := range recs {
					recs[i] = registry.Record{Key: fmt.Sprintf("%04d%08d", w, i), Parent: fmt.Sprint("sponsor", w), Body: make([]byte, 512)}
					keys[w] = append(keys[w], recs[i].Key)
				}
				require.NoError(b, s.Update(b.Context(), func(tx registry.Tx) error {
					return tx.Put(b.Context(), registry.TableDevices, recs...)
				}))
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				wg.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						at := int(n) % (own / batch) * batch
						err := s.Update(b.Context(), func(tx registry.Tx) error {
							recs, err := tx.Get(b.Context(), registry.TableDevices, keys[w][at:at+batch]...)
							if err != nil {
								return err
							}
							return tx.Put(b.Context(), registry.TableDevices, recs...)
						})
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
