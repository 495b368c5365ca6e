package sqlkit

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
)

// steps returns the layout's steps in the dialect.
func (d *dialect) steps(files fs.FS) ([]string, error) {
	names, err := fs.Glob(files, "migrations/*.sql") // in order
	if err != nil {
		return nil, err
	}
	texts := strings.NewReplacer("{text}", d.text, "{bytes}", d.bytes, "{storage}", d.storage, "{postgres}", d.postgres)
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
func (b *DB) migrate(ctx context.Context, l Layout) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	steps, err := b.d.steps(l.Steps)
	if err != nil {
		return err
	}
	return b.Write(ctx, func(tx *Tx) error {
		if b.d.lock != "" { // processes that start together do it once
			if _, err := tx.Exec(ctx, b.d.lock); err != nil {
				return err
			}
		}
		version, err := tx.layout(ctx, l.Name)
		switch {
		case err != nil:
			return fmt.Errorf("layout: %w", err)
		case version > len(steps):
			return fmt.Errorf("layout %d, this program knows %d: %w", version, len(steps), ErrNewer)
		case version == len(steps): // then no right to make tables is needed
			return nil
		}
		for i, step := range steps[version:] {
			if _, err := tx.c.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("step %d: %w", version+i+1, err)
			}
		}
		return tx.setLayout(ctx, l.Name, len(steps))
	})
}

// prepare sets what a whole database is set to.
func (b *DB) prepare(ctx context.Context) error {
	if b.d.prepare == "" {
		return nil
	}
	var got string
	if err := b.QueryRow(ctx, b.d.prepare, nil, &got); err != nil {
		return fmt.Errorf("%s: %w", b.d.prepare, err)
	}
	if got != b.d.prepared {
		return fmt.Errorf("%s: it is %q: %w", b.d.prepare, got, ErrUnsupported)
	}
	return nil
}

// layout returns the version of the tables, 0 where there are none.
func (x *Tx) layout(ctx context.Context, name string) (version int, err error) {
	var there int
	if err := x.c.QueryRowContext(ctx, x.d.sql(x.d.table), name+"_layout").Scan(&there); err != nil || there == 0 {
		return 0, err
	}
	err = x.c.QueryRowContext(ctx, `SELECT version FROM `+name+`_layout WHERE id = 1`).Scan(&version)
	if err == nil && version < 1 {
		err = fmt.Errorf("version %d: %w", version, ErrDamaged)
	}
	return version, err
}

func (x *Tx) setLayout(ctx context.Context, name string, version int) error {
	for _, q := range []string{
		`CREATE TABLE IF NOT EXISTS ` + name + `_layout (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL)`,
		fmt.Sprintf(`INSERT INTO `+name+`_layout (id, version) VALUES (1, %d) ON CONFLICT (id) DO UPDATE SET version = excluded.version`, version),
	} {
		if _, err := x.c.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("layout: %w", err)
		}
	}
	return nil
}
