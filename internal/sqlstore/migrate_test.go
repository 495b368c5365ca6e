package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/internal/sqlstore"
	"github.com/iotregistry/sdk/registry"
)

// newer are the steps of a program to come: the second cannot be done twice.
func newer(t testing.TB, second string) []sqlstore.Step {
	t.Helper()
	first, err := os.ReadFile("migrations/0001_records.sql")
	require.NoError(t, err)
	steps, err := sqlstore.Steps(fstest.MapFS{
		"0001_records.sql": {Data: first}, "0002_more.sql": {Data: []byte(second)},
	})
	require.NoError(t, err)
	return steps
}

const addColumn = `ALTER TABLE {table} ADD COLUMN more TEXT`

func layout(t testing.TB) []sqlstore.Step {
	t.Helper()
	steps, err := sqlstore.Layout()
	require.NoError(t, err)
	return steps
}

func connect(t testing.TB, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	require.NoError(t, err)
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(c.Close(), db.Close())) })
	return c
}

func exec(t testing.TB, c *sql.Conn, query string) {
	t.Helper()
	_, err := c.ExecContext(context.WithoutCancel(t.Context()), query)
	require.NoError(t, err, query)
}

// migrate does as package sqlite: one transaction that no other writer enters.
func migrate(t testing.TB, c *sql.Conn, steps []sqlstore.Step) error {
	t.Helper()
	exec(t, c, "BEGIN IMMEDIATE")
	err := sqlstore.Migrate(t.Context(), c, steps)
	if err != nil {
		exec(t, c, "ROLLBACK")
		return err
	}
	exec(t, c, "COMMIT")
	return nil
}

func count(t testing.TB, c *sql.Conn, query string) (n int) {
	t.Helper()
	require.NoError(t, c.QueryRowContext(t.Context(), query).Scan(&n), query)
	return n
}

const (
	version = `SELECT coalesce(max(version), 0) + 100 * (count(*) - 1) FROM schema_version` // and one row
	columns = `SELECT count(*) FROM pragma_table_info('accounts') WHERE name = 'more'`
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule   string
		before string // what the database holds, for each table; empty for none
		steps  []sqlstore.Step
		want   int
	}{
		{"fresh", "", layout(t), 1},
		{"fresh, all steps", "", newer(t, addColumn), 2},
		{"before there were versions", old, layout(t), 1},
		{"before there were versions, all steps", old, newer(t, addColumn), 2},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, filepath.Join(t.TempDir(), "registry.db"))
			for _, table := range registry.Tables()[:3] { // the others came later
				if c.before != "" {
					exec(t, conn, fmt.Sprintf(c.before, table))
				}
			}
			require.NoError(t, migrate(t, conn, c.steps))
			require.NoError(t, migrate(t, conn, c.steps), "once more")
			require.Equal(t, c.want, count(t, conn, version))
			for i, table := range registry.Tables() {
				want := 0
				if c.before != "" && i < 3 {
					want = 1
				}
				require.Equal(t, want, count(t, conn, "SELECT count(*) FROM "+string(table)))
			}
			require.Equal(t, c.want-1, count(t, conn, columns))
		})
	}
}

// old is a table, with a record, as programs made it before there were versions.
const old = `CREATE TABLE IF NOT EXISTS %[1]s (key TEXT COLLATE BINARY NOT NULL PRIMARY KEY, parent TEXT COLLATE BINARY NOT NULL, version BIGINT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS %[1]s_parent ON %[1]s (parent, key);
INSERT INTO %[1]s VALUES ('a', 'p', 7, x'7b7d')`

// A table that is missing at the newest version goes through every step.
func TestTableThatCameLater(t *testing.T) {
	t.Parallel()
	conn := connect(t, filepath.Join(t.TempDir(), "registry.db"))
	steps := newer(t, addColumn)
	require.NoError(t, migrate(t, conn, steps))
	exec(t, conn, "DROP TABLE accounts")
	require.NoError(t, migrate(t, conn, steps))
	require.Equal(t, 1, count(t, conn, columns))
	require.Equal(t, 2, count(t, conn, version))
}

func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, change string
		want         error
	}{
		{"newer", "UPDATE schema_version SET version = 2; DROP TABLE meta", sqlstore.ErrNewer},
		{"no version", "DELETE FROM schema_version", registry.ErrInvalid},
		{"no such version", "UPDATE schema_version SET version = -1", registry.ErrInvalid},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, filepath.Join(t.TempDir(), "registry.db"))
			require.NoError(t, migrate(t, conn, layout(t)))
			exec(t, conn, c.change)
			before := count(t, conn, "SELECT count(*) FROM sqlite_master")
			require.ErrorIs(t, migrate(t, conn, layout(t)), c.want)
			require.Equal(t, before, count(t, conn, "SELECT count(*) FROM sqlite_master"), "nothing was made")
		})
	}
}

// A step that fails on one table leaves the others as they were.
func TestFailedStepIsUndone(t *testing.T) {
	t.Parallel()
	conn := connect(t, filepath.Join(t.TempDir(), "registry.db"))
	require.NoError(t, migrate(t, conn, layout(t)))
	exec(t, conn, "ALTER TABLE meta ADD COLUMN more TEXT")
	require.ErrorContains(t, migrate(t, conn, newer(t, addColumn)), "0002_more.sql on meta")
	require.Equal(t, 1, count(t, conn, version))
	require.Zero(t, count(t, conn, columns))
	exec(t, conn, "ALTER TABLE meta DROP COLUMN more")
	require.NoError(t, migrate(t, conn, newer(t, addColumn)))
	require.Equal(t, 2, count(t, conn, version))
}

// The files as they lie on the disk in the middle of a step are those of before.
func TestCrashInTheMiddleOfAStep(t *testing.T) {
	t.Parallel()
	dir, after := t.TempDir(), t.TempDir()
	conn := connect(t, filepath.Join(dir, "registry.db"))
	require.NoError(t, migrate(t, conn, layout(t)))
	exec(t, conn, "PRAGMA cache_size = 1") // so that pages are written before COMMIT
	exec(t, conn, "BEGIN IMMEDIATE")
	require.NoError(t, sqlstore.Migrate(t.Context(), conn, newer(t, addColumn)))
	for _, name := range []string{"registry.db", "registry.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(after, name), b, 0o600))
	}
	exec(t, conn, "ROLLBACK")

	again := connect(t, filepath.Join(after, "registry.db"))
	require.Equal(t, 1, count(t, again, version))
	require.Zero(t, count(t, again, columns))
	require.NoError(t, migrate(t, again, newer(t, addColumn)))
	require.Equal(t, 2, count(t, again, version))
}

// Processes that start together make each step once: it cannot be done twice.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	conns := make([]*sql.Conn, 6)
	for i := range conns {
		conns[i] = connect(t, path)
	}
	steps := newer(t, addColumn)
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() { errs[i] = migrate(t, c, steps) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 2, count(t, conns[0], version))
}

func TestSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule  string
		names []string
		says  string
	}{
		{"in the order of their numbers", []string{"0002_b.sql", "0001_a.sql", "README.md"}, ""},
		{"begin at 1", []string{"0002_b.sql"}, "0001_"},
		{"no gaps", []string{"0001_a.sql", "0003_c.sql"}, "0002_"},
		{"no number twice", []string{"0001_a.sql", "0001_b.sql"}, "0002_"},
		{"a number", []string{"records.sql"}, "0001_"},
	} {
		dir := fstest.MapFS{}
		for _, name := range c.names {
			dir[name] = &fstest.MapFile{Data: []byte("{table} {table}")}
		}
		steps, err := sqlstore.Steps(dir)
		if c.says != "" {
			require.ErrorContains(t, err, c.says, c.rule)
			continue
		}
		require.NoError(t, err, c.rule)
		require.Len(t, steps, 2, c.rule)
		require.Equal(t, "0001_a.sql", steps[0].Name, c.rule)
		require.Equal(t, "x x", steps[0].SQL("{table}", "x"), c.rule)
	}
}
