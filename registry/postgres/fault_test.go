package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
)

// fault says what happens to the next COMMIT.
type fault int

const (
	none         fault = iota
	cutBefore          // the connection breaks before the server has it
	cutAfter           // the server commits, the answer is lost
	refuse40001        // the server rolls back and says 40001
	unknown40003       // the server commits and says 40003
	fatalAfter         // the server commits and then shuts down
)

// faults injects one fault into whichever connection commits next.
type faults struct {
	mu   sync.Mutex
	next fault
}

func (f *faults) set(next fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = next
}

func (f *faults) take() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.next
	f.next = none
	return next
}

// faultyConn is a connection to the server that knows COMMIT when it sees it.
type faultyConn struct {
	net.Conn
	faults *faults
	answer bytes.Buffer // in place of the server's
}

func query(text string) []byte {
	b, _ := (&pgproto3.Query{String: text}).Encode(nil)
	return b
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if !bytes.Equal(p, query("commit")) {
		return c.Conn.Write(p)
	}
	switch f := c.faults.take(); f {
	case none:
		return c.Conn.Write(p)
	case cutBefore:
		_ = c.Conn.Close()
		return len(p), nil
	case cutAfter:
		err := c.exchange("commit")
		_ = c.Conn.Close()
		return len(p), err
	case refuse40001:
		return len(p), errors.Join(c.exchange("rollback"), c.say("ERROR", "40001"))
	case unknown40003:
		return len(p), errors.Join(c.exchange("commit"), c.say("ERROR", "40003"))
	default:
		return len(p), errors.Join(c.exchange("commit"), c.say("FATAL", "57P01"))
	}
}

// exchange sends a query and swallows its whole answer.
func (c *faultyConn) exchange(text string) error {
	if _, err := c.Conn.Write(query(text)); err != nil {
		return err
	}
	var got []byte
	one := make([]byte, 512)
	for !bytes.HasSuffix(got, []byte{'Z', 0, 0, 0, 5, 'I'}) {
		n, err := c.Conn.Read(one)
		if err != nil {
			return err
		}
		got = append(got, one[:n]...)
	}
	return nil
}

func (c *faultyConn) say(severity, code string) error {
	b, err := (&pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code, Message: "injected"}).Encode(nil)
	if err != nil {
		return err
	}
	if b, err = (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(b); err != nil {
		return err
	}
	c.answer.Write(b)
	return nil
}

func (c *faultyConn) Read(p []byte) (int, error) {
	if c.answer.Len() > 0 {
		return c.answer.Read(p)
	}
	n, err := c.Conn.Read(p)
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF // as the other side's end looks
	}
	return n, err
}

// faultyStore returns a store whose commits f spoils and the causes of its repetitions.
func faultyStore(t *testing.T, f *faults, opts postgres.Options) (*postgres.Store, *[]error) {
	cfg := settings(t)
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &faultyConn{Conn: c, faults: f}, err
	}
	causes := new([]error)
	opts.Wait = func(_ context.Context, _ int, cause error) error {
		*causes = append(*causes, cause)
		return nil
	}
	return openStore(t, newPool(t, cfg), opts), causes
}

func TestFaultsDuringCommit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		fault   fault
		unknown bool
		stored  bool
		runs    int
	}{
		{"connection cut before the server has it", cutBefore, true, false, 1},
		{"connection cut before the answer", cutAfter, true, true, 1},
		{"40001", refuse40001, false, true, 2},
		{"40003", unknown40003, true, true, 1},
		{"shut down before the answer", fatalAfter, true, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &faults{}
			s, causes := faultyStore(t, f, postgres.Options{})
			f.set(c.fault)
			runs := 0
			err := s.Update(t.Context(), func(tx registry.Tx) error {
				runs++
				return tx.Put(t.Context(), registry.TableMeta, registry.Record{Key: "a"})
			})
			if c.unknown {
				require.ErrorIs(t, err, postgres.ErrUnknownOutcome)
				require.NotErrorIs(t, err, registry.ErrConflict)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, c.runs, runs)
			require.Len(t, *causes, c.runs-1)
			require.Equal(t, none, f.take(), "the fault did not happen")
			require.Equal(t, c.stored, len(get(t, s, "a")) == 1)
		})
	}
}

// An update that wrote nothing has no outcome to be unknown.
func TestCutCommitOfNothingIsRepeated(t *testing.T) {
	t.Parallel()
	f := &faults{}
	s, causes := faultyStore(t, f, postgres.Options{})
	f.set(cutAfter)
	require.NoError(t, s.Update(t.Context(), func(tx registry.Tx) error {
		_, err := tx.Get(t.Context(), registry.TableMeta, "a")
		return err
	}))
	require.Len(t, *causes, 1)
}

// A connection that breaks before COMMIT took nothing along: the update is
// repeated, whatever the function made of the error.
func TestConnectionLostBeforeCommit(t *testing.T) {
	t.Parallel()
	for name, hide := range map[string]func(error) error{
		"returned":  func(err error) error { return err },
		"disguised": func(error) error { return errors.New("something went wrong") },
		"ignored":   func(error) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killer := newPool(t, settings(t))
			schema := newSchema(t, killer)
			s, causes := faultyStore(t, &faults{}, postgres.Options{Schema: schema})
			runs := 0
			require.NoError(t, s.Update(t.Context(), func(tx registry.Tx) error {
				runs++
				if err := tx.Put(t.Context(), registry.TableMeta, registry.Record{Key: "a"}); err != nil || runs > 1 {
					return err
				}
				// Whoever is in a transaction on this test's tables is this one.
				_, err := killer.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
					WHERE state = 'idle in transaction' AND pid IN (SELECT pid FROM pg_locks WHERE relation = ANY (
						SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1))`, schema)
				require.NoError(t, err)
				return hide(tx.Put(t.Context(), registry.TableMeta, registry.Record{Key: "b"}))
			}))
			require.Equal(t, 2, runs)
			require.Len(t, *causes, 1)
			require.Len(t, get(t, s, "a"), 1)
		})
	}
}

func TestRepetitionsEnd(t *testing.T) {
	t.Parallel()
	f := &faults{}
	for _, c := range []struct{ retries, runs int }{{-1, 1}, {3, 4}, {0, 1 + postgres.DefaultMaxRetries}} {
		s, causes := faultyStore(t, f, postgres.Options{MaxRetries: c.retries})
		runs := 0
		err := s.Update(t.Context(), func(tx registry.Tx) error {
			runs++
			f.set(refuse40001)
			return tx.Put(t.Context(), registry.TableMeta, registry.Record{Key: "a"})
		})
		f.set(none)
		require.ErrorIs(t, err, registry.ErrConflict)
		var e *pgconn.PgError
		require.ErrorAs(t, err, &e)
		require.Equal(t, c.runs, runs)
		require.Len(t, *causes, c.runs-1)
		require.Empty(t, get(t, s, "a"))
	}
}

// Whoever gives up while waiting is not kept.
func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := &faults{}
	cfg := settings(t)
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &faultyConn{Conn: c, faults: f}, err
	}
	s := openStore(t, newPool(t, cfg), postgres.Options{MaxRetries: 1 << 30})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	runs := 0
	err := s.Update(ctx, func(tx registry.Tx) error {
		if runs++; runs == 5 {
			cancel()
		}
		f.set(refuse40001)
		return tx.Put(context.WithoutCancel(ctx), registry.TableMeta, registry.Record{Key: "a"})
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 5, runs)
}
