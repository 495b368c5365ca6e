// Package sqlite keeps a registry's records in an SQLite database. It takes an
// open *sql.DB, so the program chooses the driver: modernc.org/sqlite needs no
// C compiler and is what the examples use.
//
//	db, err := sql.Open("sqlite", "registry.db")
//	store, err := sqlite.Open(ctx, db)
//
// The file must lie on a disk that honours fsync and locks, not on a network
// share. Whoever can write the file can change every record.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/iotregistry/sdk/internal/sqlstore"
	"github.com/iotregistry/sdk/registry"
)

// busyTimeout is how long, in milliseconds, a connection waits for another
// process that writes. SQLite's own default is not to wait.
const busyTimeout = "PRAGMA busy_timeout = 10000"

// maxGroup bounds how many updates wait for one commit.
const maxGroup = 256

// Store is a [registry.Store] in an SQLite database. Make it with [Open].
//
// Updates run one at a time, each in a savepoint. While more are waiting the
// transaction stays open, and the last of them commits for all: what makes a
// commit slow is the disk, and it is paid once.
type Store struct {
	db     *sql.DB
	closed atomic.Bool

	waiting atomic.Int64 // callers that will lock turn for certain
	turn    sync.Mutex   // guards what follows
	write   *conn        // the only connection that writes
	group   *group       // of the open transaction; nil when none is open
}

// group is the updates of one transaction.
type group struct {
	size int
	done chan struct{} // closed when the transaction has ended
	err  error         // why it was not committed
}

// Open prepares db for the registry: write-ahead log, full durability, and the
// tables in their newest layout. What an older program has made is brought up
// to date in one transaction, what a newer one has made is refused with
// [ErrNewer]. It keeps one connection of db until Close and takes others to read,
// so db must allow two or more; a database in memory is refused. Other Stores,
// in this process or others, may use the same file.
func Open(ctx context.Context, db *sql.DB) (*Store, error) {
	if db.Stats().MaxOpenConnections == 1 {
		return nil, fmt.Errorf("sqlite: open: %w: the database may open one connection only: SetMaxOpenConns must be 0 or at least 2", registry.ErrInvalid)
	}
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	if err := prepare(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open: %w", err), c.Close())
	}
	return &Store{db: db, write: &conn{c: c, prepared: map[string]*sql.Stmt{}}}, nil
}

// prepare makes c the writing connection of a database whose tables are up to date.
func prepare(ctx context.Context, c *sql.Conn) error {
	for _, q := range []string{busyTimeout, "PRAGMA synchronous = FULL", "PRAGMA cache_size = -65536"} {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	var mode string
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	if mode != "wal" {
		return fmt.Errorf("%w: the database keeps no write-ahead log (journal mode %q): give it a file on a local disk, or use package memory", registry.ErrInvalid, mode)
	}
	steps, err := sqlstore.Layout()
	if err != nil {
		return err
	}
	// One transaction, so that processes that start together do it once.
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return explain(err)
	}
	err = sqlstore.Migrate(ctx, c, steps)
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	_, endErr := c.ExecContext(context.WithoutCancel(ctx), end)
	return explain(errors.Join(err, endErr))
}

// Close waits for running updates and gives the writing connection back. It
// does not close the database, which is the caller's.
func (s *Store) Close() error {
	s.lock()
	defer s.turn.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	s.commit()
	return s.write.Close()
}

// View implements [registry.Store].
func (s *Store) View(ctx context.Context, fn func(registry.Tx) error) error {
	if s.closed.Load() {
		return fmt.Errorf("sqlite: %w", registry.ErrClosed)
	}
	c, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlite: view: %w", err)
	}
	defer c.Close()
	// The pool may have opened the connection just now.
	if _, err := c.ExecContext(ctx, busyTimeout); err != nil {
		return fmt.Errorf("sqlite: view: %w", err)
	}
	tx, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("sqlite: view: %w", err)
	}
	defer tx.Rollback()
	return fn(sqlstore.Tx{Conn: tx, ReadOnly: true})
}

// Update implements [registry.Store]. A ctx that ends takes effect between the
// statements of fn and not in the middle of one, nor while another process is
// being waited for. See [ErrBusy] and [ErrFull] for what may be repeated.
func (s *Store) Update(ctx context.Context, fn func(registry.Tx) error) error {
	g, err := s.take(ctx, fn)
	if err != nil {
		return err
	}
	<-g.done
	return g.err
}

// take waits for the caller's turn and runs fn. It returns the group that fn's
// writes are committed with.
func (s *Store) take(ctx context.Context, fn func(registry.Tx) error) (*group, error) {
	s.lock()
	// Deferred, so that fn may panic or end its goroutine as tests do.
	defer s.leave()
	if s.closed.Load() {
		return nil, fmt.Errorf("sqlite: %w", registry.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.group == nil {
		if err := s.write.run("BEGIN IMMEDIATE"); err != nil {
			return nil, fmt.Errorf("sqlite: begin: %w", err)
		}
		s.group = &group{done: make(chan struct{})}
	}
	g := s.group
	g.size++
	return g, s.runOne(ctx, g, fn)
}

func (s *Store) lock() {
	s.waiting.Add(1)
	s.turn.Lock()
	s.waiting.Add(-1)
}

// leave ends a turn: the next in line goes on with the transaction, and where
// there is none, it is committed.
func (s *Store) leave() {
	if g := s.group; g != nil && (s.waiting.Load() == 0 || g.size >= maxGroup || g.err != nil) {
		s.commit()
	}
	s.turn.Unlock()
}

// commit ends the open transaction, if any, and tells its group.
func (s *Store) commit() {
	g := s.group
	if g == nil {
		return
	}
	s.group = nil
	if g.err == nil {
		if err := s.write.run("COMMIT"); err != nil {
			g.err = fmt.Errorf("sqlite: commit: %w", err)
		}
	}
	if g.err != nil {
		// SQLite may have rolled it back by itself: then this fails and is no news.
		_ = s.write.run("ROLLBACK")
	}
	close(g.done)
}

// runOne runs fn in a savepoint of the open transaction.
func (s *Store) runOne(ctx context.Context, g *group, fn func(registry.Tx) error) error {
	if err := s.write.run("SAVEPOINT one"); err != nil {
		g.err = fmt.Errorf("sqlite: savepoint: %w", err)
		return g.err
	}
	keep := false
	s.write.failed = nil
	defer func() {
		end := []string{"RELEASE one"}
		if !keep {
			end = []string{"ROLLBACK TO one", "RELEASE one"}
		}
		for _, q := range end {
			// Some failures, such as a full disk, make SQLite roll back the whole
			// transaction. Then nothing of the group may be called committed.
			if err := s.write.run(q); err != nil && g.err == nil {
				g.err = fmt.Errorf("sqlite: the transaction was lost: %w", errors.Join(s.write.failed, err))
			}
		}
	}()
	if err := fn(sqlstore.Tx{Conn: s.write}); err != nil {
		return err
	}
	if err := s.write.failed; err != nil {
		return err // fn went on as if nothing had happened
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	keep = true
	return nil
}

// conn is the writing connection. It prepares every statement once: there are
// few, and compiling them would cost as much as running them.
type conn struct {
	c        *sql.Conn
	prepared map[string]*sql.Stmt
	failed   error // of this turn; statements after it might run outside the transaction
}

// run executes one statement of the Store's own, whatever failed before.
func (c *conn) run(query string) error {
	s, err := c.prepare(query)
	if err == nil {
		_, err = s.ExecContext(context.Background())
	}
	return explain(err)
}

func (c *conn) prepare(query string) (*sql.Stmt, error) {
	if s := c.prepared[query]; s != nil {
		return s, nil
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err == nil {
		c.prepared[query] = s
	}
	return s, err
}

// statement returns the statement for one query of an update. It is to be run
// without the caller's context: interrupting a write makes SQLite roll back the
// transaction, which is the others' too, and drivers drop the connection.
func (c *conn) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.failed != nil {
		return nil, c.failed
	}
	return c.prepare(query)
}

// ExecContext implements [sqlstore.Conn].
func (c *conn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := s.ExecContext(context.WithoutCancel(ctx), args...)
	if err != nil {
		err = explain(err)
		c.failed = err
	}
	return res, err
}

// QueryContext implements [sqlstore.Conn].
func (c *conn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(context.WithoutCancel(ctx), args...)
	if err != nil {
		err = explain(err)
		c.failed = err
	}
	return rows, err
}

// Close closes statements and connection.
func (c *conn) Close() error {
	var err error
	for _, s := range c.prepared {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, c.c.Close())
}
