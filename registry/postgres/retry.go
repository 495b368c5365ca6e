package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/iotregistry/sdk/registry"
)

// SQLSTATE codes (PostgreSQL manual, appendix A).
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeUnknown       = "40003" // statement completion unknown
	codeResolution    = "08007" // transaction resolution unknown
	classConnection   = "08"
	classShutdown     = "57P" // administrator, crash, starting up
)

// final marks an error that must not be repeated, whatever it wraps.
type final struct{ error }

// repeat runs once until it succeeds, fails for good or was repeated often enough.
func (s *Store) repeat(ctx context.Context, once func() error) error {
	for retry := 1; ; retry++ {
		err := once()
		var f final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &f):
			return f.error
		case !repeatable(ctx, err):
			return err
		case retry > s.retries && conflicting(err):
			return fmt.Errorf("postgres: gave up after %d attempts: %w: %w", retry, registry.ErrConflict, err)
		case retry > s.retries:
			return fmt.Errorf("postgres: gave up after %d attempts: %w", retry, err)
		}
		if err := s.wait(ctx, retry, err); err != nil {
			return err
		}
	}
}

// backOff waits a random time of up to 1, 2, 4 .. 256 ms.
func backOff(ctx context.Context, retry int, _ error) error {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("postgres: wait: %w", err)
	}
	limit := uint64(time.Millisecond) << min(retry-1, 8)
	timer := time.NewTimer(time.Duration(binary.BigEndian.Uint64(b[:]) % limit))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// conflicting reports whether the server ended a transaction in favour of
// another one.
func conflicting(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == codeSerialization || e.Code == codeDeadlock)
}

// repeatable reports whether err, met before a COMMIT was sent or known to have
// undone the transaction, may be gone the next time.
func repeatable(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return conflicting(err) || strings.HasPrefix(e.Code, classConnection) || strings.HasPrefix(e.Code, classShutdown)
	}
	var n net.Error
	return pgconn.SafeToRetry(err) || errors.As(err, &n) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// undone reports whether the server itself said that a failed COMMIT changed
// nothing. pgconn.SafeToRetry must not be asked here: pgx 5.12 reports a
// connection that broke while the answer was awaited as closed before sending.
func undone(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return true
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code == codeUnknown || e.Code == codeResolution {
		return false
	}
	severity := e.SeverityUnlocalized
	if severity == "" {
		severity = e.Severity // what speaks the protocol may not send both
	}
	return severity == "ERROR" // FATAL may come after the commit was written
}
