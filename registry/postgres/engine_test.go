package postgres_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/postgres"
)

var (
	root    = registry.Actor{Account: "registry", Role: registry.RoleOperator}
	parko   = registry.Actor{Account: "parkoserv", Role: registry.RoleASP}
	carPark = registry.Actor{Account: "carparkserv", Role: registry.RoleASP}
	city    = registry.Actor{Account: "ottawa", Role: registry.RoleOwner}
	maker   = registry.Actor{Account: "maker", Role: registry.RoleMaker}
	telco   = registry.Actor{Account: "telco", Role: registry.RoleMNO}
)

// world is a publisher and an operator that remember.
type world struct {
	mu     sync.Mutex
	names  map[string]bool
	orders map[uint64]int
}

func (w *world) Publish(_ context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range c.RemoveNames {
		delete(w.names, dns.Fqdn(n))
	}
	for _, rr := range c.Add {
		w.names[rr.Header().Name] = true
	}
	return publish.Receipt{}, nil
}

func (w *world) Order(_ context.Context, o mno.Order) (mno.Receipt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders[o.ProfileID]++
	return mno.Receipt{Device: o.Device, ICCID: fmt.Sprintf("89%017d", o.ProfileID), MatchingID: "M"}, nil
}

func (w *world) Cancel(context.Context, mno.Receipt) error { return nil }

// newRegistries returns n engines, each with a pool of its own, on one schema.
func newRegistries(t *testing.T, n int, w *world) []*registry.Registry {
	schema := newSchema(t, newPool(t, settings(t)))
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		var err error
		keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
	}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: "iotregistry.ca", RootKey: keys[0], IssuerKey: keys[1]})
	require.NoError(t, err)
	regs := make([]*registry.Registry, n)
	for i := range regs {
		regs[i], err = registry.New(registry.Config{
			Zone: "iotregistry.ca", Store: openStore(t, newPool(t, settings(t)), postgres.Options{Schema: schema}),
			Authority: authority, Publisher: w, Operators: map[string]mno.Operator{telco.Account: w}, Batch: 4,
		})
		require.NoError(t, err)
	}
	for _, a := range []registry.Account{
		{ID: parko.Account, Role: parko.Role, Host: "parkoserv.ca", Port: 443},
		{ID: carPark.Account, Role: carPark.Role, Host: "carparkserv.ca", Port: 443},
		{ID: city.Account, Role: city.Role}, {ID: maker.Account, Role: maker.Role}, {ID: telco.Account, Role: telco.Role},
	} {
		require.NoError(t, regs[0].PutAccount(t.Context(), root, a))
	}
	return regs
}

func importDevices(t *testing.T, reg *registry.Registry, n int) []eid.ID {
	ids, rows, claims := make([]eid.ID, n), make([]registry.Row, n), make([]registry.Claim, n)
	for i := range n {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		require.NoError(t, err)
		sealing, err := hpke.NewDHKEMPrivateKey(key)
		require.NoError(t, err)
		ids[i] = eid.MustParse(fmt.Sprint(1000000000000001 + i))
		rows[i] = registry.Row{ID: ids[i], Model: "Parking Meter", Version: "1.0"}
		claims[i] = registry.Claim{Device: ids[i], Key: profile.FormatPublicKey(sealing.PublicKey())}
	}
	require.NoError(t, allDone(reg.File(t.Context(), maker, claims)))
	require.NoError(t, allDone(reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows})))
	return ids
}

func allDone(results []registry.Result, err error) error {
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return err
}

// life takes devices through activation, move and confirmations.
func life(ctx context.Context, reg *registry.Registry, ids []eid.ID) error {
	results, err := reg.Activate(ctx, parko, registry.Options{}, ids...)
	if err := allDone(results, err); err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	if err := allDone(reg.Confirm(ctx, parko, confirmations(results)...)); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	codes, err := reg.IssueCodes(ctx, city, ids...)
	if err != nil {
		return fmt.Errorf("codes: %w", err)
	}
	moves := make([]registry.Move, len(codes))
	for i, c := range codes {
		moves[i] = registry.Move{Device: c.Device, Code: c.Code}
	}
	results, err = reg.Move(ctx, carPark, moves, registry.MoveOptions{})
	if err := allDone(results, err); err != nil {
		return fmt.Errorf("move: %w", err)
	}
	return allDone(reg.Confirm(ctx, carPark, confirmations(results)...))
}

func confirmations(results []registry.Result) []registry.Confirmation {
	out := make([]registry.Confirmation, len(results))
	for i, r := range results {
		out[i] = registry.Confirmation{Device: r.Device, ProfileID: r.ProfileID}
	}
	return out
}

// Several machines serve one registry, each with devices of its own: nothing
// is lost, nothing happens twice.
func TestEngines(t *testing.T) {
	t.Parallel()
	settings(t)
	const engines, each = 4, 6
	w := &world{names: map[string]bool{}, orders: map[uint64]int{}}
	regs := newRegistries(t, engines, w)
	ids := importDevices(t, regs[0], engines*each)
	errs := make([]error, engines)
	var wg sync.WaitGroup
	for i, reg := range regs {
		wg.Go(func() { errs[i] = life(t.Context(), reg, ids[i*each:(i+1)*each]) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))

	require.Len(t, w.names, len(ids), "one CERT name a device")
	require.Len(t, w.orders, 2*len(ids))
	for id, n := range w.orders {
		require.Equal(t, 1, n, "profile %d", id)
	}
	for _, id := range ids {
		d, err := regs[0].Device(t.Context(), root, id)
		require.NoError(t, err)
		require.Equal(t, carPark.Account, d.Sponsor)
		ps, err := regs[0].Profiles(t.Context(), root, id)
		require.NoError(t, err)
		require.Len(t, ps, 2)
		require.Equal(t, registry.ProfileRevoked, ps[0].Status)
		require.Equal(t, registry.ProfileConnected, ps[1].Status)
		require.True(t, w.names[dns.Fqdn(ps[1].Name)])
	}
}

// Of engines that move one device with one code at the same time one succeeds.
func TestOneMoveWins(t *testing.T) {
	t.Parallel()
	settings(t)
	w := &world{names: map[string]bool{}, orders: map[uint64]int{}}
	regs := newRegistries(t, 4, w)
	id := importDevices(t, regs[0], 1)[0]
	require.NoError(t, allDone(regs[0].Activate(t.Context(), parko, registry.Options{}, id)))
	codes, err := regs[0].IssueCodes(t.Context(), city, id)
	require.NoError(t, err)
	errs := make([]error, len(regs))
	var wg sync.WaitGroup
	for i, reg := range regs {
		wg.Go(func() {
			errs[i] = allDone(reg.Move(t.Context(), carPark, []registry.Move{{Device: id, Code: codes[0].Code}}, registry.MoveOptions{}))
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		}
	}
	require.Equal(t, 1, won, "%v", errs)
	ps, err := regs[0].Profiles(t.Context(), root, id)
	require.NoError(t, err)
	require.Len(t, ps, 2)
}
