package registry_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
	"github.com/iotregistry/sdk/registry/sqlite"
	"github.com/iotregistry/sdk/transfer"
)

const (
	faultDevices = 60
	faultBatch   = 20
)

// faulty is a fleet before its transfer, in a world where something goes wrong.
type faulty struct {
	*bench
	e      *estate
	file   string
	engine *smdp.Engine
	cfg    registry.Config // that the fault may change
	hits   atomic.Int64    // how often the fault has struck
	late   bool            // orders may reach the operator after the job is done
	heal   func()          // called once the transfer has met the fault; nil: it ends by itself
}

// newFaulty prepares a fleet on SQLite, with an SM-DP+ as its operator.
func newFaulty(t *testing.T) *faulty {
	f := &faulty{file: filepath.Join(t.TempDir(), "registry.db")}
	var err error
	f.engine, err = smdp.New(smdp.Config{Address: "smdp.example"})
	require.NoError(t, err)
	f.bench = newBench(t, func(c *registry.Config) {
		c.Store, c.AuditKey, c.Batch = openSQLite(t, f.file), signer(t), faultBatch
		c.Operators = map[string]mno.Operator{telco.Account: f.engine.Operator("registry")}
	})
	f.e = &estate{Devices: f.active(faultDevices)}
	codes, err := f.reg.IssueCodes(t.Context(), city, f.e.Devices...)
	require.NoError(t, err)
	for _, c := range codes {
		f.e.Codes = append(f.e.Codes, c.Code.Reveal())
	}
	_, err = f.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	f.cfg = f.reg.Config
	f.cfg.Publisher = watchedZone{f.zone, t}
	return f
}

func openSQLite(t testing.TB, dsn string) registry.Store {
	db, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	s, err := sqlite.Open(context.Background(), db)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(s.Close(), db.Close())) })
	return s
}

// try goes through the whole transfer, as every process and caller does that is
// there, and returns what went wrong.
func (f *faulty) try() error {
	reg, err := registry.New(f.cfg)
	if err != nil {
		return err
	}
	if err := liveOut(context.Background(), reg, f.e); err != nil {
		return err
	}
	if n := f.owed(); n > 0 {
		return fmt.Errorf("%d orders are still owed", n)
	}
	return nil
}

// check demands that all is whole.
func (f *faulty) check(job bool) {
	f.wait(24 * time.Hour) // a message from when the clock was ahead is seen once it has caught up
	m := &moved{
		t: f.t, late: f.late, reg: f.reg, ids: f.e.Devices, zone: f.zone.names, key: f.reg.AuditKey.Public(),
		order: func(iccid string) uint64 {
			p, err := f.engine.Profile(context.Background(), iccid)
			require.NoError(f.t, err)
			return p.ProfileID
		},
	}
	if job {
		jobs, err := f.reg.Jobs(context.Background(), carPark, "", 0)
		require.NoError(f.t, err)
		require.Len(f.t, jobs, 1)
		m.job = jobs[0].ID
	}
	m.checkWhole()
}

// TestFaults lets something go wrong in the middle of a transfer. Whoever got no
// answer asks again; then nothing may be lost and nothing done twice.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault string
		make  func(*faulty)
	}{
		{"the disk is full", fullDisk},
		{"DNS cannot be reached for a minute", zoneDown},
		{"the operator answers 500 and then takes the orders", operatorFails},
		{"the operator takes orders and answers 500", operatorLosesAnswers},
		{"the clock jumps a day back and then forward", clockJumps(-24*time.Hour, 24*time.Hour)},
		{"the clock jumps a day forward and then back", clockJumps(24*time.Hour, -24*time.Hour)},
		{"the store commits and says that it does not know", storeLosesAnswers(postgres.ErrUnknownOutcome)},
		{"the store commits and reports a conflict", storeLosesAnswers(registry.ErrConflict)},
		{"the store refuses one update in four", storeRefuses},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			c.make(f)
			err := f.try()
			for tries := 0; err != nil; tries++ {
				require.Less(t, tries, 100, "no end in sight: %v", err)
				if f.heal != nil && f.hits.Load() > 0 {
					f.heal()
					f.heal = nil
				}
				f.wait(lifetime) // what was claimed is free
				err = f.try()
			}
			require.Positive(t, f.hits.Load(), "the fault has struck")
			f.check(true)
		})
	}
}

// hookedStore lets a test act around updates.
type hookedStore struct {
	registry.Store
	before func() error
	after  func(error) error
}

func (s hookedStore) Update(ctx context.Context, fn func(registry.Tx) error) error {
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	err := s.Store.Update(ctx, fn)
	if s.after != nil {
		err = s.after(err)
	}
	return err
}

// fullDisk leaves the database room for a part of the transfer.
func fullDisk(f *faulty) {
	var pages int
	db, err := sql.Open("sqlite", f.file)
	require.NoError(f.t, err)
	require.NoError(f.t, db.QueryRow("PRAGMA page_count").Scan(&pages))
	require.NoError(f.t, db.Close())
	small := openSQLite(f.t, fmt.Sprintf("%s?_pragma=max_page_count(%d)", f.file, pages+60))
	large := f.cfg.Store
	f.cfg.Store = hookedStore{Store: small, after: func(err error) error {
		if err != nil {
			f.hits.Add(1)
		}
		return err
	}}
	f.heal = func() {
		gone := 0
		for _, id := range f.e.Devices {
			if f.device(id).Sponsor == carPark.Account {
				gone++
			}
		}
		require.NotZero(f.t, gone, "the disk was full in the middle")
		require.Less(f.t, gone, faultDevices, "the disk was full in the middle")
		f.cfg.Store = large
	}
}

func zoneDown(f *faulty) {
	until := f.clock().Add(time.Minute)
	f.cfg.Publisher = hookedZone{f.cfg.Publisher, func(publish.ChangeSet) error {
		if f.clock().Before(until) {
			f.hits.Add(1)
			return errDown
		}
		return nil
	}}
}

// overHTTP puts ES2+ between the registry and its operator, with a client that
// does not try again by itself.
func (f *faulty) overHTTP(spoil func(http.Handler, http.ResponseWriter, *http.Request)) {
	f.late = true
	h := es2.NewHandler(f.engine, &es2.Options{AllowNoClientCertificate: true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { spoil(h, w, r) }))
	f.t.Cleanup(server.Close)
	f.cfg.Operators = map[string]mno.Operator{telco.Account: &es2.Client{
		BaseURL: server.URL, HTTP: server.Client(), Requester: "registry", Retry: es2.Retry{Attempts: 1},
	}}
}

func operatorFails(f *faulty) {
	f.overHTTP(func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		if f.hits.Add(1) <= faultDevices {
			http.Error(w, "not now", http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func operatorLosesAnswers(f *faulty) {
	f.overHTTP(func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		if f.hits.Add(1)%2 == 1 && f.hits.Load() < 4*faultDevices {
			h.ServeHTTP(httptest.NewRecorder(), r)
			http.Error(w, "lost", http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// clockJumps has the clock jump at some updates of the store.
func clockJumps(jumps ...time.Duration) func(*faulty) {
	return func(f *faulty) {
		f.cfg.Store = hookedStore{Store: f.cfg.Store, before: func() error {
			n := f.hits.Add(1)
			if at := int(n)/8 - 1; n%8 == 0 && at < len(jumps) {
				f.wait(jumps[at])
			}
			return nil
		}}
	}
}

// oneIn returns a function that strikes one time in n, by chance: what strikes at
// regular intervals may never let the same work pass.
func (f *faulty) oneIn(n int) func() bool {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(uint64(n), 7))
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		if rnd.IntN(n) != 0 {
			return false
		}
		f.hits.Add(1)
		return true
	}
}

func storeLosesAnswers(why error) func(*faulty) {
	return func(f *faulty) {
		lost := f.oneIn(5)
		f.cfg.Store = hookedStore{Store: f.cfg.Store, after: func(err error) error {
			if err == nil && lost() {
				return fmt.Errorf("lost: %w", why)
			}
			return err
		}}
	}
}

func storeRefuses(f *faulty) {
	refused := f.oneIn(4)
	f.cfg.Store = hookedStore{Store: f.cfg.Store, before: func() error {
		if refused() {
			return errDown
		}
		return nil
	}}
}

// TestSameRequestAtOnce makes the same request several times at once, by several
// processes, as callers do that have lost patience.
func TestSameRequestAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		job bool
		do  func(*faulty, *registry.Registry) error
	}{
		"a job": {true, func(f *faulty, reg *registry.Registry) error { return liveOut(f.t.Context(), reg, f.e) }},
		"a call": {false, func(f *faulty, reg *registry.Registry) error {
			actor := carPark
			actor.Key = "once"
			var moves []registry.Move
			for row, err := range f.e.items() {
				if err != nil {
					return err
				}
				moves = append(moves, registry.Move{Device: row.ID, Code: row.Code})
			}
			results, err := transfer.New(reg, transfer.Policy{}).Request(f.t.Context(), actor, registry.Options{}, moves...)
			for _, res := range registry.Failed(results) {
				err = errors.Join(err, res.Err)
			}
			if err == nil {
				err = confirmAll(f.t.Context(), reg)
			}
			if _, resumeErr := reg.Resume(f.t.Context(), root); err == nil {
				err = resumeErr
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			var all sync.WaitGroup
			start := make(chan struct{})
			for range 6 {
				reg, err := registry.New(f.cfg)
				require.NoError(t, err)
				all.Go(func() {
					<-start
					err := c.do(f, reg)
					for tries := 0; err != nil && tries < 100; tries++ {
						f.wait(time.Second)
						err = c.do(f, reg)
					}
					assert.NoError(t, err)
				})
			}
			close(start)
			all.Wait()
			f.check(c.job)
		})
	}
}
