package sqlkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// What Open and a store's calls can meet, besides the errors of contexts and of
// the driver. Their texts follow the name of the store's package.
var (
	// ErrNewer says that a newer program has changed the layout of the tables.
	ErrNewer = errors.New("the tables were made by a newer version of this program: upgrade the program, or restore a backup from before")

	// ErrUnsupported says that the database is not one that Open takes.
	ErrUnsupported = errors.New("unsupported database: open PostgreSQL, or SQLite in a file on a local disk")

	// ErrDamaged says that what is stored cannot be read.
	ErrDamaged = errors.New("what is stored is damaged, or of a newer version of this program: upgrade the program, or restore a backup")
)

// Conflicting reports whether a database has undone what another writer's work
// does not go together with. PostgreSQL tells it by SQLSTATE (manual, appendix A),
// SQLite by result code (sqlite.org/rescode.html), for which the errors of drivers
// need a method: SQLState() string as of pgx and lib/pq, Code() int as of
// modernc.org/sqlite.
func Conflicting(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		// unique violation, serialization failure, deadlock
		return slices.Contains([]string{"23505", "40001", "40P01"}, state.SQLState())
	}
	var code interface{ Code() int }
	if errors.As(err, &code) {
		const constraintUnique, constraintPrimaryKey = 2067, 1555
		return code.Code() == constraintUnique || code.Code() == constraintPrimaryKey
	}
	return false
}

// Reason says what to do about a driver's error where that is known. Drivers word
// the end of a context in their own ways.
func Reason(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w (%w)", ended, err)
	}
	const busy, full = 5, 13
	var code interface{ Code() int }
	if !errors.As(err, &code) {
		return err
	}
	switch code.Code() & 0xff { // the primary code
	case busy:
		return fmt.Errorf("another process has been writing to the database for too long: repeat the call later: %w", err)
	case full:
		return fmt.Errorf("no space for the database: make room on its disk and repeat the call: %w", err)
	}
	return err
}
