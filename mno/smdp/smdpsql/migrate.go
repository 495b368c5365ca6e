package smdpsql

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// files are the steps of the layout, numbered without gaps. A step that was
// released is not edited.
//
//go:embed migrations/*.sql
var files embed.FS

// steps returns the layout's steps in the dialect.
func (d *dialect) steps() ([]string, error) {
	names, err := fs.Glob(files, "migrations/*.sql") // in order
	if err != nil {
		return nil, err
	}
	texts := strings.NewReplacer("{text}", d.text, "{bytes}", d.bytes, "{storage}", d.storage, "{unpacked}", d.unpacked)
	out := make([]string, len(names))
	for i, name := range names {
		if want := fmt.Sprintf("migrations/%04d_", i+1); !strings.HasPrefix(name, want) {
			return nil, fmt.Errorf("step %s: its name must begin with %s", name, want)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		out[i] = texts.Replace(string(text))
	}
	return out, nil
}

// migrate makes the tables, or brings them up to date.
func (s *Store) migrate(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	steps, err := s.d.steps()
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx conn) error {
		if s.d.lock != "" { // processes that start together do it once
			if _, err := tx.ExecContext(ctx, s.d.lock); err != nil {
				return err
			}
		}
		version, err := s.layout(ctx, tx)
		switch {
		case err != nil:
			return fmt.Errorf("layout: %w", err)
		case version > len(steps):
			return fmt.Errorf("layout %d, this program knows %d: %w", version, len(steps), ErrNewer)
		case version == len(steps): // then no right to make tables is needed
			return nil
		}
		for i, step := range steps[version:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("step %d: %w", version+i+1, err)
			}
		}
		return s.setLayout(ctx, tx, len(steps))
	})
}

// prepare sets what a whole database is set to.
func (s *Store) prepare(ctx context.Context) error {
	if s.d.prepare == "" {
		return nil
	}
	c, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, s.d.settings); err != nil {
		return err
	}
	var got string
	if err := c.QueryRowContext(ctx, s.d.prepare).Scan(&got); err != nil {
		return fmt.Errorf("%s: %w", s.d.prepare, err)
	}
	if got != s.d.prepared {
		return fmt.Errorf("%s: it is %q: %w", s.d.prepare, got, ErrUnsupported)
	}
	return nil
}

// layout returns the version of the tables, 0 where there are none.
func (s *Store) layout(ctx context.Context, tx conn) (version int, err error) {
	var there int
	if err := tx.QueryRowContext(ctx, s.d.sql(s.d.table), "smdp_layout").Scan(&there); err != nil || there == 0 {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, `SELECT version FROM smdp_layout WHERE id = 1`).Scan(&version)
	if err == nil && version < 1 {
		err = fmt.Errorf("version %d: %w", version, ErrDamaged)
	}
	return version, err
}

func (s *Store) setLayout(ctx context.Context, tx conn, version int) error {
	for _, q := range []string{
		`CREATE TABLE IF NOT EXISTS smdp_layout (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL)`,
		fmt.Sprintf(`INSERT INTO smdp_layout (id, version) VALUES (1, %d) ON CONFLICT (id) DO UPDATE SET version = excluded.version`, version),
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("layout: %w", err)
		}
	}
	return nil
}
