package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/sqlite"
)

func keys(t *testing.T, s *sqlite.Store) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	require.NoError(t, s.View(t.Context(), func(tx registry.Tx) error {
		recs, err := tx.List(t.Context(), registry.TableMeta, registry.Query{})
		for _, r := range recs {
			out[r.Key] = true
		}
		return err
	}))
	return out
}

// many runs n updates at once, of which every third is replaced by odd, and
// demands that what was kept is exactly what was reported as kept.
func many(t *testing.T, s *sqlite.Store, n int, odd func(i int) error) (failed int) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = context.Canceled // for a goroutine that ends inside
			if i%3 == 2 {
				errs[i] = odd(i)
			} else {
				errs[i] = add(t.Context(), s, fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	got := keys(t, s)
	for i, err := range errs {
		require.Equal(t, err == nil, got[fmt.Sprint(i)], "update %d: %v", i, err)
		if err != nil {
			failed++
		}
	}
	return failed
}

func fill(ctx context.Context, tx registry.Tx, i, n, size int) error {
	for j := range n {
		key := fmt.Sprint(i)
		if j > 0 {
			key += fmt.Sprint("/", j)
		}
		if err := tx.Put(ctx, registry.TableMeta, registry.Record{Key: key, Body: make([]byte, size)}); err != nil {
			return err
		}
	}
	return nil
}

// A full disk makes SQLite drop the whole transaction. Nobody whose writes went
// with it may be told that they were kept, nor the other way round.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, ignore := range map[string]bool{"reported": false, "ignored": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openFile(t, filepath.Join(t.TempDir(), "registry.db")+"?_pragma=max_page_count(200)")
			for range 5 {
				many(t, s, 30, func(i int) error {
					return s.Update(t.Context(), func(tx registry.Tx) error {
						err := fill(t.Context(), tx, i, 20, 100_000)
						if ignore {
							// What comes after must not slip in outside the transaction.
							_ = tx.Put(t.Context(), registry.TableMeta, registry.Record{Key: fmt.Sprint(i)})
							return nil
						}
						return err
					})
				})
				require.NoError(t, s.Update(t.Context(), func(tx registry.Tx) error {
					for key := range keys(t, s) {
						if err := tx.Delete(t.Context(), registry.TableMeta, key); err != nil {
							return err
						}
					}
					return nil
				}), "there is room for small things")
			}
		})
	}
}

// connector remembers its connections, so that a test can change their settings.
type connector struct {
	driver driver.Driver
	path   string
	mu     sync.Mutex
	conns  []driver.Conn
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.path)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return conn, err
}

// set is for moments at which no connection is in use. The first is the store's own.
func (c *connector) set(t *testing.T, pragma string) {
	t.Helper()
	_, err := c.conns[0].(driver.ExecerContext).ExecContext(t.Context(), "PRAGMA "+pragma, nil)
	require.NoError(t, err)
}

func openConnector(t *testing.T, path string) (*sqlite.Store, *connector) {
	t.Helper()
	c := &connector{driver: rawDB(t, path).Driver(), path: path}
	db := sql.OpenDB(c)
	s, err := sqlite.Open(t.Context(), db)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(s.Close(), db.Close())) })
	return s, c
}

// When the disk fills up while updates are committed together, all of them learn
// why, what was acknowledged before stays, and with room everything goes on.
func TestRoomAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	s, c := openConnector(t, path)
	require.NoError(t, add(t.Context(), s, "before"))
	c.set(t, "max_page_count = 300")
	const n = 40
	update := func(i int) error {
		return s.Update(t.Context(), func(tx registry.Tx) error { return fill(t.Context(), tx, i, 5, 20_000) })
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = update(i) })
	}
	wg.Wait()
	got, failed := keys(t, s), 0
	for i, err := range errs {
		require.Equal(t, err == nil, got[fmt.Sprint(i)], "update %d: %v", i, err)
		if err != nil {
			require.ErrorIs(t, err, sqlite.ErrFull)
			failed++
		}
	}
	require.NotZero(t, failed)

	c.set(t, "max_page_count = 1000000")
	for i, err := range errs {
		if err != nil {
			require.NoError(t, update(i), "repeated")
		}
	}
	require.Len(t, keys(t, openFile(t, path)), 1+5*n)
}

// A lock that another process does not let go is an error that says so, before
// the update has run.
func TestLockedByAnotherProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	s, c := openConnector(t, path)
	c.set(t, "busy_timeout = 20") // in place of ten seconds
	other, err := rawDB(t, path).Conn(t.Context())
	require.NoError(t, err)
	defer other.Close()
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.Update(t.Context(), func(registry.Tx) error { return errors.New("must not run") })
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, sqlite.ErrBusy)
		require.ErrorContains(t, err, "repeat the call later")
	}
	require.Empty(t, keys(t, s), "reading goes on")

	_, err = other.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	require.NoError(t, add(t.Context(), s, "repeated"))
}

// Eight writers that each change records of their own and one of all get no error.
func TestEightWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	const writers, rounds, batch = 8, 20, 25
	stores := []*sqlite.Store{openFile(t, path), openFile(t, path)}
	require.NoError(t, add(t.Context(), stores[0], "of all"))
	var errs [writers]error
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for round := range rounds {
				errs[w] = errors.Join(errs[w], stores[w%2].Update(t.Context(), func(tx registry.Tx) error {
					recs, err := tx.Get(t.Context(), registry.TableMeta, "of all")
					if err != nil {
						return err
					}
					for i := range batch {
						recs = append(recs, registry.Record{Key: fmt.Sprint(w, round, i)})
					}
					return tx.Put(t.Context(), registry.TableMeta, recs...)
				}))
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	require.Len(t, keys(t, stores[0]), 1+writers*rounds*batch)
	require.NoError(t, stores[1].View(t.Context(), func(tx registry.Tx) error {
		recs, err := tx.Get(t.Context(), registry.TableMeta, "of all")
		require.Equal(t, uint64(1+writers*rounds), recs[0].Version)
		return err
	}))
}

// A caller that gives up in the middle of a statement harms no other.
func TestCancelledInTheMiddle(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "registry.db"))
	failed := many(t, s, 90, func(i int) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		return s.Update(ctx, func(tx registry.Tx) error {
			time.AfterFunc(time.Duration(i*20)*time.Microsecond, cancel)
			for {
				if err := fill(ctx, tx, i, 1, 200_000); err != nil {
					return err
				}
				if err := tx.Delete(ctx, registry.TableMeta, fmt.Sprint(i)); err != nil {
					return err
				}
			}
		})
	})
	require.Equal(t, 30, failed)
	require.NoError(t, add(t.Context(), s, "after"))
}

// A test that fails inside an update ends its goroutine.
func TestGoroutineEndsInside(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "registry.db"))
	failed := many(t, s, 30, func(i int) error {
		return s.Update(t.Context(), func(tx registry.Tx) error {
			if err := fill(t.Context(), tx, i, 1, 1); err != nil {
				return err
			}
			runtime.Goexit()
			return nil
		})
	})
	require.Equal(t, 10, failed)
	require.NoError(t, add(t.Context(), s, "after"))
}

// Close ends no update in the middle, and each one knows what became of it.
func TestCloseWhileBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	s := openFile(t, path)
	const n = 50
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if i == n/2 {
				errs[i] = s.Close()
				return
			}
			errs[i] = add(t.Context(), s, fmt.Sprint(i))
		})
	}
	wg.Wait()
	require.NoError(t, errs[n/2])
	got := keys(t, openFile(t, path))
	for i, err := range errs {
		if i != n/2 {
			require.Equal(t, err == nil, got[fmt.Sprint(i)])
		}
		if err != nil {
			require.ErrorIs(t, err, registry.ErrClosed)
		}
	}
}

// Two Stores on one file stand for two processes: SQLite's locks are per
// connection. They may even be the ones that make the file.
func TestTwoStoresOnOneFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	stores := make([]*sqlite.Store, 4)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i] = openFile(t, path) })
	}
	wg.Wait()
	const each = 40
	errs := make([]error, len(stores)*each)
	for i := range errs {
		wg.Go(func() {
			s := stores[i%len(stores)]
			if errs[i] = add(t.Context(), s, fmt.Sprint(i)); errs[i] == nil {
				errs[i] = s.View(t.Context(), func(tx registry.Tx) error {
					_, err := tx.List(t.Context(), registry.TableMeta, registry.Query{})
					return err
				})
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, keys(t, stores[0]), len(errs))
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	one, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "registry.db"))
	require.NoError(t, err)
	defer one.Close()
	one.SetMaxOpenConns(1)
	_, err = sqlite.Open(t.Context(), one)
	require.ErrorIs(t, err, registry.ErrInvalid)
	require.ErrorContains(t, err, "SetMaxOpenConns")

	memory, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	defer memory.Close()
	_, err = sqlite.Open(t.Context(), memory)
	require.ErrorIs(t, err, registry.ErrInvalid)
	require.ErrorContains(t, err, "package memory")
}
