package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/web/webhook"
	"github.com/stretchr/testify/require"
)

// With a registry's own queue: what is acknowledged or lies in the future is not
// new, and what came at the same time as the last is.
func TestWithARegistry(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := newReceiver(t, nil)
	store := memory.New()
	b := newBench(t, r.Server, "", func(cfg *webhook.Config) { cfg.Engine = newRegistry(t, store, cfg.Now) })
	reg := newRegistry(t, store, b.clock)
	root := registry.Actor{Account: "registry", Role: registry.RoleOperator}
	city := registry.Actor{Account: "ottawa", Role: registry.RoleOwner}
	require.NoError(t, reg.PutAccount(ctx, root, registry.Account{ID: "ottawa", Role: city.Role, Webhook: r.URL + "/hook"}))
	say := func(after time.Duration) {
		require.NoError(t, store.Update(ctx, func(tx registry.Tx) error {
			return reg.Notify(ctx, tx, registry.Message{Account: "ottawa", Type: registry.MessageJobDone, Time: b.clock().Add(after)})
		}))
	}
	require.Zero(t, b.round(t))
	say(0)
	say(time.Minute)
	require.Equal(t, 1, b.round(t))
	require.Zero(t, b.round(t))
	say(0)
	require.Equal(t, 1, b.round(t), "at the same time as the first")
	b.forward(time.Minute)
	require.Equal(t, 1, b.round(t), "what was to come has come")

	msgs, err := reg.Messages(ctx, city, "", 0)
	require.NoError(t, err)
	require.Len(t, msgs, 3)
	for _, m := range msgs {
		require.NoError(t, reg.Ack(ctx, city, m.ID))
	}
	b.forward(2 * time.Hour)
	require.Zero(t, b.round(t), "nothing to remind of")
	require.Len(t, r.calls(), 3)
}

func newRegistry(t testing.TB, store registry.Store, now func() time.Time) *registry.Registry {
	t.Helper()
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
	reg, err := registry.New(registry.Config{Zone: "iotregistry.ca", Store: store, Authority: authority, Publisher: zone, Now: now})
	require.NoError(t, err)
	return reg
}
