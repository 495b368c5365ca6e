package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/registrytest"
	"github.com/iotregistry/sdk/registry/sqlite"
)

func openFile(t testing.TB, path string) *sqlite.Store {
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	s, err := sqlite.Open(t.Context(), db)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, db.Close())
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	paths := map[registry.Store]string{}
	open := func(t *testing.T, path string) registry.Store {
		s := openFile(t, path)
		paths[s] = path
		return s
	}
	registrytest.TestStore(t, registrytest.Harness{
		New: func(t *testing.T) registry.Store {
			return open(t, filepath.Join(t.TempDir(), "registry.db"))
		},
		Reopen: func(t *testing.T, s registry.Store) registry.Store { return open(t, paths[s]) },
	})
}

func add(ctx context.Context, s *sqlite.Store, key string) error {
	return s.Update(ctx, func(tx registry.Tx) error {
		return tx.Put(ctx, registry.TableMeta, registry.Record{Key: key, Body: []byte("{}")})
	})
}

// One caller's failure must not take down what was committed with it.
func TestGroupedUpdatesFailAlone(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "registry.db"))
	boom := errors.New("boom")
	const n = 64
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if i%4 == 3 {
				errs[i] = s.Update(t.Context(), func(tx registry.Tx) error {
					if err := tx.Put(t.Context(), registry.TableMeta, registry.Record{Key: fmt.Sprint(i)}); err != nil {
						return err
					}
					return boom
				})
				return
			}
			errs[i] = add(t.Context(), s, fmt.Sprint(i))
		})
	}
	wg.Wait()
	var got []registry.Record
	require.NoError(t, s.View(t.Context(), func(tx registry.Tx) (err error) {
		got, err = tx.List(t.Context(), registry.TableMeta, registry.Query{})
		return err
	}))
	require.Len(t, got, n*3/4)
	for i, err := range errs {
		if i%4 == 3 {
			require.ErrorIs(t, err, boom)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestPanicStaysWithItsCaller(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "registry.db"))
	require.PanicsWithValue(t, "mine", func() {
		_ = s.Update(t.Context(), func(registry.Tx) error { panic("mine") })
	})
	require.NoError(t, add(t.Context(), s, "after"))
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "registry.db"))
	require.NoError(t, s.Close())
	require.ErrorIs(t, add(t.Context(), s, "late"), registry.ErrClosed)
	require.ErrorIs(t, s.View(t.Context(), func(registry.Tx) error { return nil }), registry.ErrClosed)
	require.NoError(t, s.Close())
}

// Keys that are no text are refused, and asking for one does not mean another.
func TestKeysThatCannotExist(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "registry.db"))
	require.NoError(t, add(t.Context(), s, "\uFFFD"))
	for _, key := range []string{"\xff", "a\x00"} {
		require.ErrorIs(t, add(t.Context(), s, key), registry.ErrInvalid)
		require.NoError(t, s.Update(t.Context(), func(tx registry.Tx) error {
			got, err := tx.Get(t.Context(), registry.TableMeta, key)
			require.Empty(t, got)
			return errors.Join(err, tx.Delete(t.Context(), registry.TableMeta, key))
		}))
	}
	require.True(t, keys(t, s)["\uFFFD"])
}

func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := openFile(b, filepath.Join(b.TempDir(), "registry.db"))
			b.SetParallelism(callers)
			var mu sync.Mutex
			n := 0
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mu.Lock()
					n++
					key := fmt.Sprint(n)
					mu.Unlock()
					if err := add(b.Context(), s, key); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
