// Package postgres keeps a registry's records in PostgreSQL, for registries
// that several processes or machines serve together. [Open] takes the
// program's pgx pool and makes the tables; the [Store] it returns goes into
// registry.Config.
//
// Updates run at SERIALIZABLE and are repeated when the database says that
// they conflicted, so what they do must follow from what they read. An update
// whose connection broke during COMMIT is not repeated: see [ErrUnknownOutcome].
//
// By construction it also suits CockroachDB and YugabyteDB, where it is untested.
// There are no sequences, triggers, stored code, advisory locks, temporary
// tables or notifications; every table has its key from the start; conflicts
// end in 40001 or 40P01 and are repeated. Tables are made in one transaction
// with the version of their layout where definitions can be undone. CockroachDB
// commits them by themselves, so there each statement is sent alone and the
// version is written last; YugabyteDB may keep the definitions of a transaction
// that failed. Both do no harm: every statement can be run again.
//
// What is tested is PostgreSQL 15: the suite registrytest at SERIALIZABLE,
// 40001 forced by write skew and by a connection that answers COMMIT with it,
// connections cut before and after COMMIT, and the order of statements for
// CockroachDB on a server that only calls itself that.
//
// Set max_pred_locks_per_transaction to 1024 or more in the server's
// postgresql.conf. With the default of 64 an update that reads more than some
// hundred records counts as having read their whole table, so that updates of
// several processes repeat each other: less than half as fast with batches of 500
// records and 8 writers. Tables that an older program made have full pages; to
// give them room too: ALTER TABLE .. SET (fillfactor = 50), then VACUUM FULL.
//
// What this does not protect from: whoever may write to the tables can change
// every record, and the connection is as safe as the pool's sslmode makes it.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/iotregistry/sdk/internal/sqlstore"
	"github.com/iotregistry/sdk/registry"
)

// DefaultMaxRetries is how often an update is repeated when Options does not say.
const DefaultMaxRetries = 20

// How long a COMMIT may take to be answered and a ROLLBACK to be sent. Neither
// is cut short by the caller's context: giving up in the middle of a COMMIT
// would lose the knowledge whether it happened.
const (
	commitTimeout   = 30 * time.Second
	rollbackTimeout = 5 * time.Second
)

// maxSchema is the longest name PostgreSQL does not silently cut.
const maxSchema = 63

// ErrUnknownOutcome says that the connection broke, or the server could not
// tell, while an update was being committed: it may have happened or not. Read
// what it should have written before doing it again. Records that carry their
// version make repeating safe: of two equal updates one ends in
// [registry.ErrConflict].
var ErrUnknownOutcome = errors.New("postgres: the connection broke during COMMIT, so the update may have happened or not: read before you repeat it")

// ErrNewer says that a newer program has changed the layout of the tables, which
// this one would damage. Nothing was changed by [Open].
var ErrNewer = sqlstore.ErrNewer

// Options change how a Store works. Nil and the zero value mean the defaults.
type Options struct {
	// Schema is the PostgreSQL schema of the tables, made when absent. Empty
	// means the first of the connection's search_path.
	Schema string

	// MaxRetries is how often an update that conflicted or lost its connection
	// is repeated. 0 means DefaultMaxRetries, less than 0 never.
	MaxRetries int

	// Wait is called before each repetition, counted from 1, with its cause. Its
	// error ends the update. Nil waits a random time that grows from a
	// millisecond to a quarter of a second.
	Wait func(ctx context.Context, retry int, cause error) error
}

// Store is a [registry.Store] in PostgreSQL. Make it with [Open]. It is safe
// for concurrent use and holds nothing that must be closed; the pool stays its
// caller's.
type Store struct {
	pool    *pgxpool.Pool
	retries int
	wait    func(context.Context, int, error) error
	sql     map[registry.Table]*statements
	begin   string // of an update
}

// Open returns a Store on pool, makes the tables that are missing and brings
// those that an older program made to the newest layout. What a newer program
// has made is refused with [ErrNewer]. A role that may not create tables can
// open what another one has made and brought up to date. A nil opts means the
// defaults.
func Open(ctx context.Context, pool *pgxpool.Pool, opts *Options) (*Store, error) {
	steps, err := layout()
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	if opts == nil {
		opts = &Options{}
	}
	return open(ctx, pool, opts, steps)
}

func open(ctx context.Context, pool *pgxpool.Pool, opts *Options, steps []sqlstore.Step) (*Store, error) {
	if len(opts.Schema) > maxSchema || !storable(opts.Schema) {
		return nil, fmt.Errorf("postgres: open: %w: Schema must be UTF-8 of at most %d bytes", registry.ErrInvalid, maxSchema)
	}
	s := &Store{pool: pool, retries: opts.MaxRetries, wait: opts.Wait, sql: map[registry.Table]*statements{}}
	if s.retries == 0 {
		s.retries = DefaultMaxRetries
	}
	if s.wait == nil {
		s.wait = backOff
	}
	for _, t := range registry.Tables() {
		s.sql[t] = newStatements(opts.Schema, t)
	}
	if err := s.migrate(ctx, opts.Schema, steps); err != nil {
		return nil, fmt.Errorf("postgres: open: %w", closedPool(err))
	}
	err := s.repeat(ctx, func() error {
		d, err := dialectOn(ctx, pool)
		s.begin = d.begin
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", closedPool(err))
	}
	return s, nil
}

// View implements [registry.Store]. It reads one snapshot.
func (s *Store) View(ctx context.Context, fn func(registry.Tx) error) error {
	var sqlTx pgx.Tx
	// Only the beginning is repeated: fn may have kept what it read.
	err := s.repeat(ctx, func() (err error) {
		sqlTx, err = s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: view: %w", closedPool(err))
	}
	defer rollback(ctx, sqlTx)
	return fn(&tx{sql: s.sql, tx: sqlTx, readOnly: true})
}

// Update implements [registry.Store]. Once COMMIT has been sent, cancelling ctx
// no longer ends the call: Update waits up to half a minute for the answer.
// Conflicts that outlast the repetitions end in [registry.ErrConflict].
func (s *Store) Update(ctx context.Context, fn func(registry.Tx) error) error {
	return s.repeat(ctx, func() error { return s.once(ctx, fn) })
}

// once runs fn in one transaction.
func (s *Store) once(ctx context.Context, fn func(registry.Tx) error) error {
	sqlTx, err := s.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: s.begin})
	if err != nil {
		return fmt.Errorf("postgres: update: %w", closedPool(err))
	}
	defer rollback(ctx, sqlTx)
	t := &tx{sql: s.sql, tx: sqlTx}
	err = fn(t)
	if t.failed != nil && (err == nil || repeatable(ctx, t.failed)) {
		// fn made its error of, or in spite of, a transaction that was lost.
		return t.failed
	}
	if err != nil {
		return final{err}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return commit(ctx, sqlTx, t.wrote)
}

// commit commits and says of every failure whether the update can have happened.
func commit(ctx context.Context, sqlTx pgx.Tx, wrote bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	lost := sqlTx.Conn().IsClosed() // so that COMMIT cannot even be sent
	err := sqlTx.Commit(ctx)
	switch {
	case err == nil:
		return nil
	case wrote && !lost && !undone(err):
		return final{fmt.Errorf("%w: %w", ErrUnknownOutcome, err)}
	default:
		return fmt.Errorf("postgres: commit: %w", err)
	}
}

// rollback ends a transaction that was not committed; after a commit it does
// nothing. Its error is of no use: a connection that failed is thrown away.
func rollback(ctx context.Context, sqlTx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = sqlTx.Rollback(ctx)
}

// closedPool gives the error of a closed pool the name that callers branch on.
func closedPool(err error) error {
	if errors.Is(err, puddle.ErrClosedPool) {
		return fmt.Errorf("%w: %w", registry.ErrClosed, err)
	}
	return err
}

// storable reports whether PostgreSQL can keep s as text.
func storable(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.Contains(s, "\x00")
}
