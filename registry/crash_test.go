package registry_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/postgres"
	"github.com/iotregistry/sdk/registry/sqlite"
)

var errCrash = errors.New("the process is gone")

// fuse lets a number of effects pass and then none: a process that dies. Every
// effect is counted twice, before and after, so that it dies on either side.
type fuse struct{ left int }

func (f *fuse) burn() error {
	if f.left <= 0 {
		return errCrash
	}
	f.left--
	return nil
}

// around runs effect unless the process is dead, and loses its answer if it
// dies right afterwards.
func (f *fuse) around(effect func() error) error {
	if err := f.burn(); err != nil {
		return err
	}
	if err := effect(); err != nil {
		return err
	}
	return f.burn()
}

type mortalStore struct {
	registry.Store
	fuse *fuse
}

func (s mortalStore) Update(ctx context.Context, fn func(registry.Tx) error) error {
	return s.fuse.around(func() error { return s.Store.Update(ctx, fn) })
}

type mortalZone struct {
	publish.Publisher
	fuse *fuse
}

func (z mortalZone) Publish(ctx context.Context, c publish.ChangeSet) (r publish.Receipt, err error) {
	err = z.fuse.around(func() error { r, err = z.Publisher.Publish(ctx, c); return err })
	return r, err
}

type mortalOperator struct {
	mno.Operator
	fuse *fuse
}

func (o mortalOperator) Order(ctx context.Context, order mno.Order) (r mno.Receipt, err error) {
	err = o.fuse.around(func() error { r, err = o.Operator.Order(ctx, order); return err })
	return r, err
}

var stores = map[string]func(t *testing.T) registry.Store{
	"memory": func(*testing.T) registry.Store { return memory.New() },
	"sqlite": func(t *testing.T) registry.Store {
		db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "registry.db"))
		require.NoError(t, err)
		s, err := sqlite.Open(t.Context(), db)
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, s.Close())
			require.NoError(t, db.Close())
		})
		return s
	},
}

// sharedStores are the stores and, where a server is named, PostgreSQL: for what
// many processes do at once.
func sharedStores() map[string]func(t *testing.T) registry.Store {
	all := maps.Clone(stores)
	if dsn := os.Getenv("REGISTRY_POSTGRES"); dsn != "" {
		all["postgres"] = func(t *testing.T) registry.Store {
			pool, err := pgxpool.New(t.Context(), dsn)
			require.NoError(t, err)
			schema := "jobs_" + strings.ToLower(rand.Text())
			s, err := postgres.Open(t.Context(), pool, &postgres.Options{Schema: schema})
			require.NoError(t, err)
			t.Cleanup(func() {
				_, err := pool.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
				require.NoError(t, err)
				pool.Close()
			})
			return s
		}
	}
	return all
}

// TestCrashAnywhere kills the registry at every effect of an activation, a move
// and a confirmation, on both sides of it, starts another one on what is left,
// and has the callers repeat what they did not get an answer to.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for crash := 0; ; crash++ {
				if died, _ := crashAt(t, open(t), crash, forever); !died {
					require.Greater(t, crash, 30, "the whole life has more effects than that")
					return
				}
			}
		})
	}
}

// TestCrashWhileResuming kills also the registry that finishes the work.
func TestCrashWhileResuming(t *testing.T) {
	t.Parallel()
	for crash := 0; ; crash += 3 {
		died := true
		for again, resumeDied := 0, true; resumeDied; again++ {
			died, resumeDied = crashAt(t, memory.New(), crash, again)
		}
		if !died {
			return
		}
	}
}

const forever = 1 << 30

// crashAt lives through one life that ends after crash half-effects and is
// resumed for again half-effects, and reports whether either ended too soon.
func crashAt(t *testing.T, store registry.Store, crash, again int) (died, resumeDied bool) {
	store = watchedStore{store, t, &sync.Mutex{}, map[eid.ID]uint64{}}
	b := newBench(t, func(c *registry.Config) { c.Store, c.Orders, c.Workers = store, 1, 1 })
	b.reg = b.with(func(c *registry.Config) { c.Publisher = watchedZone{b.zone, t} })
	ids := b.imported(3)
	codes := map[eid.ID]registry.AuthCode{}
	for _, id := range ids {
		codes[id] = b.code(id)
	}
	died = live(t, b.mortal(crash), ids, codes)
	if _, err := b.mortal(again).Resume(t.Context(), root); err != nil {
		require.ErrorIs(t, err, errCrash)
		resumeDied = true
	}
	n, err := b.reg.Resume(t.Context(), root)
	require.NoError(t, err, "crash %d, %d", crash, again)
	require.LessOrEqual(t, n, 6, "crash %d, %d", crash, again)
	require.False(t, live(t, b.reg, ids, codes), "crash %d, %d", crash, again)
	b.checkWhole(ids, crash)
	return died, resumeDied
}

// mortal returns a registry on b's store that dies after so many half-effects.
func (b *bench) mortal(halfEffects int) *registry.Registry {
	f := &fuse{left: halfEffects}
	return b.with(func(c *registry.Config) {
		c.Store, c.Publisher = mortalStore{c.Store, f}, mortalZone{c.Publisher, f}
		c.Operators = map[string]mno.Operator{telco.Account: mortalOperator{b.mno, f}}
	})
}

// live activates, moves and confirms, as callers do who repeat what failed, and
// reports whether anything did.
func live(t *testing.T, reg *registry.Registry, ids []eid.ID, codes map[eid.ID]registry.AuthCode) (died bool) {
	ctx := t.Context()
	failed := func(results []registry.Result, err error) bool {
		for _, r := range registry.Failed(results) {
			err = errors.Join(err, r.Err)
		}
		if err != nil {
			require.ErrorIs(t, err, errCrash)
		}
		return err != nil
	}
	// Whoever has moved already is active with its new sponsor.
	var still []eid.ID
	var moves []registry.Move
	for _, id := range ids {
		d, err := reg.Device(ctx, root, id)
		require.NoError(t, err)
		if d.Sponsor == parko.Account {
			still = append(still, id)
			moves = append(moves, registry.Move{Device: id, Code: codes[id]})
		}
	}
	if failed(reg.Activate(ctx, parko, registry.Options{}, still...)) {
		return true
	}
	if failed(reg.Move(ctx, carPark, moves, registry.MoveOptions{})) {
		return true
	}
	var cs []registry.Confirmation
	for _, id := range ids {
		d, err := reg.Device(ctx, root, id)
		require.NoError(t, err)
		cs = append(cs, registry.Confirmation{Device: id, ProfileID: d.Profile})
	}
	return failed(reg.Confirm(ctx, carPark, cs...))
}

// checkWhole demands that every device has one sponsor and one live profile,
// the zone those profiles' names and no others, and that nothing is owed.
func (b *bench) checkWhole(ids []eid.ID, crash int) {
	names := map[string]bool{}
	for _, id := range ids {
		d := b.device(id)
		require.Equal(b.t, carPark.Account, d.Sponsor, "crash %d", crash)
		require.Empty(b.t, d.Retired, "crash %d", crash)
		for _, p := range b.profiles(id) {
			if p.ID == d.Profile {
				require.Equal(b.t, registry.ProfileConnected, p.Status, "crash %d", crash)
				require.NotEmpty(b.t, p.Receipt.ICCID, "crash %d", crash)
				names[p.Name+"."] = true
			} else {
				require.Equal(b.t, registry.ProfileRevoked, p.Status, "crash %d", crash)
			}
		}
	}
	require.Equal(b.t, names, b.zone.names, "crash %d", crash)
	require.Zero(b.t, b.owed(), "crash %d", crash)
}
