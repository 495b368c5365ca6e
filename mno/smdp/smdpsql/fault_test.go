package smdpsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/smdp"
)

// A full disk is an error that says so; nothing is half there, and with room the
// call succeeds.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	db := inFile(filepath.Join(t.TempDir(), "smdp.db") + "?_pragma=max_page_count(60)")(t)
	db.SetMaxOpenConns(1)
	s := open(t, db)
	big := smdp.Profile{ICCID: "2", Download: smdp.Download{Transactions: []string{"0A"}, Bound: make([]byte, 1<<20)}}
	err := s.Put(t.Context(), smdp.Profile{ICCID: "1"}, big)
	require.ErrorContains(t, err, "make room")
	require.NotErrorIs(t, err, smdp.ErrChanged)
	_, err = s.Find(t.Context(), smdp.Query{ICCID: "1"})
	require.ErrorIs(t, err, smdp.ErrNotFound)
	require.NoError(t, s.Put(t.Context(), smdp.Profile{ICCID: "1"}), "there is room for small things")
	exec(t, db, "PRAGMA max_page_count = 100000")
	require.NoError(t, s.Put(t.Context(), big))
}

// Callers that wait for one that writes can give up.
func TestGivingUpInTheQueue(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "smdp.db")
	s := open(t, inFile(path)(t))
	other, err := inFile(path)(t).Conn(t.Context())
	require.NoError(t, err)
	defer other.Close()
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = s.Put(ctx, smdp.Profile{ICCID: fmt.Sprint(i)}) })
	}
	patient := make(chan error, 1)
	wg.Go(func() { patient <- s.Put(t.Context(), smdp.Profile{ICCID: "patient"}) })
	<-ctx.Done()
	_, err = s.Find(t.Context(), smdp.Query{ICCID: "0"})
	require.ErrorIs(t, err, smdp.ErrNotFound, "reading goes on")
	_, err = other.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	wg.Wait()
	for i, err := range errs {
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err := s.Find(t.Context(), smdp.Query{ICCID: fmt.Sprint(i)})
		require.ErrorIs(t, err, smdp.ErrNotFound)
	}
	require.NoError(t, <-patient, "who has time waits for its turn")
}

// A call that is stopped somewhere in the middle has done all or nothing, and
// harms no other.
func TestStoppedInTheMiddle(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, pool opener) {
		s := open(t, pool(t))
		for i := range 40 {
			ps := make([]smdp.Profile, 300)
			for n := range ps {
				ps[n] = smdp.Profile{ICCID: fmt.Sprint(i, "-", n), Download: smdp.Download{Transactions: []string{fmt.Sprint("T", i, "-", n)}}}
			}
			ctx, stop := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
			err := s.Put(ctx, ps...)
			stop()
			_, first := s.Find(t.Context(), smdp.Query{ICCID: ps[0].ICCID})
			_, last := s.Find(t.Context(), smdp.Query{Transaction: fmt.Sprint("T", i, "-", 299)})
			require.Equal(t, first == nil, last == nil, "all or nothing")
			if err == nil {
				require.NoError(t, first)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		}
		require.NoError(t, s.Put(t.Context(), smdp.Profile{ICCID: "after"}))
	})
}

// The database's own words about another writer's work are ErrChanged, whatever
// the driver; nothing else is.
func TestDriversErrors(t *testing.T) {
	t.Parallel()
	sqlite := databases["SQLite"](t)(t)
	for err, changed := range map[error]bool{
		state("23505"): true, state("40001"): true, state("40P01"): true,
		state("40003"): false, state("23502"): false, state("57P01"): false,
		code(2067): true, code(1555): true, code(19): false, code(1299): false, code(5): false, code(517): false,
		errors.New("lost"): false, driver.ErrBadConn: false,
	} {
		f := &failing{driver: sqlite.Driver(), path: filepath.Join(t.TempDir(), "smdp.db")}
		db := closing(t, sql.OpenDB(f))
		s := open(t, db)
		require.NoError(t, s.Put(t.Context(), smdp.Profile{ICCID: "1"}))
		for _, at := range []string{"UPDATE smdp_profiles", "COMMIT"} {
			f.fail(at, err)
			got := s.Put(t.Context(), smdp.Profile{ICCID: "1", Version: 1, CodeHash: []byte("secret")})
			require.Error(t, got)
			require.Equal(t, changed, errors.Is(got, smdp.ErrChanged), "%v at %s: %v", err, at, got)
			require.NotContains(t, got.Error(), "secret")
			f.fail("", nil)
			require.Zero(t, db.Stats().InUse)
		}
		p, err := s.Find(t.Context(), smdp.Query{ICCID: "1"})
		require.NoError(t, err)
		require.Equal(t, uint64(1), p.Version, "rolled back")
		require.NoError(t, s.Put(t.Context(), p))
	}
}

type state string

func (s state) Error() string    { return "server: " + string(s) }
func (s state) SQLState() string { return string(s) }

type code int

func (c code) Error() string { return fmt.Sprint("file: ", int(c)) }
func (c code) Code() int     { return int(c) }

// failing is a driver that fails at a statement.
type failing struct {
	driver driver.Driver
	path   string
	mu     sync.Mutex
	at     string
	err    error
}

func (f *failing) Driver() driver.Driver { return f.driver }

func (f *failing) fail(at string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.err = at, err
}

func (f *failing) Connect(context.Context) (driver.Conn, error) {
	c, err := f.driver.Open(f.path)
	return &failingConn{c, f}, err
}

type failingConn struct {
	driver.Conn
	f *failing
}

func (c *failingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *failingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.f.mu.Lock()
	at, err := c.f.at, c.f.err
	c.f.mu.Unlock()
	if at != "" && strings.HasPrefix(query, at) {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// A server that has ended its connections, as when it starts again, is an error of
// the calls that meet it, and of none after them.
func TestServerStartsAgain(t *testing.T) {
	t.Parallel()
	pool := inSchema(t)
	db, admin := pool(t), pool(t)
	db.SetMaxOpenConns(1)
	s := open(t, db)
	require.NoError(t, s.Put(t.Context(), smdp.Profile{ICCID: "1"}))
	for version := uint64(1); version < 4; version++ {
		var pid int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
		exec(t, admin, "SELECT pg_terminate_backend($1, 5000)", pid)
		if _, err := s.Find(t.Context(), smdp.Query{ICCID: "1"}); err != nil {
			require.NotErrorIs(t, err, smdp.ErrNotFound)
		}
		require.NoError(t, s.Put(t.Context(), smdp.Profile{ICCID: "1", Version: version}))
		p, err := s.Find(t.Context(), smdp.Query{ICCID: "1"})
		require.NoError(t, err)
		require.Equal(t, version+1, p.Version)
	}
}
