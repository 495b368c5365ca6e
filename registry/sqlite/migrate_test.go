package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/sqlite"
)

func rawDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func layoutOf(t testing.TB, db *sql.DB) (version int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT version FROM schema_version").Scan(&version))
	return version
}

// A database made before there were versions is adopted, by several processes at
// once, with its records and without the table that came later.
func TestOldDatabaseIsAdopted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	db := rawDB(t, path)
	for _, table := range registry.Tables() {
		if table == registry.TableTransfers {
			continue
		}
		_, err := db.ExecContext(t.Context(), fmt.Sprintf(`CREATE TABLE %[1]s (key TEXT COLLATE BINARY NOT NULL PRIMARY KEY, parent TEXT COLLATE BINARY NOT NULL, version BIGINT NOT NULL, body BLOB NOT NULL);
			CREATE INDEX %[1]s_parent ON %[1]s (parent, key); INSERT INTO %[1]s VALUES ('a', 'p', 7, '{}')`, table))
		require.NoError(t, err)
	}
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		own := rawDB(t, path)
		wg.Go(func() {
			s, err := sqlite.Open(t.Context(), own)
			if err == nil {
				err = s.Close()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 1, layoutOf(t, db))

	s := openFile(t, path)
	require.NoError(t, s.Update(t.Context(), func(tx registry.Tx) error {
		for _, table := range registry.Tables() {
			got, err := tx.List(t.Context(), table, registry.Query{Parent: "p"})
			if err != nil {
				return err
			}
			if table == registry.TableTransfers {
				require.Empty(t, got)
				continue
			}
			require.Equal(t, []registry.Record{{Key: "a", Parent: "p", Version: 7, Body: []byte("{}")}}, got)
			if err := tx.Put(t.Context(), table, got...); err != nil {
				return err
			}
		}
		return nil
	}))
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	require.NoError(t, add(t.Context(), openFile(t, path), "kept"))
	db := rawDB(t, path)
	_, err := db.ExecContext(t.Context(), "UPDATE schema_version SET version = 99")
	require.NoError(t, err)
	_, err = sqlite.Open(t.Context(), db)
	require.ErrorIs(t, err, sqlite.ErrNewer)
	require.ErrorContains(t, err, "upgrade the program")
	require.Equal(t, 99, layoutOf(t, db))
	require.Zero(t, db.Stats().InUse, "the connection was given back")

	_, err = db.ExecContext(t.Context(), "UPDATE schema_version SET version = 1")
	require.NoError(t, err, "nothing holds a lock")
	require.True(t, keys(t, openFile(t, path))["kept"])
}
