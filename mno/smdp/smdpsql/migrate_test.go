package smdpsql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdpsql"
)

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// Processes that start together on an empty database all find the same tables.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pool opener) {
		errs := make([]error, 6)
		var wg sync.WaitGroup
		for i := range errs {
			db := pool(t)
			wg.Go(func() {
				_, err := smdpsql.Open(t.Context(), db)
				errs[i] = err
			})
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		var version int
		require.NoError(t, pool(t).QueryRowContext(t.Context(), "SELECT version FROM smdp_layout").Scan(&version))
		require.Equal(t, 1, version)
	})
}

func TestLayoutOfAnotherProgram(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pool opener) {
		db := pool(t)
		require.NoError(t, open(t, db).Put(t.Context(), smdp.Profile{ICCID: "1"}))
		exec(t, db, "UPDATE smdp_layout SET version = 99")
		_, err := smdpsql.Open(t.Context(), db)
		require.ErrorIs(t, err, smdpsql.ErrNewer)
		require.ErrorContains(t, err, "upgrade the program")
		require.Zero(t, db.Stats().InUse, "the connection was given back")

		exec(t, db, "UPDATE smdp_layout SET version = 0")
		_, err = smdpsql.Open(t.Context(), db)
		require.ErrorIs(t, err, smdpsql.ErrDamaged)
		exec(t, db, "UPDATE smdp_layout SET version = 1")
		_, err = open(t, db).Find(t.Context(), smdp.Query{ICCID: "1"})
		require.NoError(t, err, "nothing was changed, nothing holds a lock")
	})
}

// A migration that fails leaves nothing behind, so that it can be repeated.
func TestMigrationFails(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pool opener) {
		db := pool(t)
		exec(t, db, "CREATE TABLE smdp_transactions (other INTEGER)") // somebody else's
		_, err := smdpsql.Open(t.Context(), db)
		require.ErrorContains(t, err, "step 1")
		_, err = db.ExecContext(t.Context(), "SELECT * FROM smdp_profiles")
		require.Error(t, err, "rolled back")
		exec(t, db, "DROP TABLE smdp_transactions")
		require.NoError(t, open(t, db).Put(t.Context(), smdp.Profile{ICCID: "1"}))
	})
}

// A role that may not make tables can use them.
func TestNoRightToMakeTables(t *testing.T) {
	t.Parallel()
	pool := inSchema(t)
	open(t, pool(t))
	db := pool(t)
	db.SetMaxOpenConns(1)
	role := pgx.Identifier{"smdp " + rand.Text()}.Sanitize()
	exec(t, db, "CREATE ROLE "+role)
	t.Cleanup(func() {
		ctx := context.Background()
		for _, q := range []string{"RESET ROLE", "DROP OWNED BY " + role, "DROP ROLE " + role} {
			_, err := db.ExecContext(ctx, q)
			require.NoError(t, err)
		}
	})
	var schema string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT quote_ident(current_schema())").Scan(&schema))
	exec(t, db, "GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	exec(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+schema+" TO "+role)
	exec(t, db, "SET ROLE "+role)
	require.NoError(t, open(t, db).Put(t.Context(), smdp.Profile{ICCID: "1"}))
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	memory, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	_, err = smdpsql.Open(t.Context(), closing(t, memory))
	require.ErrorIs(t, err, smdpsql.ErrUnsupported)
	require.ErrorContains(t, err, "memory", "each connection would have one of its own")

	_, err = smdpsql.Open(t.Context(), closing(t, sql.OpenDB(other{})))
	require.ErrorIs(t, err, smdpsql.ErrUnsupported)
	require.ErrorContains(t, err, "speaks no SQL")

	_, err = smdpsql.Open(t.Context(), inFile(filepath.Join(t.TempDir(), "no", "such", "folder"))(t))
	require.Error(t, err)
	require.NotErrorIs(t, err, smdpsql.ErrUnsupported)

	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err = smdpsql.Open(stopped, databases["SQLite"](t)(t))
	require.ErrorIs(t, err, context.Canceled)
}

// other is a database of another kind.
type other struct{}

func (o other) Connect(context.Context) (driver.Conn, error) { return o, nil }
func (o other) Driver() driver.Driver                        { return nil }
func (o other) Close() error                                 { return nil }
func (o other) Begin() (driver.Tx, error)                    { return nil, errors.New("has no transactions") }
func (o other) Prepare(string) (driver.Stmt, error)          { return nil, errors.New("speaks no SQL") }
