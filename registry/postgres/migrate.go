package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/iotregistry/sdk/internal/sqlstore"
	"github.com/iotregistry/sdk/registry"
)

// openAttempts bounds how often Open starts again because another process was
// first. Each time that one has come further.
const openAttempts = 10

//go:embed migrations/*.sql
var files embed.FS

// layout returns the steps of this store.
func layout() ([]sqlstore.Step, error) {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	return sqlstore.Steps(dir)
}

// runner is a pool or a transaction.
type runner interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// migration brings the tables of a store to the layout after the last step.
type migration struct {
	*Store
	schema  string
	version string // the table of the layout's version, quoted
	steps   []sqlstore.Step
}

// state is what a migration finds.
type state struct {
	versions bool // whether the table of the version exists
	version  int  // 0 also for tables made before there were versions
	missing  []registry.Table
}

// migrate makes what is missing and brings up to date what is there.
func (s *Store) migrate(ctx context.Context, schema string, steps []sqlstore.Step) error {
	m := &migration{Store: s, schema: schema, version: qualified(schema, "schema_version"), steps: steps}
	var err error
	for range openAttempts {
		if err = s.repeat(ctx, func() error { return m.once(ctx) }); !meanwhile(err) {
			break
		}
	}
	const insufficientPrivilege = "42501"
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == insufficientPrivilege {
		return fmt.Errorf("let a role that may create and alter tables open the store once, and grant this one the use of all: %w", err)
	}
	return err
}

// once looks first: CREATE .. IF NOT EXISTS needs the right to create even where
// there is nothing to do.
func (m *migration) once(ctx context.Context) error {
	found, err := m.look(ctx, m.pool)
	if err != nil {
		return err
	}
	if found.version == len(m.steps) && len(found.missing) == 0 {
		return m.probe(ctx)
	}
	if m.schema != "" {
		if err := m.createSchema(ctx); err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
	}
	d, err := dialectOn(ctx, m.pool)
	if err != nil {
		return err
	}
	if d.single {
		return m.run(ctx, m.pool, d)
	}
	return m.inTransaction(ctx, d)
}

// dialect is how servers of one kind want tables to be made.
type dialect struct {
	text    string // the type whose order is that of bytes
	storage string // what follows the columns
	single  bool   // each statement commits itself
	begin   string // what begins an update

	// unpacked keeps bodies as they are. What is large among them is sealed, and
	// trying to compress it was most of the work of storing it.
	unpacked string
}

// A table that is read as a whole, as the planner likes to do with small ones,
// is one that every other update conflicts with: the indexes are for more than
// speed.
const (
	beginUpdate = "begin isolation level serializable"
	byIndex     = "; set local enable_seqscan = off"
)

// dialectOn asks a server what it is.
func dialectOn(ctx context.Context, r runner) (dialect, error) {
	var server string
	err := r.QueryRow(ctx, `SELECT version()`).Scan(&server)
	return dialectOf(server), err
}

// dialectOf tells by what a server says to SELECT version().
//
// Half of each page stays free on PostgreSQL. The registry changes records in
// bulk, neighbours together, and a new version that fits on the page of the old
// one leaves both indexes alone. That is faster, and it is what keeps updates
// apart that only share a page of an index: at SERIALIZABLE they conflict.
// YugabyteDB and CockroachDB have no such pages.
func dialectOf(server string) dialect {
	switch {
	case strings.HasPrefix(server, "CockroachDB"):
		// Its text is ordered as bytes, and it refuses to be told so.
		return dialect{text: "TEXT", single: true, begin: beginUpdate}
	case strings.Contains(server, "-YB-"):
		return dialect{text: `TEXT COLLATE "C"`, begin: beginUpdate + byIndex}
	default:
		return dialect{text: `TEXT COLLATE "C"`, storage: ` WITH (fillfactor = 50)`, begin: beginUpdate + byIndex,
			unpacked: `ALTER TABLE {table} ALTER COLUMN body SET STORAGE EXTERNAL;`}
	}
}

// look finds out what there is, without an error that would end a transaction.
func (m *migration) look(ctx context.Context, r runner) (state, error) {
	names := []string{m.version}
	for _, t := range registry.Tables() {
		names = append(names, m.sql[t].name)
	}
	rows, _ := r.Query(ctx, `SELECT n FROM unnest($1::TEXT[]) AS n WHERE to_regclass(n) IS NULL`, names) // its error comes again below
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return state{}, fmt.Errorf("look for tables: %w", err)
	}
	found := state{versions: !slices.Contains(missing, m.version)}
	for _, t := range registry.Tables() {
		if slices.Contains(missing, m.sql[t].name) {
			found.missing = append(found.missing, t)
		}
	}
	if !found.versions {
		return found, nil
	}
	found.version, err = m.readVersion(ctx, r)
	return found, err
}

func (m *migration) readVersion(ctx context.Context, r runner) (version int, err error) {
	err = r.QueryRow(ctx, `SELECT version FROM `+m.version).Scan(&version)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil // the steps begin at the first, which they bear
	case err != nil:
		return 0, fmt.Errorf("layout: %w", err)
	case version < 0:
		return 0, fmt.Errorf("layout: %w: table schema_version is damaged: restore a backup", registry.ErrInvalid)
	case version > len(m.steps):
		return 0, fmt.Errorf("layout %d, this program knows %d: %w", version, len(m.steps), ErrNewer)
	}
	return version, nil
}

// probe finds out whether this role may read the tables and their columns.
func (m *migration) probe(ctx context.Context) error {
	var all []string
	for _, t := range registry.Tables() {
		all = append(all, m.sql[t].probe)
	}
	_, err := m.pool.Exec(ctx, strings.Join(all, ";"))
	return err
}

// inTransaction carries the steps out and writes their number in one transaction.
func (m *migration) inTransaction(ctx context.Context, d dialect) error {
	sqlTx, err := m.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return err
	}
	defer rollback(ctx, sqlTx)
	if err := m.run(ctx, sqlTx, d); err != nil {
		return err
	}
	return sqlTx.Commit(ctx)
}

// run carries out the steps that are due. In a transaction the row of the
// version lets one process in at a time, and the others look again after it.
func (m *migration) run(ctx context.Context, r runner, d dialect) error {
	found, err := m.look(ctx, r)
	if err != nil {
		return err
	}
	if err := m.lock(ctx, r, found.versions); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	if found, err = m.look(ctx, r); err != nil {
		return err
	}
	for _, t := range registry.Tables() {
		from := found.version
		if slices.Contains(found.missing, t) {
			from = 0
		}
		for _, step := range m.steps[from:] {
			q := step.SQL("{table}", m.sql[t].name, "{name}", string(t), "{text}", d.text, "{storage}", d.storage,
				"{unpacked}", strings.ReplaceAll(d.unpacked, "{table}", m.sql[t].name))
			if _, err := r.Exec(ctx, q); err != nil {
				return fmt.Errorf("step %s on %s: %w", step.Name, t, err)
			}
		}
	}
	// Never backwards: outside a transaction a newer program may have been faster.
	_, err = r.Exec(ctx, `UPDATE `+m.version+` SET version = $1 WHERE version < $1`, len(m.steps))
	return err
}

func (m *migration) lock(ctx context.Context, r runner, there bool) error {
	var due []string
	if !there {
		due = append(due, `CREATE TABLE IF NOT EXISTS `+m.version+` (id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)`)
	}
	due = append(due,
		`INSERT INTO `+m.version+` (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING`,
		`SELECT version FROM `+m.version+` WHERE id = 1 FOR UPDATE`)
	for _, q := range due {
		if _, err := r.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func (m *migration) createSchema(ctx context.Context) error {
	var there bool
	err := m.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)`, m.schema).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = m.pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{m.schema}.Sanitize())
	if meanwhile(err) {
		return nil
	}
	return err
}

// meanwhile reports whether another process was first to create the same: IF NOT
// EXISTS does not see what is not committed yet, and then collides with it in
// the catalogue.
func meanwhile(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	// unique violation, duplicate schema, table, object
	return slices.Contains([]string{"23505", "42P06", "42P07", "42710"}, e.Code)
}
