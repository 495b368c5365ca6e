package registry_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// everyone is one actor of each role that has to do with the bench's devices, and
// strangers of the roles that devices belong to.
var everyone = map[string]registry.Actor{
	"operator": root, "auditor": auditor, "sponsor": parko, "owner": city, "mno": telco, "maker": maker,
	"other asp": carPark, "other owner": {Account: "toronto", Role: registry.RoleOwner}, "other mno": {Account: "bell", Role: registry.RoleMNO},
	"nobody": {}, "sponsor's name, no role": {Account: parko.Account}, "unknown role": {Account: parko.Account, Role: "king"},
}

// TestRoles holds every operation against every role: who is not named may not.
func TestRoles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	opts := registry.Options{DryRun: true}
	one := func(rs []registry.Result, err error) error {
		if err == nil && len(rs) > 0 {
			err = rs[0].Err
		}
		return err
	}
	for _, c := range []struct {
		op  string
		may []string
		do  func(b *bench, a registry.Actor, id eid.ID) error
	}{
		{"put account", []string{"operator"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return b.reg.PutAccount(ctx, a, registry.Account{ID: "new", Role: registry.RoleOwner})
		}},
		{"list accounts", []string{"operator", "auditor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Accounts(ctx, a, "", "", 0)
			return err
		}},
		{"read an account", []string{"operator", "auditor", "sponsor", "sponsor's name, no role", "unknown role"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Account(ctx, a, parko.Account)
			return err
		}},
		{"issue a token", []string{"operator"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, _, err := b.reg.IssueToken(ctx, a, parko.Account, "", 0)
			return err
		}},
		{"file a claim", []string{"maker"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.File(ctx, a, nil))
		}},
		{"import", []string{"sponsor", "other asp"}, func(b *bench, a registry.Actor, id eid.ID) error {
			rows := []registry.Row{{ID: eid.MustParse("1000000000000002")}}
			return one(b.reg.Import(ctx, a, registry.Import{Owner: city.Account, MNO: telco.Account, DryRun: true, Rows: rows}))
		}},
		{"activate", []string{"operator", "sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Activate(ctx, a, opts, id))
		}},
		{"reset", []string{"operator", "sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Reset(ctx, a, opts, id))
		}},
		{"forget a card key", []string{"operator", "sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.ForgetCardKeys(ctx, a, opts, id))
		}},
		{"switch", []string{"operator", "sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Switch(ctx, a, "bell", opts, id))
		}},
		{"set a client status", []string{"sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return b.setStatus(a, add(registry.StatusClientHold), id)
		}},
		{"set a server status", []string{"operator"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return b.setStatus(a, add(registry.StatusServerHold), id)
		}},
		{"delete", []string{"operator", "sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Delete(ctx, a, opts, id))
		}},
		{"restore", []string{"operator", "sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Restore(ctx, a, opts, id))
		}},
		{"confirm", []string{"sponsor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Confirm(ctx, a, registry.Confirmation{Device: id, ProfileID: 11}))
		}},
		{"report progress", []string{"mno"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return b.reg.Progress(ctx, a, mno.Progress{Device: id, ProfileID: 11, Point: mno.PointDownload})
		}},
		{"draw a code", []string{"owner"}, func(b *bench, a registry.Actor, id eid.ID) error {
			codes, err := b.reg.IssueCodes(ctx, a, id)
			return errors.Join(err, codes[0].Err)
		}},
		{"clear a code", []string{"owner"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.ClearCodes(ctx, a, opts, id))
		}},
		{"see whether there is a code", []string{"operator", "auditor", "sponsor", "owner", "mno"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Code(ctx, a, id)
			return err
		}},
		{"read a device", []string{"operator", "auditor", "sponsor", "owner", "mno"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Device(ctx, a, id)
			return err
		}},
		{"read its profiles", []string{"operator", "auditor", "sponsor", "owner", "mno"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Issued(ctx, a, id, 11)
			return err
		}},
		{"read its timeline", []string{"operator", "auditor", "sponsor", "owner", "mno"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Timeline(ctx, a, id, 0, 0)
			return err
		}},
		{"list devices", []string{"operator", "auditor", "sponsor", "owner", "other asp", "other owner"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, _, err := b.reg.Devices(ctx, a, "", 0)
			return err
		}},
		{"approve", nil, func(b *bench, a registry.Actor, id eid.ID) error { // nothing is pending
			return one(b.reg.Decide(ctx, a, registry.Approve, registry.MoveOptions{}, id))
		}},
		{"decide what cannot be decided", nil, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Decide(ctx, a, "import", registry.MoveOptions{}, id))
		}},
		{"move with a wrong code", nil, func(b *bench, a registry.Actor, id eid.ID) error {
			return one(b.reg.Move(ctx, a, []registry.Move{{Device: id}}, registry.MoveOptions{}))
		}},
		{"poll", []string{"operator", "auditor", "sponsor", "owner", "mno", "maker", "other asp", "other owner", "other mno"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Messages(ctx, a, "", 0)
			return err
		}},
		{"read the audit trail", []string{"operator", "auditor"}, func(b *bench, a registry.Actor, id eid.ID) error {
			return b.reg.ExportAudit(ctx, a, io.Discard, 0)
		}},
		{"seal the audit trail", []string{"operator"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.SealAudit(ctx, a)
			return err
		}},
		{"resume", []string{"operator"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Resume(ctx, a)
			return err
		}},
		{"work", []string{"operator"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Work(ctx, a)
			return err
		}},
		{"republish", []string{"operator"}, func(b *bench, a registry.Actor, id eid.ID) error {
			_, err := b.reg.Republish(ctx, a)
			return err
		}},
	} {
		t.Run(c.op, func(t *testing.T) {
			t.Parallel()
			for who, actor := range everyone {
				b := newBench(t)
				require.NoError(t, b.reg.PutAccount(ctx, root, registry.Account{ID: "bell", Role: registry.RoleMNO}))
				b.claim(2)
				ids := []eid.ID{eid.MustParse("1000000000000001")}
				b.ok(b.reg.Import(ctx, parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rowsOf(ids)}))
				b.ok(b.reg.Activate(ctx, parko, registry.Options{}, ids...))
				before := b.device(ids[0])
				err := c.do(b, actor, ids[0])
				if !contains(c.may, who) {
					require.Error(t, err, who)
					require.Equal(t, before, b.device(ids[0]), who)
					continue
				}
				require.NoError(t, err, who)
			}
		})
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func TestNoDecision(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(1)
	_, err := b.reg.Decide(t.Context(), parko, "import", registry.MoveOptions{}, ids...)
	require.ErrorIs(t, err, registry.ErrInvalid)
}

// To a stranger a device that is there looks like one that is not.
func TestStrangersCannotTell(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	there := b.active(1)[0]
	absent := eid.MustParse("1000000000000077")
	for _, who := range []string{"other asp", "other owner", "other mno"} {
		actor := everyone[who]
		for name, call := range map[string]func(id eid.ID) error{
			"read":     func(id eid.ID) error { _, err := b.reg.Device(t.Context(), actor, id); return err },
			"code":     func(id eid.ID) error { _, err := b.reg.Code(t.Context(), actor, id); return err },
			"timeline": func(id eid.ID) error { _, err := b.reg.Timeline(t.Context(), actor, id, 0, 0); return err },
			"reset": func(id eid.ID) error {
				rs, err := b.reg.Reset(t.Context(), actor, registry.Options{}, id)
				return errors.Join(err, rs[0].Err)
			},
			"move": func(id eid.ID) error {
				rs, err := b.reg.Move(t.Context(), actor, []registry.Move{{Device: id}}, registry.MoveOptions{})
				return errors.Join(err, rs[0].Err)
			},
		} {
			one, other := call(there), call(absent)
			require.Error(t, one, "%s %s", who, name)
			require.Equal(t, registry.Kind(other), registry.Kind(one), "%s %s", who, name)
			require.Equal(t, registry.Code(other), registry.Code(one), "%s %s", who, name)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	c, token, err := b.reg.IssueToken(ctx, root, parko.Account, "for the importer", time.Hour)
	require.NoError(t, err)
	require.NotContains(t, printed(token), token.Reveal())
	require.NotContains(t, printed(c), token.Reveal())
	actor, err := b.reg.Authenticate(ctx, token.Reveal())
	require.NoError(t, err)
	require.Equal(t, parko, actor)
	for name, wrong := range map[string]string{
		"none": "", "another": token.Reveal()[:len(token.Reveal())-1] + "!", "its ID": c.ID, "too long": token.Reveal() + string(make([]byte, 1<<20)),
	} {
		_, err := b.reg.Authenticate(ctx, wrong)
		require.ErrorIs(t, err, registry.ErrUnauthentic, name)
		require.Equal(t, 2200, registry.Code(err))
	}
	cs, err := b.reg.Credentials(ctx, parko, parko.Account)
	require.NoError(t, err)
	require.Equal(t, []*registry.Credential{&c}, cs)
	_, err = b.reg.Credentials(ctx, carPark, parko.Account)
	require.ErrorIs(t, err, registry.ErrForbidden)

	b.wait(time.Hour)
	_, err = b.reg.Authenticate(ctx, token.Reveal())
	require.ErrorIs(t, err, registry.ErrUnauthentic, "expired")

	c, token, err = b.reg.IssueToken(ctx, root, parko.Account, "", 0)
	require.NoError(t, err)
	require.ErrorIs(t, b.reg.RevokeCredential(ctx, carPark, c.ID), registry.ErrInvalid)
	require.NoError(t, b.reg.RevokeCredential(ctx, parko, c.ID))
	_, err = b.reg.Authenticate(ctx, token.Reveal())
	require.ErrorIs(t, err, registry.ErrUnauthentic, "revoked")
	_, _, err = b.reg.IssueToken(ctx, root, "nobody", "", 0)
	require.ErrorIs(t, err, registry.ErrUnknown)
	_, _, err = b.reg.IssueToken(ctx, root, parko.Account, "", -1)
	require.ErrorIs(t, err, registry.ErrInvalid)
}

func TestCertificateCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cert := selfSigned(t, b.clock(), 24*time.Hour)
	_, err := b.reg.AuthenticateCertificate(t.Context(), cert)
	require.ErrorIs(t, err, registry.ErrUnauthentic)
	_, err = b.reg.TrustCertificate(t.Context(), root, telco.Account, "es2+", cert, 0)
	require.NoError(t, err)
	actor, err := b.reg.AuthenticateCertificate(t.Context(), cert)
	require.NoError(t, err)
	require.Equal(t, telco, actor)
	_, err = b.reg.TrustCertificate(t.Context(), root, parko.Account, "", cert, 0)
	require.ErrorIs(t, err, registry.ErrInvalid, "one key is one account's")
	_, err = b.reg.TrustCertificate(t.Context(), root, telco.Account, "again", cert, 0)
	require.NoError(t, err)
	b.wait(25 * time.Hour)
	_, err = b.reg.AuthenticateCertificate(t.Context(), cert)
	require.ErrorIs(t, err, registry.ErrUnauthentic, "the certificate has ended")
}
