package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
)

// pgServer is a PostgreSQL server to measure on.
type pgServer struct {
	dsn, note string
	stop      func()
	retries   atomic.Int64
}

// findPostgres returns the server that REGISTRY_POSTGRES names, or starts one
// where it is installed; otherwise it says why there is none.
func findPostgres(ctx context.Context) (*pgServer, string, error) {
	if dsn := os.Getenv("REGISTRY_POSTGRES"); dsn != "" {
		return &pgServer{dsn: dsn, note: "PostgreSQL that REGISTRY_POSTGRES names", stop: func() {}}, "", nil
	}
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian keeps it out of PATH
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(bins, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }) // 9 before 15
	if path, err := exec.LookPath("initdb"); err == nil && len(bins) == 0 {
		bins = []string{filepath.Dir(path)}
	}
	if len(bins) == 0 {
		return nil, "not measured: REGISTRY_POSTGRES names no server and none is installed (Debian: apt-get install postgresql)", nil
	}
	s, err := startPostgres(ctx, bins[len(bins)-1])
	if err != nil {
		return nil, "not measured: " + err.Error(), nil
	}
	return s, "", nil
}

// startPostgres starts a server on loopback, with the settings it comes with
// and in a folder of its own.
func startPostgres(ctx context.Context, bin string) (_ *pgServer, err error) {
	dir, err := os.MkdirTemp("", "bench-postgres-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	h := pgHome{dir: dir, bin: bin}
	if os.Getuid() == 0 { // the server refuses to be root
		if _, err := user.Lookup("postgres"); err != nil {
			return nil, fmt.Errorf("as root the user postgres is needed: %w", err)
		}
		if err := exec.CommandContext(ctx, "chown", "postgres", dir).Run(); err != nil {
			return nil, fmt.Errorf("chown: %w", err)
		}
		h.as = []string{"runuser", "-u", "postgres", "--"}
	}
	err = h.run(ctx, "initdb", "-D", h.data(), "-U", "registry", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	if err != nil {
		return nil, err
	}
	for range 5 { // somebody else may take the port first
		port, portErr := freePort()
		if portErr != nil {
			return nil, portErr
		}
		options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=", port)
		if err = h.run(ctx, "pg_ctl", "-D", h.data(), "-l", filepath.Join(dir, "log"), "-w", "-s", "-o", options, "start"); err == nil {
			dsn := fmt.Sprintf("postgres://registry@127.0.0.1:%d/postgres?sslmode=disable", port)
			return &pgServer{dsn: dsn, note: version(ctx, bin) + " on loopback, fsync on", stop: h.stop}, nil
		}
	}
	return nil, err
}

// pgHome is where a server of ours lives.
type pgHome struct {
	dir, bin string
	as       []string // what runs a command as the server's user
}

func (h *pgHome) data() string { return filepath.Join(h.dir, "data") }

// run has no pipes, which the server would keep open.
func (h *pgHome) run(ctx context.Context, program string, args ...string) error {
	all := slices.Concat(h.as, []string{filepath.Join(h.bin, program)}, args)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Dir = h.dir
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// stop ends the server also when the bench was interrupted.
func (h *pgHome) stop() {
	_ = h.run(context.Background(), "pg_ctl", "-D", h.data(), "-m", "immediate", "-w", "-s", "stop")
	_ = os.RemoveAll(h.dir)
}

// version is what the server calls itself.
func version(ctx context.Context, bin string) string {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "PostgreSQL"
	}
	return strings.TrimSpace(string(out))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// open is an opener of a store in a schema of its own.
func (s *pgServer) open(ctx context.Context) (registry.Store, func() error, error) {
	cfg, err := pgxpool.ParseConfig(s.dsn)
	if err != nil {
		return nil, nil, fmt.Errorf("REGISTRY_POSTGRES: %w", err)
	}
	cfg.MaxConns = 2 * manyWriters
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	schema := "bench_" + strings.ToLower(rand.Text())
	store, err := postgres.Open(ctx, pool, &postgres.Options{Schema: schema})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	end := func() error {
		_, err := pool.Exec(context.WithoutCancel(ctx), "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
		pool.Close()
		return err
	}
	return &countedStore{store, &s.retries}, end, nil
}

// countedStore counts how often updates run again.
type countedStore struct {
	registry.Store
	again *atomic.Int64
}

func (s *countedStore) Update(ctx context.Context, fn func(registry.Tx) error) error {
	runs := 0
	err := s.Store.Update(ctx, func(tx registry.Tx) error {
		if runs++; runs > 1 {
			s.again.Add(1)
		}
		return fn(tx)
	})
	if errors.Is(err, registry.ErrConflict) {
		s.again.Add(1)
	}
	return err
}
