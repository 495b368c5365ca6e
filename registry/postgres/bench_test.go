package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
)

const benchBody = 1024

func records(round, n int) []registry.Record {
	recs := make([]registry.Record, n)
	for i := range recs {
		recs[i] = registry.Record{Key: fmt.Sprintf("%08d%08d", round, i), Parent: "parkoserv", Body: make([]byte, benchBody)}
	}
	return recs
}

// BenchmarkPut writes 1000 new records of 1 KB in one update; raw is the same
// rows in one bare multi-row INSERT, committed alike.
func BenchmarkPut(b *testing.B) {
	b.Run("store", func(b *testing.B) {
		s := openStore(b, newPool(b, settings(b)), postgres.Options{})
		for round := 0; b.Loop(); round++ {
			require.NoError(b, put(b.Context(), s, records(round, 1000)...))
		}
	})
	b.Run("raw", func(b *testing.B) {
		pool := newPool(b, settings(b))
		schema := newSchema(b, pool)
		openStore(b, pool, postgres.Options{Schema: schema})
		query := "INSERT INTO " + quoted(schema, "meta") + " SELECT k, p, 1, b FROM unnest($1::TEXT[], $2::TEXT[], $3::BYTEA[]) AS n (k, p, b)"
		for round := 0; b.Loop(); round++ {
			var keys, parents []string
			var bodies [][]byte
			for _, r := range records(round, 1000) {
				keys, parents, bodies = append(keys, r.Key), append(parents, r.Parent), append(bodies, r.Body)
			}
			_, err := pool.Exec(b.Context(), query, keys, parents, bodies)
			require.NoError(b, err)
		}
	})
}

// BenchmarkUpdate reads a record, writes it and makes another one, each writer
// on devices of its own, as registries do.
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			var runs atomic.Int64
			s := openStore(b, newPool(b, settings(b)), postgres.Options{})
			recs := records(0, 1000)
			require.NoError(b, put(b.Context(), s, recs...))
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if err := step(b.Context(), s, &runs, recs[int(n*7919)%len(recs)].Key, fmt.Sprint("new", n)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(runs.Load())/float64(b.N)-1, "retries/op")
		})
	}
}

func step(ctx context.Context, s registry.Store, runs *atomic.Int64, key, added string) error {
	return s.Update(ctx, func(tx registry.Tx) error {
		runs.Add(1)
		got, err := tx.Get(ctx, registry.TableMeta, key)
		if err != nil {
			return err
		}
		return tx.Put(ctx, registry.TableMeta, got[0], registry.Record{Key: added})
	})
}
