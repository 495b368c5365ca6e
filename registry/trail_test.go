package registry_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/claim"
	"github.com/iotregistry/sdk/registry/eid"
)

// printed is a value as any printing shows it.
func printed(v any) string {
	b, _ := json.Marshal(v)
	return fmt.Sprintf("%v %+v %#v %s %q ", v, v, v, v, v) + string(b)
}

func selfSigned(t testing.TB, now time.Time, life time.Duration) *x509.Certificate {
	key := signer(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: now, NotAfter: now.Add(life),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "client"}}, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func (b *bench) export(after uint64) string {
	b.t.Helper()
	var buf bytes.Buffer
	require.NoError(b.t, b.reg.ExportAudit(context.Background(), auditor, &buf, after))
	return buf.String()
}

func (b *bench) seal() {
	b.t.Helper()
	_, err := b.reg.SealAudit(context.Background(), root)
	require.NoError(b.t, err)
}

// Everything that was done is in the trail, once, in order, and the export
// verifies with nothing but the registry's audit key.
func TestAuditTrail(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := signer(t)
			b := newBench(t, small, func(c *registry.Config) { c.Store, c.AuditKey = open(t), key })
			ids := b.active(4)
			b.code(ids[0])
			require.ErrorIs(t, b.move(carPark, ids[1], registry.AuthCode{}).Err, registry.ErrAuthCode)
			require.NoError(t, b.move(carPark, ids[0], b.code(ids[0])).Err)
			b.ok(b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: ids[0], ProfileID: b.device(ids[0]).Profile}))
			b.ok(b.reg.Activate(t.Context(), parko, registry.Options{}, ids[1:]...)) // changes nothing
			b.seal()
			first, err := b.reg.AuditHead(t.Context(), auditor)
			require.NoError(t, err)

			v := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{key.Public()}, RequireHead: true}
			report, err := v.Verify(strings.NewReader(b.export(0)))
			require.NoError(t, err)
			require.Equal(t, first.Seq, report.SignedThrough)

			var ops []string
			lines, err := b.reg.Timeline(t.Context(), carPark, ids[0], 0, 0)
			require.NoError(t, err)
			for _, l := range lines {
				e, err := audit.ParseEntry(l.Entry)
				require.NoError(t, err)
				ops = append(ops, e.Op)
			}
			require.Equal(t, []string{"claim", "import", "activate", "authorization code", "authorization code", "move", "confirm", "withdraw"}, ops)

			// Later lines continue the trail that somebody has verified before.
			require.NoError(t, b.setStatus(parko, add(registry.StatusClientHold), ids[1]))
			b.seal()
			chain, err := first.Chain()
			require.NoError(t, err)
			later := audit.Verifier{Log: zone, Keys: v.Keys, From: chain, AtLeast: &first}
			report, err = later.Verify(strings.NewReader(b.export(first.Seq)))
			require.NoError(t, err)
			require.Equal(t, first.Seq+1, report.Last)
			n, err := b.reg.SealAudit(t.Context(), root)
			require.NoError(t, err)
			require.Zero(t, n)

			changed := strings.Replace(b.export(0), `"op":"move"`, `"op":"muve"`, 1)
			_, err = v.Verify(strings.NewReader(changed))
			require.ErrorIs(t, err, audit.ErrChain)
		})
	}
}

func TestAuditTrailIsEmptyAtFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Empty(t, b.export(0), "nothing is sealed")
	lines, err := b.reg.Audit(t.Context(), auditor, 0, 0)
	require.NoError(t, err)
	require.Empty(t, lines)
	b.seal()
	lines, err = b.reg.Audit(t.Context(), auditor, 0, 2)
	require.NoError(t, err)
	require.Len(t, lines, 2)
}

// Processes that seal at once make one chain.
func TestManySealers(t *testing.T) {
	t.Parallel()
	for name, open := range sharedStores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small, func(c *registry.Config) { c.Store = open(t) })
			b.active(12)
			errs := make(chan error, 4)
			for range 4 {
				reg := b.with(func(*registry.Config) {})
				go func() {
					_, err := reg.SealAudit(context.Background(), root)
					errs <- err
				}()
			}
			for range 4 {
				if err := <-errs; err != nil {
					require.ErrorIs(t, err, registry.ErrConflict)
				}
			}
			b.seal()
			v := audit.Verifier{Log: zone}
			report, err := v.Verify(strings.NewReader(b.export(0)))
			require.NoError(t, err)
			require.Equal(t, uint64(5+3*12), report.Last, "accounts, claims, imports, activations")
		})
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	say := func(msgs ...registry.Message) {
		t.Helper()
		require.NoError(t, b.store.Update(ctx, func(tx registry.Tx) error { return b.reg.Notify(ctx, tx, msgs...) }))
	}
	types := func(a registry.Actor, after string, limit int) (types []string, last string) {
		t.Helper()
		msgs, err := b.reg.Messages(ctx, a, after, limit)
		require.NoError(t, err)
		for _, m := range msgs {
			types, last = append(types, string(m.Type)), m.ID
		}
		return types, last
	}
	later := registry.Message{ID: "x", Account: parko.Account, Type: "later", Time: b.clock().Add(time.Hour)}
	say(later)
	say(registry.Message{Account: parko.Account, Type: "one"}, registry.Message{Account: parko.Account, Type: "two"})
	say(registry.Message{Account: parko.Account, Type: "three"}, registry.Message{Account: carPark.Account, Type: "theirs"})
	say(registry.Message{Account: parko.Account + "2", Type: "a longer name's"})

	all, last := types(parko, "", 0)
	require.Equal(t, []string{"one", "two", "three"}, all, "first in, first out")
	first, id := types(parko, "", 1)
	require.Equal(t, []string{"one"}, first)
	rest, _ := types(parko, id, 0)
	require.Equal(t, []string{"two", "three"}, rest)
	again, _ := types(parko, "", 1)
	require.Equal(t, first, again, "told again until it is acknowledged")

	for name, bad := range map[string]string{
		"somebody else's": last, "none": "", "without a name": last[:14], "of the future": fmt.Sprintf("%013d/x", later.Time.UnixMilli()),
	} {
		actor := parko
		if name == "somebody else's" {
			actor = carPark
		}
		require.ErrorIs(t, b.reg.Ack(ctx, actor, bad), registry.ErrInvalid, name)
	}
	require.NoError(t, b.reg.Ack(ctx, parko, id))
	require.NoError(t, b.reg.Ack(ctx, parko, id, last), "one was acknowledged before")
	all, _ = types(parko, "", 0)
	require.Equal(t, []string{"two"}, all)

	b.wait(time.Hour)
	all, _ = types(parko, "", 0)
	require.Equal(t, []string{"two", "later"}, all)
	theirs, _ := types(carPark, "", 0)
	require.Equal(t, []string{"theirs"}, theirs)

	unsaid := registry.Message{ID: "y", Account: parko.Account, Type: "never", Time: b.clock().Add(time.Hour)}
	say(unsaid)
	require.NoError(t, b.store.Update(ctx, func(tx registry.Tx) error { return b.reg.Unsay(ctx, tx, unsaid) }))
	b.wait(time.Hour)
	all, _ = types(parko, "", 0)
	require.Equal(t, []string{"two", "later"}, all)
}

func TestCertificateExpiring(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Validity = 100 * 24 * time.Hour })
	ids := b.active(2)
	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, ids[0]))
	b.wait(70 * 24 * time.Hour)
	_, err := b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	msgs, err := b.reg.Messages(t.Context(), parko, "", 0)
	require.NoError(t, err)
	require.Len(t, msgs, 2, "of the current profiles, once")
	for _, m := range msgs {
		require.Equal(t, registry.MessageCertExpiring, m.Type)
	}
}

// The kinds of errors survive a trip as JSON.
func TestErrorsTravel(t *testing.T) {
	t.Parallel()
	id := eid.MustParse("1000000000000001")
	for _, sentinel := range []error{
		registry.ErrNotFound, registry.ErrExists, registry.ErrSponsored, registry.ErrOwn, registry.ErrAuthCode, registry.ErrLocked,
		registry.ErrForbidden, registry.ErrUnauthentic, registry.ErrState, registry.ErrPending, registry.ErrNotPending, registry.ErrNoKey,
		registry.ErrKeyMismatch, registry.ErrUnknown, registry.ErrNoJob, registry.ErrInvalid, registry.ErrKeyReused, registry.ErrRevision,
		registry.ErrAborted, registry.ErrCancelled, registry.ErrUndelivered, registry.ErrConflict, registry.ErrClosed,
		context.Canceled, context.DeadlineExceeded,
	} {
		before := registry.Result{Line: 7, Device: id, ProfileID: 3, Err: &registry.Error{Op: "import", Device: id, Err: fmt.Errorf("%w: because", sentinel)}}
		text, err := json.Marshal(before)
		require.NoError(t, err)
		var after registry.Result
		require.NoError(t, json.Unmarshal(text, &after))
		require.ErrorIs(t, after.Err, sentinel)
		if slices.Contains([]error{registry.ErrConflict, registry.ErrClosed, context.Canceled, context.DeadlineExceeded}, sentinel) {
			require.NotContains(t, after.Err.Error(), "because", "what its parts have met stays with the registry")
		} else {
			require.Equal(t, before.Err.Error(), after.Err.Error())
		}
		require.Equal(t, registry.Code(before.Err), registry.Code(after.Err))
		require.Equal(t, registry.Kind(before.Err), registry.Kind(after.Err))
		require.Equal(t, registry.Retryable(before.Err), registry.Retryable(after.Err))
		require.NotEqual(t, "internal", registry.Kind(after.Err))
	}
	pending, err := json.Marshal(registry.Result{Device: id, Pending: true})
	require.NoError(t, err)
	require.JSONEq(t, `{"device":"1000000000000001","code":1001}`, string(pending))

	text, err := json.Marshal(registry.Result{Err: errors.New("dial tcp 10.0.0.1: password is hunter2")})
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2", "the registry's own affairs stay here")
	require.Equal(t, 1000, registry.Code(nil))
	require.Empty(t, registry.Kind(nil))
	require.False(t, registry.Retryable(nil))
}

// Every call that changes something is done once under one key, also by another
// process.
func TestRepeatedByKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		call func(ctx context.Context, reg *registry.Registry, actor registry.Actor, ids []eid.ID) ([]registry.Result, error)
	}{
		{"import", func(ctx context.Context, reg *registry.Registry, actor registry.Actor, ids []eid.ID) ([]registry.Result, error) {
			return reg.Import(ctx, actor, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rowsOf(ids)})
		}},
		{"activate", func(ctx context.Context, reg *registry.Registry, actor registry.Actor, ids []eid.ID) ([]registry.Result, error) {
			return reg.Activate(ctx, actor, registry.Options{}, ids...)
		}},
		{"reset", func(ctx context.Context, reg *registry.Registry, actor registry.Actor, ids []eid.ID) ([]registry.Result, error) {
			return reg.Reset(ctx, actor, registry.Options{}, ids...)
		}},
		{"delete", func(ctx context.Context, reg *registry.Registry, actor registry.Actor, ids []eid.ID) ([]registry.Result, error) {
			return reg.Delete(ctx, actor, registry.Options{}, ids...)
		}},
		{"restore", func(ctx context.Context, reg *registry.Registry, actor registry.Actor, ids []eid.ID) ([]registry.Result, error) {
			return reg.Restore(ctx, actor, registry.Options{}, ids...)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small)
			rows := b.claim(5)
			ids := make([]eid.ID, 0, 6)
			for _, row := range rows {
				ids = append(ids, row.ID)
			}
			if c.name != "import" {
				b.ok(b.reg.Import(t.Context(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows}))
			}
			if c.name == "reset" || c.name == "delete" || c.name == "restore" {
				b.ok(b.reg.Activate(t.Context(), parko, registry.Options{}, ids...))
			}
			ids = append(ids, eid.MustParse("77")) // which nobody knows
			actor := keyed(parko, "k")
			first, err := c.call(t.Context(), b.reg, actor, ids)
			require.NoError(t, err)
			require.Error(t, first[5].Err)
			b.seal()
			trail := b.export(0)
			b.wait(time.Hour)
			again, err := c.call(t.Context(), b.with(func(*registry.Config) {}), actor, ids)
			require.NoError(t, err)
			for i := range first {
				require.Equal(t, first[i].ProfileID, again[i].ProfileID)
				require.Equal(t, registry.Kind(first[i].Err), registry.Kind(again[i].Err))
			}
			b.seal()
			require.Equal(t, trail, b.export(0), "nothing was done again")

			_, err = c.call(t.Context(), b.reg, actor, ids[:5])
			require.ErrorIs(t, err, registry.ErrKeyReused)
			_, err = c.call(t.Context(), b.reg, keyed(parko, strings.Repeat("k", 256)), ids)
			require.ErrorIs(t, err, registry.ErrInvalid)
		})
	}
}

// Answers are forgotten when their time is over, and not before.
func TestAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.RequestTTL = 72 * time.Hour })
	ids := b.active(1)
	actor := keyed(parko, "k")
	b.ok(b.reg.Reset(t.Context(), actor, registry.Options{}, ids...))
	kept := func() (n int) {
		require.NoError(t, b.store.View(t.Context(), func(tx registry.Tx) error {
			recs, err := tx.List(t.Context(), registry.TableRequests, registry.Query{})
			n = len(recs)
			return err
		}))
		return n
	}
	for range 3 {
		_, err := b.reg.Resume(t.Context(), root)
		require.NoError(t, err)
		require.Equal(t, 1, kept())
		b.wait(24 * time.Hour)
	}
	b.ok(b.reg.Reset(t.Context(), actor, registry.Options{}, ids...))
	require.Len(t, b.profiles(ids[0]), 3, "the key is free again")
	b.wait(96 * time.Hour)
	for range 10 {
		_, err := b.reg.Resume(t.Context(), root)
		require.NoError(t, err)
	}
	require.Zero(t, kept())
}

func TestFileSigned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	key := signer(t)
	trust, err := claim.FormatTrust([]crypto.PublicKey{key.Public()}, nil)
	require.NoError(t, err)
	require.NoError(t, b.reg.PutAccount(t.Context(), root, registry.Account{ID: maker.Account, Role: maker.Role, Trust: trust}))
	pub := b.keyOf(t)
	list := "Device ID,Public Key\n1000000000000001," + pub + "\n77,nonsense\n"
	digest := crypto.SHA256.New()
	digest.Write([]byte(list))
	sig, err := key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
	require.NoError(t, err)

	_, err = b.reg.FileSigned(t.Context(), parko, strings.NewReader(list+" "), sig)
	require.ErrorIs(t, err, claim.ErrSignature)
	require.ErrorIs(t, err, registry.ErrInvalid)
	_, err = b.reg.FileSigned(t.Context(), registry.Actor{}, strings.NewReader(list), sig)
	require.ErrorIs(t, err, registry.ErrForbidden)
	results, err := b.reg.FileSigned(t.Context(), parko, strings.NewReader(list), sig)
	require.NoError(t, err)
	require.Len(t, results, 2)
	require.NoError(t, results[0].Err)
	require.Equal(t, 2, results[0].Line)
	require.ErrorIs(t, results[1].Err, registry.ErrInvalid)
	require.Equal(t, 3, results[1].Line)
	b.ok(b.reg.Import(t.Context(), parko, registry.Import{
		Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{{ID: eid.MustParse("1000000000000001")}},
	}))
}

func TestAccountsAreChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, a := range map[string]registry.Account{
		"no ID":                     {Role: registry.RoleOwner},
		"an ID with a slash":        {ID: "a/b", Role: registry.RoleOwner},
		"an ID with a line":         {ID: "a\nb", Role: registry.RoleOwner},
		"too long an ID":            {ID: strings.Repeat("a", 65), Role: registry.RoleOwner},
		"no role":                   {ID: "a"},
		"an unknown role":           {ID: "a", Role: "king"},
		"a provider without a host": {ID: "a", Role: registry.RoleASP},
		"another role":              {ID: parko.Account, Role: registry.RoleOwner},
		"keys of no maker":          {ID: "a", Role: registry.RoleOwner, Trust: "x"},
		"keys that are none":        {ID: "a", Role: registry.RoleMaker, Trust: "x"},
		"too long a name":           {ID: "a", Role: registry.RoleOwner, Name: strings.Repeat("a", 257)},
	} {
		require.ErrorIs(t, b.reg.PutAccount(t.Context(), root, a), registry.ErrInvalid, name)
	}
	all, err := b.reg.Accounts(t.Context(), root, registry.RoleASP, "", 0)
	require.NoError(t, err)
	require.Len(t, all, 2)
	_, err = b.reg.Account(t.Context(), root, "a")
	require.ErrorIs(t, err, registry.ErrUnknown)
}

func TestCodesCanBeSeenAndCleared(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	info := func() registry.CodeInfo {
		t.Helper()
		i, err := b.reg.Code(t.Context(), parko, ids[0])
		require.NoError(t, err)
		return i
	}
	require.Zero(t, info())
	code := b.code(ids[0])
	require.Equal(t, b.clock().Add(registry.DefaultCodeTTL), info().Expires)
	b.ok(b.reg.ClearCodes(t.Context(), city, registry.Options{}, ids...))
	require.Zero(t, info())
	require.ErrorIs(t, b.move(carPark, ids[0], code).Err, registry.ErrAuthCode)
	b.code(ids[0])
	b.wait(registry.DefaultCodeTTL)
	require.Zero(t, info(), "expired is as if it were not set")
}

func TestReadLists(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	code := b.code(b.active(1)[0])
	rows, bad, err := registry.ReadCodes(strings.NewReader("device id,authorization code\n1000000000000001," + code.Reveal() + "\n1000000000000002,00000\n"))
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.NoError(t, b.move(carPark, rows[0].ID, rows[0].Code).Err)
	require.Len(t, bad, 1)
	require.NotContains(t, bad[0].Error(), "00000")
	_, _, err = registry.ReadCodes(strings.NewReader("Device ID\n1000000000000001\n"))
	require.ErrorIs(t, err, registry.ErrCodeHeader)
	rows, bad, err = registry.ReadIDs(strings.NewReader("Device ID,Model\n1000000000000001,x\n"))
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Len(t, rows, 1)
	_, _, err = registry.ReadIDs(strings.NewReader("ID\n"))
	require.ErrorIs(t, err, registry.ErrIDHeader)
}
