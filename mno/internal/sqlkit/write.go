package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
)

// maxRows bounds how many rows one statement writes.
const maxRows = 100

// Tx is a transaction of [DB.Write]. Placeholders are $1 and so on.
type Tx struct {
	c conn
	d *dialect
}

// Exec runs a statement and returns how many rows it has changed.
func (x *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := x.c.ExecContext(ctx, x.d.sql(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Insert adds rows where nothing is in the way, and returns how many. into is a
// table and its columns, such as "t (a, b)".
func (x *Tx) Insert(ctx context.Context, into string, rows [][]any) (int64, error) {
	var all int64
	for part := range slices.Chunk(rows, maxRows) {
		var q strings.Builder
		q.WriteString(`INSERT INTO ` + into + ` VALUES `)
		var args []any
		for i, values := range part {
			if i > 0 {
				q.WriteByte(',')
			}
			for j, v := range values {
				args = append(args, v)
				fmt.Fprintf(&q, "%c$%d", "(,"[min(j, 1)], len(args))
			}
			q.WriteByte(')')
		}
		q.WriteString(` ON CONFLICT DO NOTHING`)
		n, err := x.Exec(ctx, q.String(), args...)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// Write runs f in a transaction. Unless it returns nil, nothing was changed, or
// the connection broke while the end was awaited.
func (b *DB) Write(ctx context.Context, f func(*Tx) error) error {
	if b.d.one {
		return b.writeOne(ctx, f)
	}
	// Every change names the version that it is of and is refused by unique indexes:
	// nothing else that was read must hold, so no stricter level is needed.
	tx, err := b.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(&Tx{tx, &b.d}); err != nil {
		return err
	}
	return tx.Commit()
}

// writeOne is Write for SQLite: database/sql cannot ask for a transaction that
// writes from its beginning, and one that begins to later may be refused.
func (b *DB) writeOne(ctx context.Context, f func(*Tx) error) (err error) {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	c, err := b.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, b.d.settings); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // also when f panics
			abandon(ctx, c)
		}
	}()
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(&Tx{c, &b.d}); err != nil {
		return err
	}
	// Not to be interrupted: nobody would know what has become of it.
	if _, err := c.ExecContext(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return err
	}
	done = true
	return nil
}

// abandon ends a transaction. SQLite may have ended it by itself, or never begun
// it; a connection that says anything else is not used again.
func abandon(ctx context.Context, c *sql.Conn) {
	if _, err := c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
		_ = c.Raw(func(any) error { return driver.ErrBadConn })
	}
}
