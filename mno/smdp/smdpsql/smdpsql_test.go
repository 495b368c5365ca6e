package smdpsql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdpsql"
	"github.com/iotregistry/sdk/mno/smdp/smdptest"
)

// opener makes pools on one database that is empty at first.
type opener func(t testing.TB) *sql.DB

// databases are the kinds of database under test: each makes an empty one.
var databases = map[string]func(t testing.TB) opener{
	"SQLite":     func(t testing.TB) opener { return inFile(filepath.Join(t.TempDir(), "smdp.db")) },
	"PostgreSQL": inSchema,
}

// kinds runs a test for every kind of database, each on one that it makes.
func kinds(t *testing.T, run func(t *testing.T, empty func(t testing.TB) opener)) {
	for name, empty := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "PostgreSQL" {
				server(t)
			}
			run(t, empty)
		})
	}
}

func each(t *testing.T, run func(t *testing.T, pool opener)) {
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) { run(t, empty(t)) })
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
	schema := pgx.Identifier{"smdp " + rand.Text()}.Sanitize()
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

func open(t testing.TB, db *sql.DB) *smdpsql.Store {
	s, err := smdpsql.Open(t.Context(), db)
	require.NoError(t, err)
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		smdptest.TestStore(t, func(t *testing.T) smdp.Store { return open(t, empty(t)(t)) })
	})
}

// several is used by turns, as by processes that share a database.
type several struct {
	stores []*smdpsql.Store
	turn   chan int
}

func (s several) Find(ctx context.Context, q smdp.Query) (smdp.Profile, error) {
	return s.next().Find(ctx, q)
}

func (s several) Put(ctx context.Context, ps ...smdp.Profile) error { return s.next().Put(ctx, ps...) }

func (s several) next() *smdpsql.Store {
	n := <-s.turn
	s.turn <- (n + 1) % len(s.stores)
	return s.stores[n]
}

func TestProcessesThatShare(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		smdptest.TestStore(t, func(t *testing.T) smdp.Store {
			shared, pool := several{turn: make(chan int, 1)}, empty(t)
			shared.turn <- 0
			for range 3 {
				shared.stores = append(shared.stores, open(t, pool(t)))
			}
			return shared
		})
	})
}

// One connection is enough.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		smdptest.TestStore(t, func(t *testing.T) smdp.Store {
			db := empty(t)(t)
			db.SetMaxOpenConns(1)
			return open(t, db)
		})
	})
}

func TestOperator(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, empty func(t testing.TB) opener) {
		mnotest.TestOperator(t, func(t *testing.T) mno.Operator {
			e, err := smdp.New(smdp.Config{Address: "smdp.example", Store: open(t, empty(t)(t))})
			require.NoError(t, err)
			return e.Operator("registry")
		})
	})
}

// Whoever opens the database again finds every order in its place.
func TestReopen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pool opener) {
		meter, card := mnotest.ID(t, "1000000000000001"), mnotest.ID(t, "89049032123451234512345678901235")
		want := smdp.Profile{ICCID: "8999901", Device: meter, EUICC: card, ProfileID: 11, MatchingID: "M", State: mno.Downloaded, CodeHash: []byte{0, 1, 255}}
		want.Download.Transactions, want.Download.Bound = []string{"0A", "0B"}, []byte{0, 255}
		first := pool(t)
		require.NoError(t, open(t, first).Put(t.Context(), want))
		require.NoError(t, first.Close())
		want.Version = 1

		s := open(t, pool(t))
		for _, q := range []smdp.Query{{ICCID: "8999901"}, {MatchingID: "M"}, {Device: meter}, {Device: meter, ProfileID: 11}, {EUICC: card}, {Transaction: "0B"}} {
			got, err := s.Find(t.Context(), q)
			require.NoError(t, err, "%+v", q)
			require.Equal(t, want, got)
		}
		require.ErrorIs(t, s.Put(t.Context(), smdp.Profile{ICCID: "8999901"}), smdp.ErrChanged)
		require.NoError(t, s.Put(t.Context(), want))
	})
}

// Keys a database cannot hold are refused by every one of them, and bytes that
// JSON would replace as well.
func TestTextsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pool opener) {
		s := open(t, pool(t))
		for rule, p := range map[string]smdp.Profile{
			"NUL in an ICCID":         {ICCID: "1\x00"},
			"NUL in a matching ID":    {ICCID: "1", MatchingID: "\x00"},
			"bytes in a matching ID":  {ICCID: "1", MatchingID: "\xff"},
			"bytes in a transaction":  {ICCID: "1", Download: smdp.Download{Transactions: []string{"\xff"}}},
			"bytes in a type":         {ICCID: "1", Type: "\xff"},
			"bytes in an owner":       {ICCID: "1", Owner: "\xff"},
			"bytes in an address":     {ICCID: "1", SMDSAddress: "\xff"},
			"bytes in a failure":      {ICCID: "1", Failure: &mno.StatusError{Message: "\xff"}},
			"bytes in a failure's ID": {ICCID: "1", Failure: &mno.StatusError{Identifier: "\xff"}},
		} {
			err := s.Put(t.Context(), smdp.Profile{ICCID: "0"}, p)
			require.ErrorContains(t, err, "UTF-8", rule)
			require.NotErrorIs(t, err, smdp.ErrChanged, rule)
		}
		_, err := s.Find(t.Context(), smdp.Query{ICCID: "0"})
		require.ErrorIs(t, err, smdp.ErrNotFound)
		odd := smdp.Profile{ICCID: "1", Type: "NUL \x00 is a character of JSON"}
		require.NoError(t, s.Put(t.Context(), odd))
		got, err := s.Find(t.Context(), smdp.Query{ICCID: "1"})
		require.NoError(t, err)
		require.Equal(t, odd.Type, got.Type)
	})
}

// Each query is answered by an index, however many records there are.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	db := databases["SQLite"](t)(t)
	open(t, db)
	for where, index := range smdpsql.Plans() {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN SELECT * FROM smdp_profiles WHERE "+where, "x", "y")
		require.NoError(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		require.NoError(t, rows.Err())
		text := strings.Join(plan, "\n")
		require.Contains(t, text, index, where)
		require.NotContains(t, text, "SCAN", where)
		require.NotContains(t, text, "TEMP B-TREE", where)
	}
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "smdp")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := sql.Open("sqlite", filepath.Join(dir, "smdp.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	store, err := smdpsql.Open(ctx, db)
	if err != nil {
		fmt.Println(err)
		return
	}
	book, _ := smdp.New(smdp.Config{Address: "smdp.example", Store: store})
	fmt.Println(book.Stock(ctx, "", "iot", "8944476500001224158"))
	p, err := book.Profile(ctx, "8944476500001224158")
	fmt.Println(p.State, err)
	// Output:
	// <nil>
	// Available <nil>
}
