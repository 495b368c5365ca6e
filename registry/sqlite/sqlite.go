// Package sqlite keeps a registry's records in an SQLite database. It takes an
// open *sql.DB, so the program chooses the driver: modernc.org/sqlite needs no
// C compiler and is what the examples use.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/iotregistry/sdk/internal/sqlstore"
	"github.com/iotregistry/sdk/registry"
)

// Store is a [registry.Store] in an SQLite database. Make it with [Open].
//
// Updates that arrive while another one is being written wait and are then
// committed together, each in a savepoint of its own: what makes a commit slow
// is the disk, and it is paid once for all of them.
type Store struct {
	db    *sql.DB
	write *conn // the only connection that writes

	mu     sync.Mutex
	queue  []*update
	busy   bool          // somebody is committing batches
	idle   chan struct{} // closed when busy ends after Close
	closed bool
}

type update struct {
	ctx  context.Context
	fn   func(registry.Tx) error
	done chan struct{} // closed when the fields below are set

	err      error
	panicked any // raised again in the caller's own goroutine
}

// Open prepares db for the registry: write-ahead log, full durability, the
// tables. The database must be used by this Store alone in this process; other
// processes may open the same file with a Store of their own.
func Open(ctx context.Context, db *sql.DB) (*Store, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	for _, q := range []string{
		"PRAGMA busy_timeout = 10000",
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA cache_size = -65536",
	} {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return nil, errors.Join(fmt.Errorf("sqlite: %s: %w", q, err), c.Close())
		}
	}
	if err := sqlstore.Create(ctx, c, sqlstore.SQLite); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &Store{db: db, write: &conn{c: c, prepared: map[string]*sql.Stmt{}}}, nil
}

// Close waits for running updates and gives the writing connection back. It
// does not close the database, which is the caller's.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var idle chan struct{}
	if s.busy {
		s.idle = make(chan struct{})
		idle = s.idle
	}
	s.mu.Unlock()
	if idle != nil {
		<-idle
	}
	return s.write.Close()
}

// View implements [registry.Store].
func (s *Store) View(ctx context.Context, fn func(registry.Tx) error) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("sqlite: %w", registry.ErrClosed)
	}
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("sqlite: begin: %w", err)
	}
	defer tx.Rollback()
	return fn(sqlstore.Tx{Conn: tx, Dialect: sqlstore.SQLite, ReadOnly: true})
}

// Update implements [registry.Store].
func (s *Store) Update(ctx context.Context, fn func(registry.Tx) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("sqlite: %w", registry.ErrClosed)
	}
	s.queue = append(s.queue, u)
	lead := !s.busy
	s.busy = true
	s.mu.Unlock()
	if lead && s.round() {
		go s.drain()
	}
	<-u.done
	if u.panicked != nil {
		panic(u.panicked) // fn's own, back in the goroutine that called it
	}
	return u.err
}

// drain commits until nothing is queued. It takes over from a caller that has
// led one round, so that none works for others longer than that.
func (s *Store) drain() {
	for s.round() {
	}
}

// round commits what is queued and reports whether more has come in meanwhile.
func (s *Store) round() bool {
	s.mu.Lock()
	batch := s.queue
	s.queue = nil
	s.mu.Unlock()

	s.commit(batch)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = len(s.queue) > 0
	if !s.busy && s.idle != nil {
		close(s.idle)
	}
	return s.busy
}

// commit runs a batch of updates in one SQL transaction. One that fails is
// rolled back to its savepoint and harms no other.
func (s *Store) commit(batch []*update) {
	// A caller that gives up must not tear down the others' transaction.
	ctx := context.Background()
	_, err := s.write.ExecContext(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		for _, u := range batch {
			u.err = s.runOne(ctx, u)
		}
		_, err = s.write.ExecContext(ctx, "COMMIT")
		if err != nil {
			// The transaction may still be open, for instance when the disk is full.
			_, _ = s.write.ExecContext(ctx, "ROLLBACK")
		}
	}
	for _, u := range batch {
		if err != nil && u.err == nil {
			u.err = fmt.Errorf("sqlite: commit: %w", err)
		}
		close(u.done)
	}
}

func (s *Store) runOne(ctx context.Context, u *update) (err error) {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if _, err := s.write.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return fmt.Errorf("sqlite: savepoint: %w", err)
	}
	defer func() {
		u.panicked = recover()
		if err != nil || u.panicked != nil {
			if _, e := s.write.ExecContext(ctx, "ROLLBACK TO one"); e != nil {
				err = errors.Join(err, fmt.Errorf("sqlite: savepoint: %w", e))
			}
		}
		if _, e := s.write.ExecContext(ctx, "RELEASE one"); e != nil {
			err = errors.Join(err, fmt.Errorf("sqlite: savepoint: %w", e))
		}
	}()
	if err := u.fn(sqlstore.Tx{Conn: s.write, Dialect: sqlstore.SQLite}); err != nil {
		return err
	}
	return u.ctx.Err()
}

// conn is a connection that prepares every statement once: there are few, and
// compiling them would cost as much as running them. One goroutine at a time.
type conn struct {
	c        *sql.Conn
	prepared map[string]*sql.Stmt
}

func (c *conn) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := c.prepared[query]; s != nil {
		return s, nil
	}
	s, err := c.c.PrepareContext(ctx, query)
	if err == nil {
		c.prepared[query] = s
	}
	return s, err
}

// ExecContext implements [sqlstore.Conn].
func (c *conn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext implements [sqlstore.Conn].
func (c *conn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// Close closes statements and connection.
func (c *conn) Close() error {
	var err error
	for _, s := range c.prepared {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, c.c.Close())
}
