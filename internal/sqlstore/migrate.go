package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/registry"
)

// Migrate makes the tables of registry.Tables that do not exist yet and brings
// those that do to the layout after the last step. The caller's transaction,
// which no other writer may enter, is what makes it happen once and whole. A
// database whose layout is newer is left alone: [ErrNewer].
func Migrate(ctx context.Context, c Conn, steps []Step) error {
	there, err := tables(ctx, c)
	if err != nil {
		return err
	}
	version := 0 // also of tables that were made before there were versions
	if there["schema_version"] {
		if version, err = readVersion(ctx, c); err != nil {
			return err
		}
	}
	if version > len(steps) {
		return fmt.Errorf("sqlstore: layout %d, this program knows %d: %w", version, len(steps), ErrNewer)
	}
	for _, t := range registry.Tables() {
		from := version
		if !there[string(t)] {
			from = 0
		}
		for _, s := range steps[from:] {
			if _, err := c.ExecContext(ctx, s.SQL("{table}", string(t))); err != nil {
				return fmt.Errorf("sqlstore: step %s on %s: %w", s.Name, t, err)
			}
		}
	}
	if version == len(steps) {
		return nil
	}
	return writeVersion(ctx, c, len(steps))
}

// tables returns the names of the tables that exist.
func tables(ctx context.Context, c Conn) (map[string]bool, error) {
	rows, err := c.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: list tables: %w", err)
	}
	defer rows.Close()
	names := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("sqlstore: list tables: %w", err)
		}
		names[name] = true
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("sqlstore: list tables: %w", err)
	}
	return names, nil
}

// readVersion reads the one row of schema_version, which is never written
// without its table.
func readVersion(ctx context.Context, c Conn) (version int, err error) {
	rows, err := c.QueryContext(ctx, `SELECT version FROM schema_version`)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: layout: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&version); err != nil {
			return 0, fmt.Errorf("sqlstore: layout: %w", err)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, fmt.Errorf("sqlstore: layout: %w", err)
	}
	if version < 1 {
		return 0, fmt.Errorf("sqlstore: layout: %w: table schema_version is damaged: restore a backup", registry.ErrInvalid)
	}
	return version, nil
}

func writeVersion(ctx context.Context, c Conn, version int) error {
	for _, q := range []string{
		`CREATE TABLE IF NOT EXISTS schema_version (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL)`,
		fmt.Sprintf(`INSERT INTO schema_version (id, version) VALUES (1, %d) ON CONFLICT (id) DO UPDATE SET version = excluded.version`, version),
	} {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("sqlstore: layout: %w", err)
		}
	}
	return nil
}
