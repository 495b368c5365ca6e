package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
	"github.com/iotregistry/sdk/registry/registrytest"
)

// settings returns the pool settings of the server under test.
func settings(t testing.TB) *pgxpool.Config {
	t.Helper()
	dsn := os.Getenv("REGISTRY_POSTGRES")
	if dsn == "" {
		t.Skip("REGISTRY_POSTGRES names no PostgreSQL server")
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.MaxConns = 10
	return cfg
}

func newPool(t testing.TB, cfg *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func quoted(names ...string) string { return pgx.Identifier(names).Sanitize() }

// newSchema returns the name of a schema that is dropped after the test.
func newSchema(t testing.TB, pool *pgxpool.Pool) string {
	name := `test "` + rand.Text() + `" 100%s` // must be quoted everywhere
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+quoted(name)+" CASCADE")
		require.NoError(t, err)
	})
	return name
}

func openStore(t testing.TB, pool *pgxpool.Pool, opts postgres.Options) *postgres.Store {
	t.Helper()
	if opts.Schema == "" {
		opts.Schema = newSchema(t, pool)
	}
	s, err := postgres.Open(t.Context(), pool, &opts)
	require.NoError(t, err)
	return s
}

func put(ctx context.Context, s registry.Store, recs ...registry.Record) error {
	return s.Update(ctx, func(tx registry.Tx) error { return tx.Put(ctx, registry.TableMeta, recs...) })
}

func get(t testing.TB, s registry.Store, keys ...string) (out []registry.Record) {
	t.Helper()
	require.NoError(t, s.View(t.Context(), func(tx registry.Tx) (err error) {
		out, err = tx.Get(t.Context(), registry.TableMeta, keys...)
		return err
	}))
	return out
}

func TestStore(t *testing.T) {
	t.Parallel()
	settings(t)
	schemas := map[registry.Store]string{}
	open := func(t *testing.T, schema string) registry.Store {
		pool := newPool(t, settings(t))
		if schema == "" {
			schema = newSchema(t, pool)
		}
		s := openStore(t, pool, postgres.Options{Schema: schema})
		schemas[s] = schema
		return s
	}
	registrytest.TestStore(t, registrytest.Harness{
		New:    func(t *testing.T) registry.Store { return open(t, "") },
		Reopen: func(t *testing.T, s registry.Store) registry.Store { return open(t, schemas[s]) },
	})
}

// Two transactions that each read what the other writes cannot both have run alone.
func TestWriteSkewIsRepeated(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var causes []error
	s := openStore(t, newPool(t, settings(t)), postgres.Options{Wait: func(_ context.Context, _ int, cause error) error {
		mu.Lock()
		defer mu.Unlock()
		causes = append(causes, cause)
		return nil
	}})
	ctx := t.Context()
	require.NoError(t, put(ctx, s, registry.Record{Key: "a", Body: []byte("on")}, registry.Record{Key: "b", Body: []byte("on")}))

	// Each may switch itself off while the other one is on.
	var both sync.WaitGroup
	both.Add(2)
	off := func(own string) error {
		first := true
		return s.Update(ctx, func(tx registry.Tx) error {
			recs, err := tx.Get(ctx, registry.TableMeta, "a", "b")
			if first {
				first = false
				both.Done()
				both.Wait() // until both have read
			}
			if err != nil {
				return err
			}
			for _, r := range recs {
				if r.Key != own && string(r.Body) == "off" {
					return nil
				}
			}
			for _, r := range recs {
				if r.Key == own {
					r.Body = []byte("off")
					return tx.Put(ctx, registry.TableMeta, r)
				}
			}
			return errors.New("not there")
		})
	}
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, key := range []string{"a", "b"} {
		wg.Go(func() { errs[i] = off(key) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	got := get(t, s, "a", "b")
	require.NotEqual(t, string(got[0].Body), string(got[1].Body), "exactly one went off")
	require.NotEmpty(t, causes)
	var e *pgconn.PgError
	require.ErrorAs(t, causes[0], &e)
	require.Equal(t, "40001", e.Code)
}

func TestPut(t *testing.T) {
	t.Parallel()
	s := openStore(t, newPool(t, settings(t)), postgres.Options{})
	many := make([]registry.Record, 2500)
	for i := range many {
		many[i].Key = fmt.Sprintf("many%04d", len(many)-i)
	}
	require.NoError(t, put(t.Context(), s, many...))
	mixed := []registry.Record{{Key: "new"}, {Key: "many0001", Version: 1, Body: []byte("x")}}
	require.NoError(t, put(t.Context(), s, mixed...))
	// As in the other stores, a key that comes twice is written twice.
	require.NoError(t, put(t.Context(), s, registry.Record{Key: "twice"}, registry.Record{Key: "twice", Version: 1, Body: []byte("2")}))
	require.Equal(t, registry.Record{Key: "twice", Version: 2, Body: []byte("2")}, get(t, s, "twice")[0])

	for _, c := range []struct {
		name string
		recs []registry.Record
		want error
		says string
	}{
		{"one of many exists", []registry.Record{{Key: "z"}, {Key: "many0007"}, {Key: "a"}}, registry.ErrConflict, `"many0007"`},
		{"one of many is old", []registry.Record{{Key: "many0002", Version: 1}, {Key: "many0001", Version: 1}}, registry.ErrConflict, `"many0001"`},
		{"one is not there", []registry.Record{{Key: "many0002", Version: 1}, {Key: "none", Version: 1}}, registry.ErrConflict, `"none"`},
		{"new twice", []registry.Record{{Key: "y"}, {Key: "y"}}, registry.ErrConflict, `"y"`},
		{"changed twice", []registry.Record{{Key: "many0002", Version: 1}, {Key: "many0002", Version: 1}}, registry.ErrConflict, `"many0002"`},
		{"largest version", []registry.Record{{Key: "many0002", Version: math.MaxUint64}}, registry.ErrConflict, `"many0002"`},
		{"no key", []registry.Record{{Key: "x"}, {}}, registry.ErrInvalid, "without a key"},
		{"NUL in key", []registry.Record{{Key: "x\x00"}}, registry.ErrInvalid, "UTF-8"},
		{"bytes in parent", []registry.Record{{Key: "x", Parent: "\xff"}}, registry.ErrInvalid, "UTF-8"},
	} {
		err := put(t.Context(), s, c.recs...)
		require.ErrorIs(t, err, c.want, c.name)
		require.ErrorContains(t, err, c.says, c.name)
		require.Len(t, get(t, s, "z", "a", "y", "x", "many0002"), 1, c.name)
	}
}

// A conflict that fn ignores must not be committed half.
func TestConflictCannotBeIgnored(t *testing.T) {
	t.Parallel()
	s := openStore(t, newPool(t, settings(t)), postgres.Options{})
	require.NoError(t, put(t.Context(), s, registry.Record{Key: "a"}))
	err := s.Update(t.Context(), func(tx registry.Tx) error {
		_ = tx.Put(t.Context(), registry.TableMeta, registry.Record{Key: "b"}, registry.Record{Key: "a"})
		return nil
	})
	require.ErrorIs(t, err, registry.ErrConflict)
	require.Empty(t, get(t, s, "b"))
}

func TestKeysThatCannotExist(t *testing.T) {
	t.Parallel()
	s := openStore(t, newPool(t, settings(t)), postgres.Options{})
	require.NoError(t, put(t.Context(), s, registry.Record{Key: "a"}))
	require.Len(t, get(t, s, "a", "a\x00", "\xff"), 1)
	require.NoError(t, s.Update(t.Context(), func(tx registry.Tx) error {
		return tx.Delete(t.Context(), registry.TableMeta, "\xff")
	}))
	require.ErrorIs(t, s.View(t.Context(), func(tx registry.Tx) error {
		_, err := tx.List(t.Context(), registry.TableMeta, registry.Query{After: "a\x00"})
		return err
	}), registry.ErrInvalid)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	pool := newPool(t, settings(t))
	for _, name := range []string{"a\x00", "\xff", fmt.Sprintf("%064d", 0)} {
		_, err := postgres.Open(t.Context(), pool, &postgres.Options{Schema: name})
		require.ErrorIs(t, err, registry.ErrInvalid)
	}

	// Processes of one registry start at the same time.
	schema := newSchema(t, pool)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = postgres.Open(t.Context(), pool, &postgres.Options{Schema: schema}) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))

	// Without a schema the connection's search_path decides.
	cfg := settings(t)
	cfg.ConnConfig.RuntimeParams["search_path"] = quoted(schema)
	there := newPool(t, cfg)
	s, err := postgres.Open(t.Context(), there, nil)
	require.NoError(t, err)
	require.NoError(t, put(t.Context(), s, registry.Record{Key: "a"}))
	again := openStore(t, pool, postgres.Options{Schema: schema})
	require.Len(t, get(t, again, "a"), 1)

	// A role without the right to create uses what is there.
	role := quoted("test " + rand.Text())
	exec := func(q string) {
		_, err := pool.Exec(context.Background(), q)
		require.NoError(t, err, q)
	}
	exec("CREATE ROLE " + role)
	t.Cleanup(func() { exec("DROP OWNED BY " + role); exec("DROP ROLE " + role) })
	exec("GRANT USAGE ON SCHEMA " + quoted(schema) + " TO " + role)
	exec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + quoted(schema) + " TO " + role)
	cfg = settings(t)
	cfg.ConnConfig.RuntimeParams["role"] = role[1 : len(role)-1]
	s = openStore(t, newPool(t, cfg), postgres.Options{Schema: schema})
	require.NoError(t, put(t.Context(), s, registry.Record{Key: "b"}))
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	pool := newPool(t, settings(t))
	dropped := newPool(t, settings(t))
	s := openStore(t, pool, postgres.Options{Schema: newSchema(t, dropped)})
	pool.Close()
	require.ErrorIs(t, put(t.Context(), s, registry.Record{Key: "a"}), registry.ErrClosed)
	require.ErrorIs(t, s.View(t.Context(), func(registry.Tx) error { return nil }), registry.ErrClosed)
	_, err := postgres.Open(t.Context(), pool, nil)
	require.ErrorIs(t, err, registry.ErrClosed)
}

func TestPanicGivesTheConnectionBack(t *testing.T) {
	t.Parallel()
	pool := newPool(t, settings(t))
	s := openStore(t, pool, postgres.Options{})
	require.PanicsWithValue(t, "mine", func() {
		_ = s.Update(t.Context(), func(registry.Tx) error { panic("mine") })
	})
	require.NoError(t, put(t.Context(), s, registry.Record{Key: "a"}))
	require.Zero(t, pool.Stat().AcquiredConns())
}
