package rdap_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/web/rdap"
	"github.com/stretchr/testify/require"
)

// postbox is an operator that takes every order.
type postbox struct{}

func (postbox) Order(_ context.Context, o mno.Order) (mno.Receipt, error) {
	return mno.Receipt{Device: o.Device, ICCID: "8944476500001224158", MatchingID: "M"}, nil
}
func (postbox) Cancel(context.Context, mno.Receipt) error { return nil }

func newRegistry(t testing.TB) *registry.Registry {
	t.Helper()
	now := func() time.Time { return begin }
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		var err error
		keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
	}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: "iotregistry.ca", RootKey: keys[0], IssuerKey: keys[1], Now: now})
	require.NoError(t, err)
	zone, err := publish.NewZone(publish.ZoneConfig{Origin: "iotregistry.ca."})
	require.NoError(t, err)
	reg, err := registry.New(registry.Config{
		Zone: "iotregistry.ca", Store: memory.New(), Authority: authority, Publisher: zone, FirstProfileID: 11,
		Operators: map[string]mno.Operator{telco.Account: postbox{}}, AllowUnclaimed: true, Now: now,
	})
	require.NoError(t, err)
	for _, a := range []registry.Account{
		{ID: parko.Account, Role: parko.Role, Name: "ParkoServ Inc.", Host: "parkoserv.ca", Port: 443},
		{ID: carPark.Account, Role: carPark.Role, Host: "carparkserv.ca", Port: 443},
		{ID: city.Account, Role: city.Role, Name: "City of Ottawa"}, {ID: telco.Account, Role: telco.Role},
	} {
		require.NoError(t, reg.PutAccount(t.Context(), root, a))
	}
	return reg
}

// The engine itself, not our stand-in of it, decides who sees all.
func TestWithARegistry(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t)
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	eu, err := hpke.NewDHKEMPrivateKey(key)
	require.NoError(t, err)
	row := registry.Row{ID: meter, Model: "Meter", PublicKey: profile.FormatPublicKey(eu.PublicKey())}
	results, err := reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{row}})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)

	h := newHandler(t, func(cfg *rdap.Config) { cfg.Engine, cfg.Now = reg, func() time.Time { return begin } })
	path := "/rdap/device/" + meter.String()
	doc := decode(t, ask(h, "GET", path, nobody).Body.Bytes())
	follows(t, doc)
	require.Equal(t, []any{"inactive"}, doc["status"])
	require.NotContains(t, doc, "ldhName", "no name before it is activated")

	results, err = reg.Activate(t.Context(), parko, registry.Options{}, meter)
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	for rule, c := range map[string]struct {
		actor registry.Actor
		want  any
	}{
		"nobody": {nobody, "public"}, "another": {carPark, "public"}, "a maker": {maker, "public"},
		"sponsor": {parko, "whole"}, "owner": {city, "whole"}, "operator": {telco, "whole"}, "registry": {root, "whole"}, "auditor": {auditor, "whole"},
	} {
		w := ask(h, "GET", path, c.actor)
		require.Equal(t, c.want, verdict(w), rule)
		doc := decode(t, w.Body.Bytes())
		follows(t, doc)
		require.Equal(t, "11.1000000000000001.iotregistry.ca", doc["ldhName"], rule)
		require.Equal(t, []any{"active"}, doc["status"], rule)
		require.Len(t, doc["events"], 3, rule)
	}
	require.Equal(t, 404, ask(h, "GET", "/rdap/device/"+fresh.String(), root).Code)
}
