package transfer_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/transfer"
)

var (
	root    = registry.Actor{Account: "registry", Role: registry.RoleOperator}
	parko   = registry.Actor{Account: "parkoserv", Role: registry.RoleASP}
	carPark = registry.Actor{Account: "carparkserv", Role: registry.RoleASP}
	third   = registry.Actor{Account: "thirdserv", Role: registry.RoleASP}
	city    = registry.Actor{Account: "ottawa", Role: registry.RoleOwner}
	maker   = registry.Actor{Account: "maker", Role: registry.RoleMaker}
)

const zone = "iotregistry.ca"

func key(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return k
}

// bench is a transfer service and what is around it.
type bench struct {
	*transfer.Service
	Registry *registry.Registry
	t        testing.TB
	mu       sync.Mutex
	now      time.Time
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

// service returns a transfer service over a registry with n active devices of
// ParkoServ, a real zone and a real SM-DP+ engine behind it.
func service(t testing.TB, n int, policy ...transfer.Policy) (*bench, []eid.ID) {
	ctx := context.Background()
	b := &bench{t: t, now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: key(t), IssuerKey: key(t), Now: b.clock})
	require.NoError(t, err)
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: zone + ".", Keys: []publish.Key{{Signer: key(t), Flags: publish.KSK, Algorithm: 13}},
	})
	require.NoError(t, err)
	engine, err := smdp.New(smdp.Config{Address: "smdp.example"})
	require.NoError(t, err)
	reg, err := registry.New(registry.Config{
		Zone: zone, Store: memory.New(), Authority: authority, Publisher: z,
		Operators:      map[string]mno.Operator{"telco": engine.Operator("registry"), "telco2": engine.Operator("registry")},
		FirstProfileID: 11, Now: b.clock,
	})
	require.NoError(t, err)
	for _, a := range []registry.Account{
		{ID: parko.Account, Role: parko.Role, Host: "parkoserv.ca", Port: 443},
		{ID: carPark.Account, Role: carPark.Role, Host: "carparkserv.ca", Port: 443},
		{ID: third.Account, Role: third.Role, Host: "third.example", Port: 443},
		{ID: city.Account, Role: city.Role}, {ID: "telco", Role: registry.RoleMNO}, {ID: "telco2", Role: registry.RoleMNO},
	} {
		require.NoError(t, reg.PutAccount(ctx, root, a))
	}
	var rows []registry.Row
	var claims []registry.Claim
	var ids []eid.ID
	for i := range n {
		id := eid.MustParse(fmt.Sprint(1000000000000001 + i))
		k, err := ecdh.P256().GenerateKey(rand.Reader)
		require.NoError(t, err)
		pub, err := hpke.NewDHKEMPublicKey(k.PublicKey())
		require.NoError(t, err)
		rows = append(rows, registry.Row{ID: id})
		claims = append(claims, registry.Claim{Device: id, Key: profile.FormatPublicKey(pub)})
		ids = append(ids, id)
	}
	done := func(rs []registry.Result, err error) {
		require.NoError(t, err)
		require.Empty(t, registry.Failed(rs))
	}
	done(reg.File(ctx, maker, claims))
	done(reg.Import(ctx, parko, registry.Import{Owner: city.Account, MNO: "telco", Rows: rows}))
	done(reg.Activate(ctx, parko, registry.Options{}, ids...))
	b.Registry, b.Service = reg, transfer.New(reg, append(policy, transfer.Policy{})[0])
	return b, ids
}

// keyed is an actor's call with an idempotency key.
func keyed(a registry.Actor, key string) registry.Actor {
	a.Key = key
	return a
}

func codes(t testing.TB, s *bench, ids []eid.ID) []registry.Move {
	issued, err := s.Registry.IssueCodes(context.Background(), city, ids...)
	require.NoError(t, err)
	items := make([]registry.Move, len(issued))
	for i, c := range issued {
		require.NoError(t, c.Err)
		items[i] = registry.Move{Line: i + 2, Device: c.Device, Code: c.Code}
	}
	return items
}

func TestRequest(t *testing.T) {
	t.Parallel()
	s, ids := service(t, 3)
	items := codes(t, s, ids)
	good := items[1].Code
	items[1].Code = items[0].Code

	results, err := s.Request(t.Context(), keyed(carPark, "k1"), registry.Options{}, items...)
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.ErrorIs(t, results[1].Err, registry.ErrAuthCode)
	require.Equal(t, 3, results[1].Line)
	require.NoError(t, results[2].Err)
	d, err := s.Registry.Device(t.Context(), root, ids[1])
	require.NoError(t, err)
	require.Equal(t, parko.Account, d.Sponsor, "a refused item changes nothing")

	// Made again it is the same answer, and with other content it is refused.
	again, err := s.Request(t.Context(), keyed(carPark, "k1"), registry.Options{}, items...)
	require.NoError(t, err)
	require.ErrorIs(t, again[1].Err, registry.ErrAuthCode)
	require.Equal(t, results[0].ProfileID, again[0].ProfileID)
	require.Equal(t, results[2].ProfileID, again[2].ProfileID)
	items[1].Code = good
	_, err = s.Request(t.Context(), keyed(carPark, "k1"), registry.Options{}, items...)
	require.ErrorIs(t, err, registry.ErrKeyReused)

	// The code that was refused is still good, and the others are used up.
	results, err = s.Request(t.Context(), keyed(third, "k1"), registry.Options{}, items...)
	require.NoError(t, err)
	require.Len(t, registry.Failed(results), 2)
	require.ErrorIs(t, results[0].Err, registry.ErrAuthCode)
	require.NoError(t, results[1].Err)
}

func TestRequestRefuses(t *testing.T) {
	t.Parallel()
	s, ids := service(t, 1)
	items := codes(t, s, ids)
	_, err := s.Request(t.Context(), city, registry.Options{}, items...)
	require.ErrorIs(t, err, registry.ErrForbidden)
	_, err = s.Request(t.Context(), keyed(carPark, strings.Repeat("k", 256)), registry.Options{}, items...)
	require.ErrorIs(t, err, registry.ErrInvalid)
	results, err := s.Request(t.Context(), parko, registry.Options{}, items...)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrOwn)
	require.Equal(t, 2002, registry.Code(results[0].Err))
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s, ids := service(t, 1)
	for i, to := range []registry.Actor{carPark, third} {
		results, err := s.Request(t.Context(), keyed(to, fmt.Sprint(i)), registry.Options{}, codes(t, s, ids)...)
		require.NoError(t, err)
		require.Empty(t, registry.Failed(results))
	}
	all, err := s.History(t.Context(), city, ids[0])
	require.NoError(t, err)
	require.Len(t, all, 2)
	first := all[0]
	require.Equal(t, transfer.ServerApproved, first.Status)
	require.Equal(t, [2]string{parko.Account, carPark.Account}, [2]string{first.From, first.To})
	require.Equal(t, [2]uint64{11, 12}, [2]uint64{first.OldProfile, first.NewProfile})
	require.Equal(t, s.clock(), first.Acted)

	// The losing provider keeps its proof, and sees no more than that.
	lost, err := s.History(t.Context(), parko, ids[0])
	require.NoError(t, err)
	require.Equal(t, all[:1], lost)
	for _, stranger := range []registry.Actor{{Account: "x", Role: registry.RoleASP}, {Account: "toronto", Role: registry.RoleOwner}} {
		_, err = s.History(t.Context(), stranger, ids[0])
		require.ErrorIs(t, err, registry.ErrNotFound)
	}
}

func ExampleService_Request() {
	s, ids := service(&testing.T{}, 2)
	ctx := context.Background()
	codes, _ := s.Registry.IssueCodes(ctx, city, ids...)
	var moves []registry.Move
	for _, c := range codes {
		moves = append(moves, registry.Move{Device: c.Device, Code: c.Code})
	}
	actor := registry.Actor{Account: "carparkserv", Role: registry.RoleASP, Key: "ottawa-2026"}
	results, err := s.Request(ctx, actor, registry.Options{}, moves...)
	fmt.Println(results[0].Device, results[0].ProfileID, results[0].Err, err)
	fmt.Println("a code prints as", codes[0].Code)
	// Output:
	// 1000000000000001 13 <nil> <nil>
	// a code prints as *****
}

// The answer to a request does not depend on what happened to the device since.
func TestRequestIsRepeatable(t *testing.T) {
	t.Parallel()
	s, ids := service(t, 2)
	items := codes(t, s, ids)
	items = append(items, items[0])
	first, err := s.Request(t.Context(), keyed(carPark, "k1"), registry.Options{}, items...)
	require.NoError(t, err)
	require.Len(t, registry.Failed(first), 1)
	require.ErrorIs(t, first[2].Err, registry.ErrInvalid)

	moved, err := s.Request(t.Context(), keyed(third, "k2"), registry.Options{}, codes(t, s, ids[:1])...)
	require.NoError(t, err)
	require.Empty(t, registry.Failed(moved))
	again, err := s.Request(t.Context(), keyed(carPark, "k1"), registry.Options{}, items...)
	require.NoError(t, err)
	require.Equal(t, first, again)
	d, err := s.Registry.Device(t.Context(), root, ids[0])
	require.NoError(t, err)
	require.Equal(t, third.Account, d.Sponsor, "a repetition moves nothing")
}

// A client that lost patience and asked again while its first request was still
// at work gets one answer.
func TestRequestBesideItself(t *testing.T) {
	t.Parallel()
	s, ids := service(t, 8)
	items := codes(t, s, ids)
	answers := make([][]registry.Result, 4)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			var err error
			answers[i], err = s.Request(context.Background(), keyed(carPark, "k"), registry.Options{}, items...)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	for _, a := range answers {
		require.Empty(t, registry.Failed(a))
		require.Equal(t, answers[0], a)
	}
	for _, id := range ids {
		h, err := s.History(t.Context(), city, id)
		require.NoError(t, err)
		require.Len(t, h, 1)
	}
}

func TestRequestWithoutKey(t *testing.T) {
	t.Parallel()
	s, ids := service(t, 1)
	items := codes(t, s, ids)
	results, err := s.Request(t.Context(), carPark, registry.Options{}, items...)
	require.NoError(t, err)
	require.Empty(t, registry.Failed(results))
	results, err = s.Request(t.Context(), carPark, registry.Options{}, items...)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrOwn)
	results, err = s.Request(t.Context(), keyed(carPark, "k"), registry.Options{})
	require.NoError(t, err)
	require.Empty(t, results)
}
