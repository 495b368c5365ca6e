package eimsql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/eim/eimsql"
	"github.com/iotregistry/sdk/mno/eim/eimtest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdpsql"
	"github.com/iotregistry/sdk/registry/eid"
)

// opener makes pools on one database that is empty at first.
type opener func(t testing.TB) *sql.DB

// kinds runs a test for every kind of database, with what makes empty ones.
func kinds(t *testing.T, run func(t *testing.T, empty func(t testing.TB) opener)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		run(t, func(t testing.TB) opener { return inFile(filepath.Join(t.TempDir(), "eim.db")) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server(t)
		run(t, inSchema)
	})
}

func closing(t testing.TB, db *sql.DB) *sql.DB {
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func inFile(path string) opener {
	return func(t testing.TB) *sql.DB {
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		return closing(t, db)
	}
}

// server is the PostgreSQL under test.
func server(t testing.TB) *pgx.ConnConfig {
	dsn := os.Getenv("REGISTRY_POSTGRES")
	if dsn == "" {
		t.Skip("REGISTRY_POSTGRES names no PostgreSQL server")
	}
	cfg, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	return cfg
}

// inSchema makes a schema that is dropped after the test.
func inSchema(t testing.TB) opener {
	cfg := server(t)
	admin := closing(t, stdlib.OpenDB(*cfg))
	schema := pgx.Identifier{"eim " + rand.Text()}.Sanitize()
	_, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(t, err)
	})
	return func(t testing.TB) *sql.DB {
		own := cfg.Copy()
		own.RuntimeParams["search_path"] = schema
		db := stdlib.OpenDB(*own)
		db.SetMaxOpenConns(10)
		return closing(t, db)
	}
}

func open(t testing.TB, db *sql.DB) *eimsql.Store {
	s, err := eimsql.Open(t.Context(), db)
	require.NoError(t, err)
	return s
}

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

var device = eid.MustParse("89049032123451234512345678901235")

func TestStore(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		eimtest.TestStore(t, func(t *testing.T) eim.Store { return open(t, empty(t)(t)) })
	})
}

// One connection is enough.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		eimtest.TestStore(t, func(t *testing.T) eim.Store {
			db := empty(t)(t)
			db.SetMaxOpenConns(1)
			return open(t, db)
		})
	})
}

// several is used by turns, as by processes that share a database.
type several struct {
	stores []*eimsql.Store
	turn   chan int
}

func (s several) Find(ctx context.Context, id eid.ID) (eim.Record, error) {
	return s.next().Find(ctx, id)
}

func (s several) FindJob(ctx context.Context, id string) (eim.Record, error) {
	return s.next().FindJob(ctx, id)
}

func (s several) Put(ctx context.Context, r eim.Record) error { return s.next().Put(ctx, r) }

func (s several) next() *eimsql.Store {
	n := <-s.turn
	s.turn <- (n + 1) % len(s.stores)
	return s.stores[n]
}

func TestProcessesThatShare(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		eimtest.TestStore(t, func(t *testing.T) eim.Store {
			shared, pool := several{turn: make(chan int, 1)}, empty(t)
			shared.turn <- 0
			for range 3 {
				shared.stores = append(shared.stores, open(t, pool(t)))
			}
			return shared
		})
	})
}

// Whoever opens the database again finds every record, beside what else is in it,
// also when all begin together.
func TestReopen(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		pool := empty(t)
		errs := make([]error, 6)
		var wg sync.WaitGroup
		for i := range errs {
			db := pool(t)
			wg.Go(func() {
				_, err := eimsql.Open(t.Context(), db)
				_, other := smdpsql.Open(t.Context(), db)
				errs[i] = errors.Join(err, other)
			})
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))

		first := pool(t)
		want := eim.Record{EID: device, Counter: 41, Certificate: []byte{0, 255}, Queue: []eim.Job{{ID: "0A", State: eim.Offered, Package: []byte{0, 1}}}}
		require.NoError(t, open(t, first).Put(t.Context(), want))
		orders, err := smdpsql.Open(t.Context(), first)
		require.NoError(t, err)
		require.NoError(t, orders.Put(t.Context(), smdp.Profile{ICCID: "1"}))
		require.NoError(t, first.Close())
		want.Version = 1
		got, err := open(t, pool(t)).FindJob(t.Context(), "0A")
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestLayoutOfAnotherProgram(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		db := empty(t)(t)
		open(t, db)
		for version, want := range map[int]error{99: eimsql.ErrNewer, 0: eimsql.ErrDamaged} {
			exec(t, db, "UPDATE eim_layout SET version = $1", version)
			_, err := eimsql.Open(t.Context(), db)
			require.ErrorIs(t, err, want)
			require.Zero(t, db.Stats().InUse, "the connection was given back")
		}
		exec(t, db, "UPDATE eim_layout SET version = 1")
		require.NoError(t, open(t, db).Put(t.Context(), eim.Record{EID: device}))
	})
	memory, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	_, err = eimsql.Open(t.Context(), closing(t, memory))
	require.ErrorIs(t, err, eimsql.ErrUnsupported)
}

// A damaged row is an error that names it and shows nothing of it.
func TestDamagedRow(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		db := empty(t)(t)
		s := open(t, db)
		require.NoError(t, s.Put(t.Context(), eim.Record{EID: device, Queue: []eim.Job{{ID: "0A"}}}))
		exec(t, db, "UPDATE eim_euiccs SET body = $1", []byte("{secret"))
		for _, find := range []func() (eim.Record, error){
			func() (eim.Record, error) { return s.Find(t.Context(), device) },
			func() (eim.Record, error) { return s.FindJob(t.Context(), "0A") },
		} {
			_, err := find()
			require.ErrorIs(t, err, eimsql.ErrDamaged)
			require.ErrorContains(t, err, device.String())
			require.NotContains(t, err.Error(), "secret")
		}
		exec(t, db, "UPDATE eim_euiccs SET body = $1, eid = 'x'", []byte("{}"))
		exec(t, db, "UPDATE eim_jobs SET eid = 'x'")
		_, err := s.FindJob(t.Context(), "0A")
		require.ErrorIs(t, err, eimsql.ErrDamaged)
	})
}

// Texts that JSON or a column would change are refused, wherever they stand.
func TestTextsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		s := open(t, empty(t)(t))
		const bad = "\xff"
		for i, r := range []eim.Record{
			{Queue: []eim.Job{{ID: "\x00"}}}, {History: []eim.Job{{ID: bad}}}, {Queue: []eim.Job{{Parent: bad}}},
			{Queue: []eim.Job{{State: bad}}}, {Queue: []eim.Job{{Failure: bad}}}, {Queue: []eim.Job{{ICCID: bad}}},
			{Queue: []eim.Job{{Download: &eim.Download{ActivationCode: "secret" + bad}}}}, {Queue: []eim.Job{{Download: &eim.Download{ICCID: bad}}}},
			{Queue: []eim.Job{{Steps: []eim.Step{{Action: bad}}}}}, {Queue: []eim.Job{{Steps: []eim.Step{{ICCID: bad}}}}},
			{Queue: []eim.Job{{Steps: []eim.Step{{Address: bad}}}}}, {Profiles: []eim.Profile{{ICCID: bad}}},
			{Profiles: []eim.Profile{{Name: bad}}}, {Profiles: []eim.Profile{{ServiceProvider: bad}}}, {Profiles: []eim.Profile{{Nickname: bad}}},
		} {
			r.EID = device
			err := s.Put(t.Context(), r)
			require.ErrorContains(t, err, "UTF-8", "%d", i)
			require.NotErrorIs(t, err, eim.ErrChanged)
			require.NotContains(t, err.Error(), "secret")
		}
		_, err := s.Find(t.Context(), device)
		require.ErrorIs(t, err, eim.ErrNotFound)
	})
}

// A call that is stopped in the middle has done all or nothing.
func TestStoppedInTheMiddle(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		s := open(t, empty(t)(t))
		jobs := make([]eim.Job, 300)
		for n := range jobs {
			jobs[n].ID = fmt.Sprint("J", n)
		}
		for i := range 30 {
			r, err := s.Find(t.Context(), device)
			if err != nil {
				require.ErrorIs(t, err, eim.ErrNotFound)
				r = eim.Record{EID: device}
			}
			before := r.Version
			r.Queue = append([]eim.Job{{ID: fmt.Sprint("own", i)}}, jobs...)
			ctx, stop := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
			err = s.Put(ctx, r)
			stop()
			_, stored := s.FindJob(t.Context(), fmt.Sprint("own", i))
			if err == nil {
				require.NoError(t, stored)
				continue
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
			if got, found := s.Find(t.Context(), device); found == nil {
				require.Equal(t, stored == nil, got.Version == before+1, "all or nothing")
			}
		}
	})
}

// Each query is answered by an index, however many records there are.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	db := inFile(filepath.Join(t.TempDir(), "eim.db"))(t)
	open(t, db)
	for query, index := range map[string]string{
		"SELECT * FROM eim_euiccs WHERE eid = ?1":                                                            "(eid=?)",
		"SELECT * FROM eim_euiccs WHERE eid = (SELECT eid FROM eim_jobs WHERE id = ?1 ORDER BY eid LIMIT 1)": "(id=?)",
		"DELETE FROM eim_jobs WHERE eid = ?1 AND id NOT IN (?2)":                                             "eim_jobs_eid",
	} {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, "x", "y")
		require.NoError(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		require.NoError(t, rows.Err())
		require.Contains(t, strings.Join(plan, "\n"), index, query)
		require.NotContains(t, strings.Join(plan, "\n"), "SCAN", query)
	}
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "eim")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := sql.Open("sqlite", filepath.Join(dir, "eim.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	store, err := eimsql.Open(ctx, db) // for Config.Store of an eIM
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Put(ctx, eim.Record{EID: device, Counter: 1}))
	r, err := store.Find(ctx, device)
	fmt.Println(r.Counter, err)
	// Output:
	// <nil>
	// 1 <nil>
}
