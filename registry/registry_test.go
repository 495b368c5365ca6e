package registry_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/memory"
)

func TestNewWantsItsParts(t *testing.T) {
	t.Parallel()
	whole := newBench(t).reg.Config
	for name, change := range map[string]func(*registry.Config){
		"Store":     func(c *registry.Config) { c.Store = nil },
		"Authority": func(c *registry.Config) { c.Authority = nil },
		"Publisher": func(c *registry.Config) { c.Publisher = nil },
		"Zone":      func(c *registry.Config) { c.Zone = "not a zone" },
	} {
		cfg := whole
		change(&cfg)
		_, err := registry.New(cfg)
		require.ErrorIs(t, err, registry.ErrInvalid, name)
		require.ErrorContains(t, err, name)
	}
}

func TestActivate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(3)
	for i, id := range ids {
		want := uint64(11 + i)
		d := b.device(id)
		require.Equal(t, want, d.Profile)
		require.Equal(t, []registry.Status{registry.StatusOK}, d.Statuses(b.clock()))
		ps := b.profiles(id)
		require.Len(t, ps, 1)
		require.Equal(t, registry.ProfileOrdered, ps[0].Status)
		require.Equal(t, registry.MNOOffered, ps[0].MNOStatus)
		require.Equal(t, fmt.Sprintf("%d.%s.%s", want, id, zone), ps[0].Name)
		require.True(t, b.zone.has(ps[0].Name))
		require.NotEmpty(t, ps[0].Receipt.ICCID)
	}
	require.Equal(t, 1, b.zone.changes, "one zone change for the batch")

	// The operator got what the card can open, and nobody else.
	p := b.profiles(ids[0])[0]
	sealed, err := profile.ParseSealed(b.mno.orders[p.Receipt.ICCID].Sealed)
	require.NoError(t, err)
	trust := func([]*x509.Certificate) error { return nil }
	opened, err := sealed.Open(b.keys[ids[0]], profile.OpenOptions{Device: ids[0], Registry: zone, Trust: trust})
	require.NoError(t, err)
	require.Equal(t, "parkoserv.ca", opened.Host)
	issued, err := b.reg.Issued(t.Context(), parko, ids[0], p.ID)
	require.NoError(t, err)
	require.Equal(t, issued.Certificate, opened.Certificate)
	_, err = b.reg.Issued(t.Context(), parko, ids[0], 12)
	require.ErrorIs(t, err, registry.ErrNotFound, "of another device")

	// Again changes nothing.
	results, err := b.reg.Activate(t.Context(), parko, registry.Options{}, ids...)
	b.allDone(results, err)
	require.Equal(t, uint64(11), results[0].ProfileID)
	require.Equal(t, 1, b.zone.changes)
}

func TestActivateRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.imported(1)[0]
	unknown := eid.MustParse("77")
	for _, c := range []struct {
		name  string
		actor registry.Actor
		ids   []eid.ID
		want  []error
	}{
		{"unknown device", parko, []eid.ID{unknown}, []error{registry.ErrNotFound}},
		{"another ASP sees nothing", carPark, []eid.ID{id}, []error{registry.ErrNotFound}},
		{"the owner may not", city, []eid.ID{id}, []error{registry.ErrForbidden}},
		{"an auditor may not", auditor, []eid.ID{id}, []error{registry.ErrForbidden}},
		{"named twice", parko, []eid.ID{id, id}, []error{nil, registry.ErrInvalid}},
	} {
		results, err := b.reg.Activate(t.Context(), c.actor, registry.Options{}, c.ids...)
		require.NoError(t, err, c.name)
		for i, want := range c.want {
			require.ErrorIs(t, results[i].Err, want, c.name)
		}
	}
	require.Len(t, b.profiles(id), 1)
}

func TestImport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := b.claim(3)
	unclaimed := registry.Row{Line: 9, ID: eid.MustParse("5")}
	in := registry.Import{Owner: city.Account, MNO: telco.Account, Rows: append(rows, unclaimed)}

	in.Atomic = true
	results, err := b.reg.Import(t.Context(), parko, in)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrAborted)
	require.ErrorIs(t, results[3].Err, registry.ErrNoKey)
	require.Equal(t, 9, results[3].Line)
	_, err = b.reg.Device(t.Context(), root, rows[0].ID)
	require.ErrorIs(t, err, registry.ErrNotFound, "nothing of an atomic import with a bad row")

	in.Atomic, in.DryRun = false, true
	results, err = b.reg.Import(t.Context(), parko, in)
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	_, err = b.reg.Device(t.Context(), root, rows[0].ID)
	require.ErrorIs(t, err, registry.ErrNotFound, "a dry run keeps nothing")

	in.DryRun = false
	results, err = b.reg.Import(t.Context(), parko, in)
	require.NoError(t, err)
	require.Len(t, registry.Failed(results), 1)
	require.Equal(t, []registry.Status{registry.StatusInactive}, b.device(rows[0].ID).Statuses(b.clock()))

	results, err = b.reg.Import(t.Context(), parko, in)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrExists)
	results, err = b.reg.Import(t.Context(), carPark, in)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrSponsored)
	require.Equal(t, 2302, registry.Code(results[0].Err))

	_, err = b.reg.Import(t.Context(), city, in)
	require.ErrorIs(t, err, registry.ErrForbidden)
	in.Owner = "nobody"
	_, err = b.reg.Import(t.Context(), parko, in)
	require.ErrorIs(t, err, registry.ErrUnknown)
}

func TestImportHoldsKeysAgainstTheMaker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := b.claim(2)
	other := profile.FormatPublicKey(b.keys[rows[1].ID].PublicKey())
	in := registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{
		{ID: rows[0].ID, PublicKey: other},
		{ID: rows[1].ID, PublicKey: other},
		{ID: eid.MustParse("5"), PublicKey: other},
		{ID: eid.MustParse("6"), PublicKey: "nonsense"},
		{ID: eid.MustParse("7"), MNO: "nobody"},
	}}
	results, err := b.reg.Import(t.Context(), parko, in)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrKeyMismatch)
	require.NoError(t, results[1].Err)
	require.ErrorIs(t, results[2].Err, registry.ErrNoKey)
	require.ErrorIs(t, results[3].Err, registry.ErrInvalid)
	require.ErrorIs(t, results[4].Err, registry.ErrUnknown)

	open := newBench(t, func(c *registry.Config) { c.AllowUnclaimed = true })
	results, err = open.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: in.Rows[2:3]})
	open.allDone(results, err)
}

func TestClaims(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := b.claim(2)
	key := func(i int) string { return profile.FormatPublicKey(b.keys[rows[i].ID].PublicKey()) }
	results, err := b.reg.File(t.Context(), maker, []registry.Claim{
		{Device: rows[0].ID, Key: key(0)},
		{Device: rows[0].ID, Key: key(1)},
		{Device: eid.MustParse("5"), Key: "nonsense"},
		{Key: key(0)},
	})
	require.NoError(t, err)
	require.NoError(t, results[0].Err, "the same claim again")
	require.ErrorIs(t, results[1].Err, registry.ErrKeyMismatch)
	require.ErrorIs(t, results[2].Err, registry.ErrInvalid)
	require.ErrorIs(t, results[3].Err, registry.ErrInvalid)
	other := registry.Actor{Account: "other", Role: registry.RoleMaker}
	results, err = b.reg.File(t.Context(), other, []registry.Claim{{Device: rows[0].ID, Key: key(0)}})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrKeyMismatch)
	_, err = b.reg.File(t.Context(), parko, nil)
	require.ErrorIs(t, err, registry.ErrForbidden)
}

func TestMoveMakesBeforeItBreaks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	results, err := b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: id, ProfileID: 11})
	b.allDone(results, err)

	res := b.move(carPark, id, b.code(id))
	require.NoError(t, res.Err)
	require.Equal(t, uint64(12), res.ProfileID)
	d := b.device(id)
	require.Equal(t, carPark.Account, d.Sponsor)
	ps := b.profiles(id)
	require.Equal(t, registry.ProfileSuperseded, ps[0].Status)
	require.Equal(t, registry.ProfileOrdered, ps[1].Status)
	require.True(t, b.zone.has(ps[0].Name), "the old record stays until the device has moved")
	require.True(t, b.zone.has(ps[1].Name))

	// ParkoServ has nothing to say any more.
	results, err = b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: id, ProfileID: 11})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrNotFound)
	// The old profile does not confirm the new one.
	results, err = b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: id, ProfileID: 11})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrState)
	require.True(t, b.zone.has(ps[0].Name))

	for range 2 { // a repetition does no harm
		results, err = b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: id, ProfileID: 12})
		b.allDone(results, err)
	}
	require.False(t, b.zone.has(ps[0].Name))
	require.True(t, b.zone.has(ps[1].Name))
	ps = b.profiles(id)
	require.Equal(t, registry.ProfileRevoked, ps[0].Status)
	require.Equal(t, registry.ProfileConnected, ps[1].Status)
	require.Empty(t, b.device(id).Retired)
}

func TestOverlapEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Overlap = time.Hour })
	id := b.active(1)[0]
	require.NoError(t, b.move(carPark, id, b.code(id)).Err)
	old := b.profiles(id)[0]

	n, err := b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Zero(t, n, "nothing is due yet")
	b.wait(time.Hour)
	require.Equal(t, registry.ProfileRevoked, b.profiles(id)[0].Status, "state is projected to now")
	require.True(t, b.zone.has(old.Name))
	n, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.False(t, b.zone.has(old.Name))
	_, err = b.reg.Resume(t.Context(), parko)
	require.ErrorIs(t, err, registry.ErrForbidden)
}

func TestMoveRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	right := b.code(ids[0])
	other := b.code(ids[1])
	before := b.device(ids[0])

	require.ErrorIs(t, b.move(carPark, ids[0], registry.AuthCode{}).Err, registry.ErrAuthCode)
	require.ErrorIs(t, b.move(carPark, ids[0], other).Err, registry.ErrAuthCode)
	require.ErrorIs(t, b.move(carPark, eid.MustParse("77"), right).Err, registry.ErrAuthCode, "unknown device looks like a wrong code")
	require.ErrorIs(t, b.move(parko, ids[0], right).Err, registry.ErrOwn, "own device")
	_, err := b.reg.Move(t.Context(), city, nil, registry.MoveOptions{})
	require.ErrorIs(t, err, registry.ErrForbidden)
	require.Equal(t, before, b.device(ids[0]))

	b.wait(registry.DefaultCodeTTL)
	require.ErrorIs(t, b.move(carPark, ids[0], right).Err, registry.ErrAuthCode, "expired")
	right = b.code(ids[0])
	newer := b.code(ids[0])
	require.ErrorIs(t, b.move(carPark, ids[0], right).Err, registry.ErrAuthCode, "replaced")
	require.NoError(t, b.move(carPark, ids[0], newer).Err)
	require.ErrorIs(t, b.move(parko, ids[0], newer).Err, registry.ErrAuthCode, "used")
}

func TestGuessingIsLockedOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	right, wrong := b.code(ids[0]), b.code(ids[1])
	for range 5 {
		require.ErrorIs(t, b.move(carPark, ids[0], wrong).Err, registry.ErrAuthCode)
	}
	require.ErrorIs(t, b.move(carPark, ids[0], right).Err, registry.ErrLocked)
	b.wait(time.Hour)
	require.NoError(t, b.move(carPark, ids[0], right).Err)
}

func TestOneOfManyMovesWins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	code := b.code(id)
	var wg sync.WaitGroup
	results := make([]registry.Result, 5)
	for i := range results {
		wg.Go(func() { results[i] = b.move(carPark, id, code) })
	}
	wg.Wait()
	require.Len(t, registry.Failed(results), 4)
	require.Len(t, b.profiles(id), 2, "one live profile")
}

// A move that loses to another change of the device keeps the owner's code.
func TestLostRaceKeepsTheCode(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	code := b.code(id)
	meddled := false
	reg, err := registry.New(func() registry.Config {
		cfg := b.reg.Config
		cfg.Trace = func(step string, _ int, _ time.Duration) {
			if step != "build" || meddled {
				return
			}
			meddled = true // between judging the code and using it
			require.NoError(t, b.store.Update(t.Context(), func(tx registry.Tx) error {
				recs, err := tx.Get(t.Context(), registry.TableDevices, id.String())
				if err != nil {
					return err
				}
				recs[0].Body = bytes.Replace(recs[0].Body, []byte(`{`), []byte(`{"status":["serverUpdateProhibited"],`), 1)
				return tx.Put(t.Context(), registry.TableDevices, recs...)
			}))
		}
		return cfg
	}())
	require.NoError(t, err)
	move := []registry.Move{{Device: id, Code: code}}
	results, err := reg.Move(t.Context(), carPark, move, registry.MoveOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrConflict)
	results, err = reg.Move(t.Context(), carPark, move, registry.MoveOptions{})
	b.allDone(results, err)
}

func TestCodesAreForTheOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.imported(1)[0]
	for actor, want := range map[registry.Actor]error{
		parko: registry.ErrForbidden, root: registry.ErrForbidden, carPark: registry.ErrNotFound,
		{Account: "toronto", Role: registry.RoleOwner}: registry.ErrNotFound,
	} {
		codes, err := b.reg.IssueCodes(t.Context(), actor, id)
		require.NoError(t, err)
		require.ErrorIs(t, codes[0].Err, want, actor)
		require.True(t, codes[0].Code.IsZero())
	}
	codes, err := b.reg.IssueCodes(t.Context(), city, eid.MustParse("77"), id, id)
	require.NoError(t, err)
	require.ErrorIs(t, codes[0].Err, registry.ErrNotFound)
	require.Equal(t, b.clock().Add(registry.DefaultCodeTTL), codes[2].Expires)
	require.Equal(t, codes[1], codes[2], "a device named twice gets one code")
	results, err := b.reg.Activate(t.Context(), parko, registry.Options{}, id)
	b.allDone(results, err)
	require.NoError(t, b.move(carPark, id, codes[1].Code).Err)
}

// TestInterrupted takes away zone and operator at every step and lets Resume
// finish.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ zone, mno bool }{"zone": {zone: true}, "operator": {mno: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id := b.imported(1)[0]
			b.zone.set(c.zone)
			b.mno.set(c.mno)
			results, err := b.reg.Activate(t.Context(), parko, registry.Options{}, id)
			if c.zone {
				require.ErrorIs(t, err, errDown)
			} else {
				require.NoError(t, err)
				require.ErrorIs(t, results[0].Err, registry.ErrUndelivered)
				require.NotContains(t, results[0].Err.Error(), errDown.Error(), "the way to the operator is nobody else's affair")
			}
			require.Equal(t, uint64(11), b.device(id).Profile, "the profile is kept")
			b.zone.set(false)
			b.mno.set(false)
			n, err := b.reg.Resume(t.Context(), root)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, registry.ProfileOrdered, b.profiles(id)[0].Status)
			require.Len(t, b.profiles(id), 1)
			n, err = b.reg.Resume(t.Context(), root)
			require.NoError(t, err)
			require.Zero(t, n)
		})
	}
}

func TestInterruptedWithdrawal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	require.NoError(t, b.move(carPark, id, b.code(id)).Err)
	b.zone.set(true)
	_, err := b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: id, ProfileID: 12})
	require.ErrorIs(t, err, errDown)
	require.Equal(t, registry.ProfileConnected, b.profiles(id)[1].Status)
	b.zone.set(false)
	n, err := b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.False(t, b.zone.has(b.profiles(id)[0].Name))
}

func TestProgress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	iccid := b.profiles(ids[0])[0].Receipt.ICCID
	report := func(actor registry.Actor, p mno.Progress) error { return b.reg.Progress(t.Context(), actor, p) }
	status := func(i int) (registry.ProfileStatus, registry.MNOStatus) {
		p := b.profiles(ids[i])[0]
		return p.Status, p.MNOStatus
	}
	require.ErrorIs(t, report(parko, mno.Progress{}), registry.ErrForbidden)
	require.ErrorIs(t, report(telco, mno.Progress{Device: eid.MustParse("77")}), registry.ErrNotFound)
	require.ErrorIs(t, report(telco, mno.Progress{Device: ids[0], ICCID: "89"}), registry.ErrNotFound)
	require.ErrorIs(t, report(telco, mno.Progress{Device: ids[0], ICCID: "89"}), mno.ErrUnknownICCID, "the SM-DP+ stops repeating it")
	stranger := registry.Actor{Account: "other", Role: registry.RoleMNO}
	require.ErrorIs(t, report(stranger, mno.Progress{Device: ids[0], ICCID: iccid}), registry.ErrNotFound)

	require.NoError(t, report(telco, mno.Progress{Device: ids[0], ICCID: iccid, Point: mno.PointInstall}))
	st, op := status(0)
	require.Equal(t, registry.ProfileInstalled, st)
	require.Equal(t, registry.MNOInstalled, op)
	// Late news changes nothing.
	require.NoError(t, report(telco, mno.Progress{Device: ids[0], ICCID: iccid, Point: mno.PointDownload}))
	st, _ = status(0)
	require.Equal(t, registry.ProfileInstalled, st)

	failure := &mno.StatusError{Subject: "8.2.10", Reason: "4.2"}
	require.NoError(t, report(telco, mno.Progress{Device: ids[1], ProfileID: 12, Point: mno.PointInstall, Failure: failure}))
	st, op = status(1)
	require.Equal(t, registry.ProfileFailed, st)
	require.Equal(t, registry.MNOFailed, op)
	// A failed profile is replaced by the next activation.
	results, err := b.reg.Activate(t.Context(), parko, registry.Options{}, ids[1])
	b.allDone(results, err)
	require.Equal(t, uint64(13), results[0].ProfileID)
}

func TestReading(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(3)
	for actor, want := range map[registry.Actor]error{
		root: nil, auditor: nil, parko: nil, city: nil, telco: nil,
		carPark: registry.ErrNotFound, maker: registry.ErrNotFound,
	} {
		_, err := b.reg.Device(t.Context(), actor, ids[0])
		require.ErrorIs(t, err, want, actor)
		_, err = b.reg.Profiles(t.Context(), actor, ids[0])
		require.ErrorIs(t, err, want, actor)
	}
	page, _, err := b.reg.Devices(t.Context(), parko, "", 2)
	require.NoError(t, err)
	require.Len(t, page, 2)
	page, _, err = b.reg.Devices(t.Context(), auditor, page[1].ID.String(), 2)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, ids[2], page[0].ID)
	page, _, err = b.reg.Devices(t.Context(), carPark, "", 0)
	require.NoError(t, err)
	require.Empty(t, page)
	_, _, err = b.reg.Devices(t.Context(), maker, "", 0)
	require.ErrorIs(t, err, registry.ErrForbidden)
}

func TestRepublish(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Batch = 2 })
	ids := b.active(5)
	require.NoError(t, b.move(carPark, ids[0], b.code(ids[0])).Err)
	want := len(b.zone.names)
	b.zone.names = map[string]bool{}
	n, err := b.reg.Republish(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, want, n)
	require.Len(t, b.zone.names, want)
	_, err = b.reg.Republish(t.Context(), parko)
	require.ErrorIs(t, err, registry.ErrForbidden)
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	require.ErrorIs(t, b.reg.PutAccount(ctx, parko, registry.Account{ID: "x", Role: registry.RoleOwner}), registry.ErrForbidden)
	require.ErrorIs(t, b.reg.PutAccount(ctx, root, registry.Account{ID: "x", Role: "king"}), registry.ErrInvalid)
	require.ErrorIs(t, b.reg.PutAccount(ctx, root, registry.Account{ID: "x", Role: registry.RoleASP}), registry.ErrInvalid)
	require.ErrorIs(t, b.reg.PutAccount(ctx, root, registry.Account{ID: parko.Account, Role: registry.RoleOwner}), registry.ErrInvalid)
	require.NoError(t, b.reg.PutAccount(ctx, root, registry.Account{ID: parko.Account, Role: parko.Role, Host: "new.parkoserv.ca", Port: 8443}))
}

func TestAuthCodeIsNeverShown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	code := b.code(b.imported(1)[0])
	secret := code.Reveal()
	require.Len(t, strings.ReplaceAll(secret, "-", ""), 26)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "code", code)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "code", code, "all", registry.IssuedCode{Code: code})
	js, err := json.Marshal(map[string]any{"code": code})
	require.NoError(t, err)
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %d", code, code, code, code, code, code, code) + log.String() + string(js) +
		fmt.Sprintf("%+v", registry.Move{Code: code})
	for _, part := range strings.Split(secret, "-") {
		if len(part) == 5 {
			require.NotContains(t, shown, part)
		}
	}
	again, err := registry.ParseAuthCode(" " + strings.ToLower(secret))
	require.NoError(t, err)
	require.Equal(t, code, again)
	for _, bad := range []string{"", "short", strings.Repeat("U", 26), strings.Repeat("0", 100)} {
		_, err := registry.ParseAuthCode(bad)
		require.ErrorIs(t, err, registry.ErrInvalid)
		if bad != "" {
			require.NotContains(t, err.Error(), bad)
		}
	}
}

// The store never holds a code or a private key in a form that could be used.
func TestStoreHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	secret := strings.ReplaceAll(b.code(id).Reveal(), "-", "")
	var all bytes.Buffer
	require.NoError(t, b.store.View(t.Context(), func(tx registry.Tx) error {
		for _, table := range registry.Tables() {
			recs, err := tx.List(t.Context(), table, registry.Query{})
			if err != nil {
				return err
			}
			for _, r := range recs {
				all.WriteString(r.Key)
				all.Write(r.Body)
			}
		}
		return nil
	}))
	require.NotContains(t, all.String(), secret)
	require.NotContains(t, all.String(), "PRIVATE")
}

func TestErrorsHaveCodes(t *testing.T) {
	t.Parallel()
	for want, errs := range map[int][]error{
		1000: {nil},
		2005: {registry.ErrInvalid, registry.ErrNoKey, registry.ErrKeyMismatch},
		2201: {registry.ErrForbidden},
		2202: {registry.ErrAuthCode, registry.ErrLocked},
		2302: {registry.ErrExists, registry.ErrSponsored},
		2303: {registry.ErrNotFound, registry.ErrUnknown},
		2304: {registry.ErrState},
		2400: {registry.ErrConflict, errDown},
	} {
		for _, err := range errs {
			if err != nil {
				err = &registry.Error{Op: "test", Device: eid.MustParse("1"), Err: err}
			}
			require.Equal(t, want, registry.Code(err), err)
		}
	}
}

func TestLargeBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Batch = 7 })
	ids := b.active(20)
	var moves []registry.Move
	for _, id := range ids {
		moves = append(moves, registry.Move{Device: id, Code: b.code(id)})
	}
	results, err := b.reg.Move(t.Context(), carPark, moves, registry.MoveOptions{})
	b.allDone(results, err)
	seen := map[uint64]bool{}
	for i, r := range results {
		require.Equal(t, ids[i], r.Device)
		require.False(t, seen[r.ProfileID])
		seen[r.ProfileID] = true
	}
}

var _ registry.Store = (*memory.Store)(nil)
