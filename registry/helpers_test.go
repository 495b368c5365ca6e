package registry_test

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
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/memory"
)

const zone = "iotregistry.ca"

var (
	root    = registry.Actor{Account: "registry", Role: registry.RoleOperator}
	parko   = registry.Actor{Account: "parkoserv", Role: registry.RoleASP}
	carPark = registry.Actor{Account: "carparkserv", Role: registry.RoleASP}
	city    = registry.Actor{Account: "ottawa", Role: registry.RoleOwner}
	maker   = registry.Actor{Account: "maker", Role: registry.RoleMaker}
	telco   = registry.Actor{Account: "telco", Role: registry.RoleMNO}
	auditor = registry.Actor{Account: "auditor", Role: registry.RoleAuditor}
)

var errDown = errors.New("down")

// zoneFake is a publisher that remembers names and can be down.
type zoneFake struct {
	mu      sync.Mutex
	names   map[string]bool
	down    bool
	changes int
}

func (z *zoneFake) Publish(_ context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.down {
		return publish.Receipt{}, errDown
	}
	z.changes++
	for _, n := range c.RemoveNames {
		delete(z.names, n)
	}
	for _, rr := range c.Add {
		z.names[rr.Header().Name] = true
	}
	return publish.Receipt{}, nil
}

func (z *zoneFake) has(name string) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.names[dns.Fqdn(name)]
}

func (z *zoneFake) set(down bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.down = down
}

// mnoFake is an operator that remembers orders and can be down.
type mnoFake struct {
	mu     sync.Mutex
	orders map[string]mno.Order
	down   bool
}

func (o *mnoFake) Order(_ context.Context, order mno.Order) (mno.Receipt, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return mno.Receipt{}, errDown
	}
	iccid := fmt.Sprintf("89%017d", order.ProfileID)
	o.orders[iccid] = order
	return mno.Receipt{Device: order.Device, ICCID: iccid, MatchingID: "M"}, nil
}

func (o *mnoFake) Cancel(context.Context, mno.Receipt) error { return nil }

func (o *mnoFake) set(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

// bench is a registry with everything around it under the test's control.
type bench struct {
	t     testing.TB
	reg   *registry.Registry
	store registry.Store
	zone  *zoneFake
	mno   *mnoFake
	mu    sync.Mutex
	now   time.Time
	keys  map[eid.ID]hpke.PrivateKey
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func signer(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func newBench(t testing.TB, change ...func(*registry.Config)) *bench {
	b := &bench{
		t: t, store: memory.New(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		zone: &zoneFake{names: map[string]bool{}}, mno: &mnoFake{orders: map[string]mno.Order{}},
		keys: map[eid.ID]hpke.PrivateKey{},
	}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{
		Registry: zone, RootKey: signer(t), IssuerKey: signer(t), Now: b.clock,
	})
	require.NoError(t, err)
	cfg := registry.Config{
		Zone: zone, Store: b.store, Authority: authority, Publisher: b.zone,
		Operators: map[string]mno.Operator{telco.Account: b.mno}, FirstProfileID: 11, Now: b.clock,
	}
	for _, f := range change {
		f(&cfg)
	}
	b.store = cfg.Store
	b.reg, err = registry.New(cfg)
	require.NoError(t, err)
	for _, a := range []registry.Account{
		{ID: parko.Account, Role: parko.Role, Host: "parkoserv.ca", Port: 443},
		{ID: carPark.Account, Role: carPark.Role, Host: "carparkserv.ca", Port: 443},
		{ID: city.Account, Role: city.Role}, {ID: maker.Account, Role: maker.Role},
		{ID: telco.Account, Role: telco.Role},
	} {
		require.NoError(t, b.reg.PutAccount(context.Background(), root, a))
	}
	return b
}

// claim has the maker vouch for devices 1..n and returns their rows.
func (b *bench) claim(n int) []registry.Row {
	rows := make([]registry.Row, n)
	claims := make([]registry.Claim, n)
	for i := range n {
		id := eid.MustParse(fmt.Sprint(1000000000000001 + i))
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		require.NoError(b.t, err)
		b.keys[id], err = hpke.NewDHKEMPrivateKey(key)
		require.NoError(b.t, err)
		rows[i] = registry.Row{Line: i + 2, ID: id, Model: "Parking Meter", Version: "1.0"}
		claims[i] = registry.Claim{Device: id, Key: profile.FormatPublicKey(b.keys[id].PublicKey())}
	}
	results, err := b.reg.File(context.Background(), maker, claims)
	b.allDone(results, err)
	return rows
}

// imported registers devices 1..n with ParkoServ.
func (b *bench) imported(n int) []eid.ID {
	rows := b.claim(n)
	results, err := b.reg.Import(context.Background(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows})
	b.allDone(results, err)
	ids := make([]eid.ID, n)
	for i, row := range rows {
		ids[i] = row.ID
	}
	return ids
}

// active brings devices 1..n into service with ParkoServ.
func (b *bench) active(n int) []eid.ID {
	ids := b.imported(n)
	results, err := b.reg.Activate(context.Background(), parko, registry.Options{}, ids...)
	b.allDone(results, err)
	return ids
}

func (b *bench) allDone(results []registry.Result, err error) {
	b.t.Helper()
	require.NoError(b.t, err)
	for _, r := range results {
		require.NoError(b.t, r.Err)
	}
}

func (b *bench) device(id eid.ID) *registry.Device {
	b.t.Helper()
	d, err := b.reg.Device(context.Background(), root, id)
	require.NoError(b.t, err)
	return d
}

func (b *bench) profiles(id eid.ID) []*registry.Profile {
	b.t.Helper()
	ps, err := b.reg.Profiles(context.Background(), root, id)
	require.NoError(b.t, err)
	return ps
}

func (b *bench) code(id eid.ID) registry.AuthCode {
	b.t.Helper()
	codes, err := b.reg.IssueCodes(context.Background(), city, id)
	require.NoError(b.t, err)
	require.NoError(b.t, codes[0].Err)
	return codes[0].Code
}

func (b *bench) move(actor registry.Actor, id eid.ID, code registry.AuthCode) registry.Result {
	b.t.Helper()
	results, err := b.reg.Move(context.Background(), actor, []registry.Move{{Device: id, Code: code}}, registry.MoveOptions{})
	require.NoError(b.t, err)
	return results[0]
}

// keyOf makes a device's key and returns its text.
func (b *bench) keyOf(t testing.TB) string {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	pub, err := hpke.NewDHKEMPublicKey(key.PublicKey())
	require.NoError(t, err)
	return profile.FormatPublicKey(pub)
}
