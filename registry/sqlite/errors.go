package sqlite

import (
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/internal/sqlstore"
)

// ErrNewer says that a newer program has changed the layout of the tables, which
// this one would damage. Nothing was changed by [Open].
var ErrNewer = sqlstore.ErrNewer

// What an update can meet that is not its fault. It has done nothing and may be
// repeated when the cause is gone. They are told by SQLite's result code, for
// which the driver's errors need a method Code() int as those of
// modernc.org/sqlite have; other drivers' errors come as they are.
var (
	// ErrBusy says that another process kept writing for ten seconds.
	ErrBusy = errors.New("sqlite: another process has been writing to the database for too long: repeat the call later")

	// ErrFull says that the disk, or what SQLite may use of it, is full. Updates
	// that would have been committed together with the one that met it fail too.
	ErrFull = errors.New("sqlite: no space for the database: make room on its disk and repeat the call")
)

// explain gives a driver's error the name that callers branch on. The low byte
// of SQLite's result codes is the primary one (sqlite.org/rescode.html).
func explain(err error) error {
	const busy, full = 5, 13
	var e interface{ Code() int }
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case busy:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case full:
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
