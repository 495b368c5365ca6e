package postgres_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
)

// addColumn cannot be done twice.
const addColumn = `ALTER TABLE {table} ADD COLUMN more TEXT`

// newer are the steps of a program to come.
func newer(t testing.TB, second string) fstest.MapFS {
	t.Helper()
	first, err := os.ReadFile("migrations/0001_records.sql")
	require.NoError(t, err)
	return fstest.MapFS{"0001_records.sql": {Data: first}, "0002_more.sql": {Data: []byte(second)}}
}

func exec(t testing.TB, pool *pgxpool.Pool, query string) {
	t.Helper()
	_, err := pool.Exec(context.Background(), query)
	require.NoError(t, err, query)
}

func count(t testing.TB, pool *pgxpool.Pool, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&n), query)
	return n
}

func layoutOf(t testing.TB, pool *pgxpool.Pool, schema string) int {
	t.Helper()
	require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM "+quoted(schema, "schema_version")))
	return count(t, pool, "SELECT version FROM "+quoted(schema, "schema_version"))
}

// tablesIn counts the tables of a schema, columns those that a newer program added.
func tablesIn(t testing.TB, pool *pgxpool.Pool, schema string) int {
	t.Helper()
	return count(t, pool, `SELECT count(*) FROM pg_tables WHERE schemaname = $1`, schema)
}

func columnsIn(t testing.TB, pool *pgxpool.Pool, schema string) int {
	t.Helper()
	return count(t, pool, `SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND column_name = 'more'`, schema)
}

// makeOld makes the tables as programs did before there were versions, all but
// one that came later.
func makeOld(t testing.TB, pool *pgxpool.Pool, schema string) {
	t.Helper()
	exec(t, pool, "CREATE SCHEMA "+quoted(schema))
	for _, table := range registry.Tables() {
		if table == registry.TableTransfers {
			continue
		}
		name := quoted(schema, string(table))
		exec(t, pool, `CREATE TABLE `+name+` (key TEXT COLLATE "C" NOT NULL PRIMARY KEY, parent TEXT COLLATE "C" NOT NULL, version BIGINT NOT NULL, body BYTEA NOT NULL);
			CREATE INDEX `+quoted(string(table)+"_parent")+` ON `+name+` (parent, key);
			INSERT INTO `+name+` VALUES ('a', 'p', 7, '{}')`)
	}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		old  bool
		dir  fstest.MapFS // nil for this program's own
		want int
	}{
		{"fresh", false, nil, 1},
		{"fresh, all steps", false, newer(t, addColumn), 2},
		{"before there were versions", true, nil, 1},
		{"before there were versions, all steps", true, newer(t, addColumn), 2},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, settings(t))
			schema := newSchema(t, pool)
			if c.old {
				makeOld(t, pool, schema)
			}
			// Processes that start together, and one that comes later.
			errs := make([]error, 6)
			open := func() error {
				own, err := pgxpool.NewWithConfig(t.Context(), settings(t))
				if err != nil {
					return err
				}
				defer own.Close()
				opts := &postgres.Options{Schema: schema}
				if c.dir == nil {
					_, err = postgres.Open(t.Context(), own, opts)
					return err
				}
				_, err = postgres.OpenSteps(t.Context(), own, opts, c.dir)
				return err
			}
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { errs[i] = open() })
			}
			wg.Wait()
			require.NoError(t, errors.Join(append(errs, open())...))
			require.Equal(t, c.want, layoutOf(t, pool, schema))
			require.Equal(t, len(registry.Tables())+1, tablesIn(t, pool, schema))
			require.Equal(t, (c.want-1)*len(registry.Tables()), columnsIn(t, pool, schema))
			require.Equal(t, c.old, count(t, pool, "SELECT count(*) FROM "+quoted(schema, "meta")+" WHERE version = 7") == 1)
		})
	}
}

// A role that may not create tables learns who must open the store first.
func TestRoleThatMayNotCreate(t *testing.T) {
	t.Parallel()
	pool := newPool(t, settings(t))
	schema, name := newSchema(t, pool), "test "+rand.Text()
	makeOld(t, pool, schema)
	exec(t, pool, "CREATE ROLE "+quoted(name))
	t.Cleanup(func() { exec(t, pool, "DROP OWNED BY "+quoted(name)); exec(t, pool, "DROP ROLE "+quoted(name)) })
	grant := func() {
		exec(t, pool, "GRANT USAGE ON SCHEMA "+quoted(schema)+" TO "+quoted(name))
		exec(t, pool, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+quoted(schema)+" TO "+quoted(name))
	}
	grant()
	cfg := settings(t)
	cfg.ConnConfig.RuntimeParams["role"] = name
	limited := newPool(t, cfg)
	opts := postgres.Options{Schema: schema}
	_, err := postgres.Open(t.Context(), limited, &opts)
	require.ErrorContains(t, err, "let a role that may create and alter tables open the store once")
	require.Equal(t, len(registry.Tables())-1, tablesIn(t, pool, schema))

	openStore(t, pool, opts)
	grant()
	require.NoError(t, put(t.Context(), openStore(t, limited, opts), registry.Record{Key: "b"}))
}

// A table that is missing at the newest version goes through every step.
func TestTableThatCameLater(t *testing.T) {
	t.Parallel()
	pool := newPool(t, settings(t))
	schema := newSchema(t, pool)
	opts := &postgres.Options{Schema: schema}
	_, err := postgres.OpenSteps(t.Context(), pool, opts, newer(t, addColumn))
	require.NoError(t, err)
	exec(t, pool, "DROP TABLE "+quoted(schema, "transfers"))
	_, err = postgres.OpenSteps(t.Context(), pool, opts, newer(t, addColumn))
	require.NoError(t, err)
	require.Equal(t, len(registry.Tables()), columnsIn(t, pool, schema))
	require.Equal(t, 2, layoutOf(t, pool, schema))
}

func TestLayoutIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule    string
		version string
		want    error
	}{
		{"newer", "2", postgres.ErrNewer},
		{"damaged", "-1", registry.ErrInvalid},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, settings(t))
			schema := newSchema(t, pool)
			openStore(t, pool, postgres.Options{Schema: schema})
			exec(t, pool, "DROP TABLE "+quoted(schema, "transfers"))
			exec(t, pool, "UPDATE "+quoted(schema, "schema_version")+" SET version = "+c.version)
			_, err := postgres.Open(t.Context(), pool, &postgres.Options{Schema: schema})
			require.ErrorIs(t, err, c.want)
			require.Equal(t, len(registry.Tables()), tablesIn(t, pool, schema), "nothing was made")
		})
	}
}

// A step that fails on one table leaves the others as they were.
func TestFailedStepIsUndone(t *testing.T) {
	t.Parallel()
	pool := newPool(t, settings(t))
	schema := newSchema(t, pool)
	opts := postgres.Options{Schema: schema}
	openStore(t, pool, opts)
	exec(t, pool, "ALTER TABLE "+quoted(schema, "meta")+" ADD COLUMN more TEXT")
	_, err := postgres.OpenSteps(t.Context(), pool, &opts, newer(t, addColumn))
	require.ErrorContains(t, err, "0002_more.sql on meta")
	require.Equal(t, 1, columnsIn(t, pool, schema))
	require.Equal(t, 1, layoutOf(t, pool, schema))
}

// cutConn is a connection that breaks when a marker is about to be sent.
type cutConn struct {
	net.Conn
	marker []byte
}

func (c cutConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, c.marker) {
		_ = c.Conn.Close() // with the transaction open on the server
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func cutPool(t *testing.T, cfg *pgxpool.Config, marker string) *pgxpool.Pool {
	t.Helper()
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return cutConn{c, []byte(marker)}, err
	}
	return newPool(t, cfg)
}

// A process that dies in the middle of a step leaves what was there before.
func TestCrashInTheMiddleOfAStep(t *testing.T) {
	t.Parallel()
	for _, marker := range []string{`"meta_parent"`, "SET version = $1", "commit"} {
		t.Run(marker, func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, settings(t))
			schema := newSchema(t, pool)
			opts := postgres.Options{Schema: schema, MaxRetries: -1}
			_, err := postgres.Open(t.Context(), cutPool(t, settings(t), marker), &opts)
			require.Error(t, err)
			require.Zero(t, tablesIn(t, pool, schema))
			require.NoError(t, put(t.Context(), openStore(t, pool, opts), registry.Record{Key: "a"}))
			require.Equal(t, 1, layoutOf(t, pool, schema))
		})
	}
}

// calling returns settings for a server that says to be another one.
func calling(t testing.TB, pool *pgxpool.Pool, version string) func() *pgxpool.Config {
	t.Helper()
	names := newSchema(t, pool)
	exec(t, pool, "CREATE SCHEMA "+quoted(names))
	exec(t, pool, "CREATE FUNCTION "+quoted(names)+".version() RETURNS TEXT LANGUAGE SQL AS $$ SELECT '"+version+"' $$")
	return func() *pgxpool.Config {
		cfg := settings(t)
		cfg.ConnConfig.RuntimeParams["search_path"] = quoted(names) + ", pg_catalog"
		return cfg
	}
}

func TestDialects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version        string
		bytes, storage bool // told to order text as bytes, and to leave room
	}{
		{"PostgreSQL 15.14 on x86_64-pc-linux-gnu", true, true},
		{"PostgreSQL 15.12-YB-2026.1.1.1-b0 on aarch64-unknown-linux-gnu", true, false},
		{"CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu)", false, false},
	} {
		t.Run(c.version, func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, settings(t))
			schema := newSchema(t, pool)
			s := openStore(t, newPool(t, calling(t, pool, c.version)()), postgres.Options{Schema: schema})
			require.NoError(t, put(t.Context(), s, registry.Record{Key: "a"}))
			require.Equal(t, c.bytes, count(t, pool, `SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND collation_name = 'C'`, schema) > 0)
			require.Equal(t, c.storage, count(t, pool, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.reloptions IS NOT NULL`, schema) > 0)
		})
	}
}

// CockroachDB cannot undo definitions. On a server that calls itself that, the
// statements go one by one, and a crash between them is made good by the next
// program.
func TestCockroachDB(t *testing.T) {
	t.Parallel()
	pool := newPool(t, settings(t))
	schema, cfg := newSchema(t, pool), calling(t, pool, "CockroachDB CCL v24.1.0")
	opts := postgres.Options{Schema: schema, MaxRetries: -1}
	last := registry.Tables()[len(registry.Tables())-1]
	_, err := postgres.Open(t.Context(), cutPool(t, cfg(), quoted(string(last)+"_parent")), &opts)
	require.Error(t, err)
	require.Equal(t, len(registry.Tables()), tablesIn(t, pool, schema), "all but the last, and the version's")
	require.Equal(t, 0, layoutOf(t, pool, schema))

	require.NoError(t, put(t.Context(), openStore(t, newPool(t, cfg()), opts), registry.Record{Key: "a"}))
	require.Equal(t, 1, layoutOf(t, pool, schema))
}
