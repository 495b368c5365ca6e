package registry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
)

// A device that is registered anew begins without a code and leaves its old
// owner's list, whether or not the old record was cleared away.
func TestRegisteredAnewWithoutTheOldCode(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := b.claim(1)
	id := rows[0].ID
	other := registry.Actor{Account: "toronto", Role: registry.RoleOwner}
	require.NoError(t, b.reg.PutAccount(t.Context(), root, registry.Account{ID: other.Account, Role: other.Role}))
	in := registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows}
	b.ok(b.reg.Import(t.Context(), parko, in))
	code := b.code(id)
	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
	in.Owner = other.Account
	b.ok(b.reg.Import(t.Context(), parko, in))

	require.ErrorIs(t, b.move(carPark, id, code).Err, registry.ErrAuthCode)
	require.Empty(t, (&moved{t: t, reg: b.reg}).table(registry.TableOwned, city.Account))
}

// The profiles of a device's earlier life end with it, also where the device is
// registered anew before it was cleared away.
func TestRegisteredAnewEndsTheOldProfiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Redemption, c.PurgeAfter = time.Hour, time.Hour })
	rows := b.claim(1)
	id := rows[0].ID
	in := registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows}
	b.ok(b.reg.Import(t.Context(), parko, in))
	b.ok(b.reg.Activate(t.Context(), parko, registry.Options{}, id))
	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
	b.wait(2 * time.Hour)
	b.ok(b.reg.Import(t.Context(), carPark, in))
	b.resume()
	require.Equal(t, registry.ProfileRevoked, b.profiles(id)[0].Status)
	require.Zero(t, b.device(id).Profile)
	require.Zero(t, b.owed())
}
