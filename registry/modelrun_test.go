package registry_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

var (
	third    = registry.Actor{Account: "thirdserv", Role: registry.RoleASP}
	toronto  = registry.Actor{Account: "toronto", Role: registry.RoleOwner}
	northTel = registry.Actor{Account: "northtel", Role: registry.RoleMNO}
)

// TestModel lets random actors do random things to a registry whose zone, operator
// and process fail at random, and compares it with the model after every step.
// REGISTRY_MODEL=seed,steps runs one seed for longer, and seed-seed,steps many.
func TestModel(t *testing.T) {
	t.Parallel()
	first, last, steps := uint64(1), uint64(16), 150
	if testing.Short() {
		last = 3
	}
	if env := os.Getenv("REGISTRY_MODEL"); env != "" {
		seeds, n, _ := strings.Cut(env, ",")
		from, to, many := strings.Cut(seeds, "-")
		var err error
		first, err = strconv.ParseUint(from, 10, 64)
		require.NoError(t, err)
		if last = first; many {
			last, err = strconv.ParseUint(to, 10, 64)
			require.NoError(t, err)
		}
		steps, err = strconv.Atoi(n)
		require.NoError(t, err)
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := first; seed <= last; seed++ {
				if name == "sqlite" && seed%4 != 0 && first != last {
					continue
				}
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) { newWorld(t, seed, open(t)).live(steps) }) {
					return
				}
			}
		})
	}
}

// world is an engine and the model of it.
type world struct {
	*bench
	m     *model
	rnd   *rand.Rand
	seed  uint64
	begin time.Time
	rows  map[string]registry.Row
	names []string
	codes map[string][]registry.AuthCode // that were issued, by device
	calls []mCall                        // that had a key
	step  int
	trace []string
	must  map[string]bool // profiles whose records must not leave the zone
	key   crypto.Signer
	cards []crypto.Signer // keys that cards have made
	certs map[uint64]*x509.Certificate
}

func newWorld(t *testing.T, seed uint64, store registry.Store) *world {
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 0)), seed: seed, rows: map[string]registry.Row{}, codes: map[string][]registry.AuthCode{},
		must: map[string]bool{}, key: signer(t), certs: map[uint64]*x509.Certificate{},
		m: &model{
			Devices: map[string]*mDevice{}, Profiles: map[string][]*mProfile{}, Transfers: map[string][]*mTransfer{},
			Codes: map[string]*mCode{}, Guesses: map[string]*mGuess{}, Messages: map[string][]mMessage{},
			Audit: map[string]int{}, Kept: map[string]mKept{},
		},
	}
	w.bench = newBench(t, func(c *registry.Config) {
		c.Store, c.Batch, c.Orders, c.Workers, c.AuditKey = store, mBatch, 1, 1, w.key
		c.Overlap, c.CodeTTL = mOverlap*time.Second, mCodeTTL*time.Second
		c.Redemption, c.PurgeAfter, c.RequestTTL = mRedemption*time.Second, mPurge*time.Second, mRequestTTL*time.Second
		c.Lease = time.Millisecond
		c.Operators[northTel.Account] = c.Operators[telco.Account]
	})
	w.begin, w.m.Now = w.now.Add(-time.Second), 1 // 0 is never
	for _, a := range []registry.Account{
		{ID: third.Account, Role: third.Role, Host: "thirdserv.ca", Port: 443},
		{ID: toronto.Account, Role: toronto.Role}, {ID: northTel.Account, Role: northTel.Role},
	} {
		require.NoError(t, w.reg.PutAccount(t.Context(), root, a))
	}
	for _, row := range w.claim(3) {
		w.names = append(w.names, row.ID.String())
		w.rows[row.ID.String()] = row
	}
	w.carded("77", "78")
	return w
}

func (w *world) live(steps int) {
	defer func() {
		if w.t.Failed() {
			w.t.Logf("REGISTRY_MODEL=%d,%d go test ./registry -run TestModel; the last steps:\n%s", w.seed, w.step+1, strings.Join(w.trace[max(0, len(w.trace)-25):], "\n"))
		}
	}()
	for w.step = range steps {
		w.pass(1) // what two processes do at the same moment has no order
		w.next()
		w.compare(w.m)
		w.checkZone()
	}
	w.settle()
	w.checkWhole()
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%4d at %s: ", w.step, time.Duration(w.m.Now)*time.Second)+fmt.Sprintf(format, args...))
}

func pick[T any](w *world, of ...T) T { return of[w.rnd.IntN(len(of))] }

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// next takes one random step.
func (w *world) next() {
	switch n := w.rnd.IntN(100); {
	case n < 12:
		w.advance()
	case n < 16:
		w.m.MNODown = !w.m.MNODown
		w.mno.set(w.m.MNODown)
		w.log("operator down: %v", w.m.MNODown)
	case n < 19 && !w.zone.down:
		w.zone.set(true)
		w.m.Fuzzy = true
		w.log("zone down")
	case n < 32 || w.m.Fuzzy && n < 45:
		w.settle()
	case n < 38:
		w.ack()
	case n < 44:
		w.progress()
	case n < 52:
		w.job()
	case n < 62:
		w.enroll()
	case n < 70 && len(w.calls) > 0:
		w.again()
	default:
		c := w.randomCall()
		if c.keyed() {
			w.calls = append(w.calls, c)
		}
		w.call(c)
	}
}

// advance moves the clock at random, or exactly to a deadline or just before it.
func (w *world) advance() {
	to := w.m.Now + 1 + w.rnd.Int64N(pick(w, int64(60), 3600, 4*3600))
	var due []int64
	for id, d := range w.m.Devices {
		due = append(due, d.Undo, d.Redeem, d.Purged)
		if d.Pending != nil {
			due = append(due, d.Pending.Due)
		}
		if c := w.m.Codes[id]; c != nil {
			due = append(due, c.Expires)
		}
		for _, p := range w.m.Profiles[id] {
			due = append(due, p.Until)
		}
	}
	due = slices.DeleteFunc(due, func(at int64) bool { return at <= w.m.Now+2 })
	if slices.Sort(due); len(due) > 0 && w.chance(50) {
		to = due[w.rnd.IntN(min(len(due), 3))] - 1 - w.rnd.Int64N(2)
	}
	w.pass(to - w.m.Now)
	w.log("the clock")
}

func (w *world) pass(seconds int64) {
	w.wait(time.Duration(seconds) * time.Second)
	w.m.tick(w.m.Now + seconds)
}

// settle has everything that is down come up again and Resume finish what is
// owed, perhaps after a process has died doing it.
func (w *world) settle() {
	w.zone.set(false)
	w.mno.set(false)
	w.m.MNODown = false
	if w.chance(30) {
		n := w.rnd.IntN(20)
		w.log("resume, and die after %d", n)
		if _, err := w.mortal(n).Resume(w.t.Context(), root); err != nil {
			require.ErrorIs(w.t, err, errCrash)
		}
	}
	w.log("resume")
	for tries := 0; ; tries++ {
		n := w.resume()
		if n == 0 && w.owed() == 0 {
			break
		}
		require.Less(w.t, tries, 6, "Resume never ends")
	}
	w.m.settle()
	w.m.Fuzzy = false
	w.compare(w.m)
	want := w.m.published()
	require.Equal(w.t, want, w.inZone(), "what is in the zone")
	clear(w.must)
	for _, p := range want {
		w.must[p] = true
	}
}

// inZone is the zone in the model's words.
func (w *world) inZone() []string {
	var out []string
	for _, id := range w.names {
		for n, p := range w.stored(id) {
			if w.zone.has(p.Name) && !w.m.Profiles[id][n].Unseen {
				out = append(out, fmt.Sprintf("%s/%d", id, n+1))
			}
		}
	}
	slices.Sort(out)
	return out
}

// checkZone demands that what devices live on is in the zone at every moment, and
// what is held or withdrawn is not.
func (w *world) checkZone() {
	in := w.inZone()
	want := w.m.published()
	for p := range w.must {
		id, number, _ := strings.Cut(p, "/")
		n, _ := strconv.Atoi(number)
		if gone := w.m.Profiles[id][n-1]; !slices.Contains(want, p) || gone.Leaving {
			delete(w.must, p)
			continue
		}
		require.Contains(w.t, in, p, "make before break")
	}
	for _, p := range in {
		id, number, _ := strings.Cut(p, "/")
		n, _ := strconv.Atoi(number)
		if d := w.m.Devices[id]; !w.m.Fuzzy && !w.m.Profiles[id][n-1].Leaving {
			require.True(w.t, d != nil && !d.held(), "%s is held and in the zone", p)
			require.Contains(w.t, want, p)
		}
	}
}

func (w *world) stored(id string) (out []registry.Profile) {
	require.NoError(w.t, w.store.View(context.Background(), func(tx registry.Tx) error {
		recs, err := tx.List(context.Background(), registry.TableProfiles, registry.Query{Parent: id})
		for _, rec := range recs {
			var p registry.Profile
			if err := json.Unmarshal(rec.Body, &p); err != nil {
				return err
			}
			out = append(out, p)
		}
		return err
	}))
	return out
}

func (w *world) randomItems(op string) []mItem {
	n := 1 + w.rnd.IntN(4)
	var items []mItem
	for range n {
		it := mItem{Device: pick(w, w.names...)}
		if op != "import" && w.chance(3) {
			it.Device = "1999999999999999"
		}
		switch d := w.m.get(it.Device); {
		case op == "move":
			it.Code = -1
			if issued := w.codes[it.Device]; len(issued) > 0 && w.chance(80) {
				it.Code = len(issued)
				if w.chance(10) {
					it.Code = 1 + w.rnd.IntN(len(issued))
				}
				if issued[it.Code-1].IsZero() {
					it.Code = -1
				}
			}
		case op == "code":
			it.Code = len(w.codes[it.Device]) + 1
		case op == "confirm" && d != nil:
			it.Profile = max(0, d.Profile-w.rnd.IntN(8)/7)
		}
		twice := slices.ContainsFunc(items, func(o mItem) bool { return o.Device == it.Device })
		if twice && (op == "code" || op == "confirm" || w.chance(85)) {
			continue
		}
		items = append(items, it)
	}
	return items
}

func (w *world) randomCall() mCall {
	ops := []string{
		"import", "import", "activate", "activate", "reset", "switch", "status", "status", "delete", "restore",
		"code", "code", "code", "clear", "move", "move", "move", "move", "approve", "reject", "cancel", "undo", "confirm", "confirm", "forget",
	}
	c := mCall{Op: pick(w, ops...)}
	c.Items = w.randomItems(c.Op)
	c.Actor = pick(w, parko, carPark, third, root)
	c.Atomic, c.DryRun = w.chance(10), w.chance(6)
	d := w.m.get(c.Items[0].Device)
	if d != nil && w.chance(75) {
		c.Actor = registry.Actor{Account: d.Sponsor, Role: asp}
	}
	switch c.Op {
	case "import":
		c.Actor = pick(w, parko, carPark, third)
		if c.named() < len(c.Items) { // the model judges such rows as it goes
			c.Atomic, c.DryRun = false, false
		}
		c.Param = pick(w, city, toronto).Account + " " + pick(w, telco, northTel).Account
	case "switch":
		c.Param = pick(w, telco, northTel).Account
	case "status":
		c.Atomic, c.DryRun = false, false
		prefix := "client"
		if c.Actor.Role == operator {
			prefix = "server"
		}
		what := prefix + pick(w, "Hold", "Hold", "Hold", "TransferProhibited", "UpdateProhibited", "DeleteProhibited")
		if c.Add = []string{what}; w.chance(60) {
			c.Add, c.Rem = nil, []string{what}
		}
	case "move":
		c.Actor, c.Wait = pick(w, parko, carPark, third), w.chance(50)
	case "cancel":
		if d != nil && d.Pending != nil && w.chance(80) {
			c.Actor = registry.Actor{Account: d.Pending.To, Role: asp}
		}
	case "confirm":
		if c.Atomic, c.DryRun = false, false; c.Actor.Role == operator {
			c.Actor = parko
		}
	case "code", "clear", "undo":
		if d != nil && (c.Op != "undo" || w.chance(40)) {
			c.Actor = registry.Actor{Account: d.Owner, Role: owner}
		} else if c.Op != "undo" {
			c.Actor = city
		}
		if c.Op == "code" {
			c.Atomic, c.DryRun = false, false
		}
	}
	if w.chance(50) {
		c.Actor.Key = fmt.Sprint("key ", w.step)
	}
	return c
}

// again makes an earlier call again, or another one with its key.
func (w *world) again() {
	c := pick(w, w.calls[max(0, len(w.calls)-6):]...)
	if w.chance(25) {
		key, account := c.Actor.Key, c.Actor
		if c = w.randomCall(); c.Op == "code" || c.Op == "confirm" || c.Op == "import" || c.Op == "move" || account.Role != asp {
			return
		}
		c.Actor = account
		c.Actor.Key = key
		if c.Op == "clear" || c.Op == "status" && !strings.HasPrefix(append(c.Add, c.Rem...)[0], "client") {
			return
		}
	}
	w.call(c)
}

// call makes a call on the engine and on the model: whole, by two processes at
// once, or by one that dies.
func (w *world) call(c mCall) {
	if c.Op == "confirm" && w.m.Fuzzy {
		return
	}
	before := w.m.clone()
	snaps := []*model{before}
	want, callKind := w.m.call(c, func() { snaps = append(snaps, w.m.clone()) })
	snaps = append(snaps, w.m)
	guessing := slices.ContainsFunc(want, func(r mResult) bool { return r.Kind == "auth-code" })
	switch {
	case w.chance(15):
		n := w.rnd.IntN(8)
		w.log("%+v, and die after %d", c, n)
		_, err := w.do(w.mortal(n), c)
		if err != nil {
			for _, m := range snaps {
				m.Fuzzy = true
			}
			require.True(w.t, errors.Is(err, errCrash) || w.zone.down && errors.Is(err, errDown) || callKind != "", "%v", err)
		}
		w.choose(snaps)
	case w.zone.down:
		w.log("%+v with the zone down", c)
		results, err := w.do(w.reg, c)
		w.choose(snaps)
		if err == nil {
			w.checkResults(c, results, want)
		}
	case w.chance(20) && c.keyed() && !guessing:
		w.log("%+v, twice at once", c)
		var both sync.WaitGroup
		for range 2 {
			reg := w.with(func(*registry.Config) {})
			both.Go(func() { _, _ = w.do(reg, c) })
		}
		both.Wait()
	default:
		w.log("%+v", c)
		results, err := w.do(w.reg, c)
		require.Equal(w.t, callKind, registry.Kind(err), "%v", err)
		w.checkResults(c, results, want)
	}
}

// choose finds out how far a call came that ended early.
func (w *world) choose(snaps []*model) {
	var got string
	for _, m := range slices.Backward(snaps) {
		if got = w.observe(m); got == m.String() {
			w.m = m
			return
		}
	}
	require.Equal(w.t, snaps[len(snaps)-1].String(), got, "it is as nothing that could have become of the call")
}

func (w *world) checkResults(c mCall, results []registry.Result, want []mResult) {
	require.Len(w.t, results, len(want))
	for i, r := range want {
		kind := registry.Kind(results[i].Err)
		if w.m.Fuzzy && (kind == "" || kind == "undelivered") {
			kind = r.Kind
		}
		require.Equal(w.t, r.Kind, kind, "result %d: %v", i, results[i].Err)
		require.Equal(w.t, c.Items[i].Device, results[i].Device.String())
		if r.Kind != "" || c.DryRun {
			continue
		}
		require.Equal(w.t, r.Pending, results[i].Pending, "result %d", i)
		if r.checked && r.Profile > 0 {
			require.Equal(w.t, w.stored(c.Items[i].Device)[r.Profile-1].ID, results[i].ProfileID, "result %d", i)
		}
	}
}

// do makes a call on the engine.
func (w *world) do(reg *registry.Registry, c mCall) ([]registry.Result, error) {
	ctx, opts := context.Background(), registry.Options{Atomic: c.Atomic, DryRun: c.DryRun}
	s := w.service(reg, c.Wait)
	ids := make([]eid.ID, len(c.Items))
	for i, it := range c.Items {
		ids[i] = eid.MustParse(it.Device)
	}
	switch c.Op {
	case "import":
		who := strings.Fields(c.Param)
		return reg.Import(ctx, c.Actor, registry.Import{Owner: who[0], MNO: who[1], Rows: w.rowsOf(c), Atomic: c.Atomic, DryRun: c.DryRun})
	case "activate":
		return reg.Activate(ctx, c.Actor, opts, ids...)
	case "reset":
		return reg.Reset(ctx, c.Actor, opts, ids...)
	case "switch":
		return reg.Switch(ctx, c.Actor, c.Param, opts, ids...)
	case "status":
		return reg.SetStatus(ctx, c.Actor, registry.StatusChange{Add: statuses(c.Add), Remove: statuses(c.Rem)}, ids...)
	case "delete":
		return reg.Delete(ctx, c.Actor, opts, ids...)
	case "forget":
		return reg.ForgetCardKeys(ctx, c.Actor, opts, ids...)
	case "restore":
		return reg.Restore(ctx, c.Actor, opts, ids...)
	case "clear":
		return reg.ClearCodes(ctx, c.Actor, opts, ids...)
	case "code":
		return w.issue(reg, c, ids)
	case "move":
		var moves []registry.Move
		for i, id := range ids {
			moves = append(moves, registry.Move{Device: id, Code: w.codeOf(c.Items[i])})
		}
		return s.Request(ctx, c.Actor, opts, moves...)
	case "approve":
		return s.Approve(ctx, c.Actor, opts, ids...)
	case "reject":
		return s.Reject(ctx, c.Actor, opts, ids...)
	case "cancel":
		return s.Cancel(ctx, c.Actor, opts, ids...)
	case "undo":
		return s.Undo(ctx, c.Actor, opts, ids...)
	}
	var cs []registry.Confirmation
	for i, id := range ids {
		confirm := registry.Confirmation{Device: id}
		if n := c.Items[i].Profile; n > 0 {
			confirm.ProfileID = w.stored(id.String())[n-1].ID
		}
		cs = append(cs, confirm)
	}
	return reg.Confirm(ctx, c.Actor, cs...)
}

func (w *world) service(reg *registry.Registry, wait bool) *transfer.Service {
	policy := transfer.Policy{Undo: mUndo * time.Second}
	if wait {
		policy.Wait = mWait * time.Second
	}
	return transfer.New(reg, policy)
}

func statuses(words []string) (out []registry.Status) {
	for _, s := range words {
		out = append(out, registry.Status(s))
	}
	return out
}

func (w *world) rowsOf(c mCall) (rows []registry.Row) {
	for _, it := range c.Items {
		row := w.rows[it.Device]
		if c.Op == "move" {
			row = registry.Row{ID: eid.MustParse(it.Device), Code: w.codeOf(it)}
		}
		rows = append(rows, row)
	}
	return rows
}

func (w *world) codeOf(it mItem) registry.AuthCode {
	if it.Code > 0 {
		return w.codes[it.Device][it.Code-1]
	}
	c, err := registry.ParseAuthCode("00000-00000-00000-00000-00000-0")
	require.NoError(w.t, err)
	return c
}

func (w *world) issue(reg *registry.Registry, c mCall, ids []eid.ID) ([]registry.Result, error) {
	codes, err := reg.IssueCodes(context.Background(), c.Actor, ids...)
	results := make([]registry.Result, len(codes))
	for i, code := range codes {
		id := code.Device.String()
		results[i] = registry.Result{Device: code.Device, Err: code.Err}
		w.codes[id] = append(w.codes[id], code.Code) // the zero one where it was lost
	}
	return results, err
}

// progress has an operator report.
func (w *world) progress() {
	id := pick(w, w.names...)
	d := w.m.get(id)
	if d == nil || d.Profile == 0 || w.m.Fuzzy {
		return
	}
	failed, actor := w.chance(30), pick(w, telco, northTel)
	rep := mno.Progress{Device: eid.MustParse(id), ProfileID: w.stored(id)[d.Profile-1].ID, Point: mno.PointInstall}
	if failed {
		rep.Failure = &mno.StatusError{}
	}
	w.log("progress of %s by %s, failed: %v", id, actor.Account, failed)
	err := w.reg.Progress(w.t.Context(), actor, rep)
	p := w.m.current(id)
	rank := map[registry.ProfileStatus]int{"installed": 1, "failed": 2, "connected": 3}
	to, what := registry.ProfileInstalled, "profileDelivered"
	if failed {
		to, what = registry.ProfileFailed, "profileFailed"
	}
	if d.MNO != actor.Account {
		require.ErrorIs(w.t, err, registry.ErrNotFound)
		return
	}
	require.NoError(w.t, err)
	if rank[p.Status] < rank[to] {
		p.Status = to
		w.m.note(string(to), id)
		w.m.tellAt(w.m.Now, what, id, p.Sponsor)
	}
}

// ack acknowledges an account's oldest message, and somebody else's.
func (w *world) ack() {
	a := pick(w, parko, carPark, third, city, toronto)
	msgs, err := w.reg.Messages(w.t.Context(), a, "", 1)
	require.NoError(w.t, err)
	if len(msgs) == 0 {
		return
	}
	w.log("ack by %s", a.Account)
	require.ErrorIs(w.t, w.reg.Ack(w.t.Context(), registry.Actor{Account: "nobody", Role: asp}, msgs[0].ID), registry.ErrInvalid)
	require.NoError(w.t, w.reg.Ack(w.t.Context(), a, msgs[0].ID))
	require.ErrorIs(w.t, w.reg.Ack(w.t.Context(), a, msgs[0].ID), registry.ErrInvalid)
	gone := mMessage{msgs[0].Time.Unix() - w.begin.Unix(), told(msgs[0])}
	at := slices.Index(w.m.Messages[a.Account], gone)
	require.GreaterOrEqual(w.t, at, 0, "%v", gone)
	w.m.Messages[a.Account] = slices.Delete(w.m.Messages[a.Account], at, at+1)
}

func told(msg registry.Message) string { return string(msg.Type) + " " + deviceOf(msg.Device) }

func deviceOf(id eid.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// job carries out a call as a job, perhaps begun by a process that dies.
func (w *world) job() {
	c := w.randomCall()
	ops := map[string]registry.Op{
		"import": registry.OpImport, "activate": registry.OpActivate, "move": registry.OpTransfer, "reset": registry.OpReset,
		"switch": registry.OpSwitch, "delete": registry.OpDelete, "restore": registry.OpRestore,
	}
	if ops[c.Op] == "" || w.m.Fuzzy || w.zone.down || w.m.MNODown || c.DryRun {
		return
	}
	c.Actor.Key = fmt.Sprint("job ", w.step)
	w.log("job %+v", c)
	batch := registry.Batch{Op: ops[c.Op], Atomic: c.Atomic, MNO: c.Param}
	if c.Op == "import" {
		who := strings.Fields(c.Param)
		batch.Owner, batch.MNO = who[0], who[1]
	}
	rows := w.rowsOf(c)
	if c.Op != "import" && c.Op != "move" {
		for i, it := range c.Items {
			rows[i] = registry.Row{ID: eid.MustParse(it.Device)}
		}
	}
	w.service(w.reg, c.Wait)
	j := w.submit(c.Actor, batch, rows)
	again, err := w.reg.Submit(w.t.Context(), c.Actor, batch, each(rows))
	require.NoError(w.t, err)
	require.Equal(w.t, j, again)
	want := w.m.job(c)
	if w.chance(50) {
		mortal := w.mortal(w.rnd.IntN(25))
		mortal.Lease = time.Minute // of a clock that was ahead, for the one below
		w.service(mortal, c.Wait)
		_, err := mortal.Work(w.t.Context(), root)
		if err != nil {
			require.ErrorIs(w.t, err, errCrash)
		}
	}
	w.work(w.reg)
	require.Equal(w.t, registry.JobDone, w.bench.job(j.ID).State)
	w.checkResults(c, w.results(c.Actor, j, 0), want)
	require.Equal(w.t, len(registry.Failed(w.results(c.Actor, j, 0))), w.bench.job(j.ID).Failed)
}

// job carries out a call part by part. The codes of a transfer are judged before.
func (m *model) job(c mCall) []mResult {
	size := mBatch
	if c.Atomic {
		size = len(c.Items)
	}
	m.note("submit", "")
	results := make([]mResult, len(c.Items))
	if c.Op == "move" {
		for start := 0; start < len(c.Items); start += size {
			m.grant(c, c.Items[start:min(start+size, len(c.Items))], results[start:])
		}
	}
	key := c.Actor.Key
	for start := 0; start < len(c.Items); start += size {
		part, refused := c, false
		part.Items, part.Actor.Key = nil, fmt.Sprint(key, " part ", start)
		var at []int
		for i := start; i < min(start+size, len(c.Items)); i++ {
			if refused = refused || results[i].Kind != ""; results[i].Kind == "" {
				part.Items, at = append(part.Items, c.Items[i]), append(at, i)
			}
		}
		got := make([]mResult, len(at))
		if c.Atomic && refused {
			for i := range got {
				got[i].Kind = "aborted"
			}
		} else {
			got, _ = m.call(part, func() {})
		}
		for n, i := range at {
			results[i] = got[n]
		}
	}
	m.note("job done", "")
	m.tellAt(m.Now, "jobDone", "", c.Actor.Account)
	return results
}

func (m *model) grant(c mCall, items []mItem, results []mResult) {
	seen := map[string]bool{}
	for i, it := range items {
		if seen[it.Device] {
			results[i].Kind = "invalid"
			continue
		}
		seen[it.Device] = true
		if kind := m.judgeMove(c, it, m.get(it.Device)).kind; kind == "auth-code" || kind == "locked" {
			results[i].Kind = kind
		}
	}
	for i, it := range items {
		if results[i].Kind == "auth-code" {
			m.guess(it.Device, c.Actor.Account)
		}
	}
}

func (w *world) compare(m *model) {
	w.t.Helper()
	require.Equal(w.t, m.String(), w.observe(m))
}

// String is the model as observe describes the engine.
func (m *model) String() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(m.Profiles)) {
		m.describe(&b, id)
	}
	for _, id := range slices.Sorted(maps.Keys(m.Devices)) {
		if d := m.get(id); d != nil {
			pending := mPending{}
			if d.Pending != nil {
				pending = mPending{To: d.Pending.To, Due: d.Pending.Due}
			}
			code := mCode{}
			if c := m.Codes[id]; c != nil && m.Now < c.Expires {
				code = mCode{Issued: c.Issued, Expires: c.Expires}
			}
			fmt.Fprintln(&b, id, d.Sponsor, d.Owner, d.MNO, d.Status, d.Profile, pending, d.From, m.undoable(d), d.Deleted, d.Redeem, d.Purged, code, d.Card, d.Enrolled)
		}
	}
	for _, a := range []registry.Actor{parko, carPark, third, city, toronto} {
		var ids []string
		for _, id := range slices.Sorted(maps.Keys(m.Devices)) {
			if d := m.get(id); d != nil && sees(a, d) {
				ids = append(ids, id)
			}
		}
		msgs := slices.Clone(m.Messages[a.Account])
		slices.SortFunc(msgs, func(x, y mMessage) int {
			return strings.Compare(fmt.Sprintf("%09d%s", x.At, x.What), fmt.Sprintf("%09d%s", y.At, y.What))
		})
		fmt.Fprintln(&b, a.Account, ids, msgs)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Guesses)) {
		fmt.Fprintln(&b, key, *m.Guesses[key])
	}
	for _, key := range slices.Sorted(maps.Keys(m.Audit)) {
		fmt.Fprintln(&b, key, m.Audit[key])
	}
	kept := 0
	for _, k := range m.Kept {
		if m.Now < k.Until {
			kept++
		}
	}
	fmt.Fprintln(&b, kept, "kept")
	m.describeKeys(&b)
	return b.String()
}

func (m *model) describe(b *strings.Builder, id string) {
	for n, p := range m.Profiles[id] {
		fmt.Fprintln(b, id, n+1, p.Sponsor, p.MNO, p.Card, m.class(p, p.Status, p.Until))
	}
	for _, t := range m.Transfers[id] {
		fmt.Fprintln(b, id, *t)
	}
}

// class is what is known of a profile's status at any moment.
func (m *model) class(p *mProfile, s registry.ProfileStatus, until int64) string {
	switch {
	case p != nil && p.Leaving:
		return "leaving"
	case s == "superseded" && m.Now >= until:
		return "revoked"
	case s == "superseded" || s == "revoked" || s == "failed" || s == "installed" || s == "connected":
		return string(s)
	}
	return "live"
}

func (w *world) seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix() - w.begin.Unix()
}

// observe describes the engine in the words of the model.
func (w *world) observe(m *model) string {
	ctx := context.Background()
	var b strings.Builder
	for _, id := range w.names {
		w.describe(&b, m, id)
	}
	for _, id := range w.names {
		d, err := w.reg.Device(ctx, root, eid.MustParse(id))
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		require.NoError(w.t, err)
		pending := mPending{}
		if d.Pending != nil {
			pending = mPending{To: d.Pending.To, Due: w.seconds(d.Pending.Due)}
		}
		info, err := w.reg.Code(ctx, root, d.ID)
		require.NoError(w.t, err)
		code := mCode{Issued: w.seconds(info.Issued), Expires: w.seconds(info.Expires)}
		undoable := slices.Contains(d.Statuses(w.clock()), registry.StatusTransferPeriod)
		fmt.Fprintln(&b, id, d.Sponsor, d.Owner, d.MNO, d.Status, w.ordinal(id, d.Profile), pending, d.From, undoable,
			w.seconds(d.Deleted), w.seconds(d.Redeem), w.seconds(d.Purge), code, w.cardNumber(d.CardKey), w.seconds(d.Enrolled))
	}
	for _, a := range []registry.Actor{parko, carPark, third, city, toronto} {
		w.observeAccount(&b, a)
	}
	w.observeTables(&b)
	w.observeKeys(&b)
	return b.String()
}

func (w *world) ordinal(id string, profile uint64) int {
	if profile == 0 {
		return 0
	}
	return 1 + slices.IndexFunc(w.stored(id), func(p registry.Profile) bool { return p.ID == profile })
}

func (w *world) describe(b *strings.Builder, m *model, id string) {
	for n, p := range w.stored(id) {
		var known *mProfile
		if n < len(m.Profiles[id]) {
			known = m.Profiles[id][n]
		}
		fmt.Fprintln(b, id, n+1, p.Sponsor, p.MNO, w.certified(p), m.class(known, p.Status, w.seconds(p.WithdrawAt)))
	}
	if len(m.Profiles[id]) == 0 {
		return
	}
	ts, err := w.service(w.reg, false).History(context.Background(), root, eid.MustParse(id))
	if err != nil { // it is gone: those who were part of it may still read it
		require.ErrorIs(w.t, err, registry.ErrNotFound)
		for _, t := range m.Transfers[id] {
			fmt.Fprintln(b, id, *t)
		}
		return
	}
	for _, t := range ts {
		fmt.Fprintln(b, id, mTransfer{
			Status: string(t.Status), From: t.From, To: t.To, Old: w.ordinal(id, t.OldProfile), New: w.ordinal(id, t.NewProfile),
			Due: w.seconds(t.Due), Acted: w.seconds(t.Acted), Undo: w.seconds(t.Undo),
		})
	}
}

func (w *world) observeAccount(b *strings.Builder, a registry.Actor) {
	ctx := context.Background()
	var ids []string
	for after, first := "", true; first || after != ""; first = false {
		page, next, err := w.reg.Devices(ctx, a, after, 2)
		require.NoError(w.t, err)
		for _, d := range page {
			ids = append(ids, d.ID.String())
		}
		after = next
	}
	msgs, err := w.reg.Messages(ctx, a, "", 0)
	require.NoError(w.t, err)
	var out []mMessage
	for i, msg := range msgs {
		require.True(w.t, i == 0 || !msg.Time.Before(msgs[i-1].Time), "messages come in their order")
		out = append(out, mMessage{w.seconds(msg.Time), told(msg)})
	}
	slices.SortFunc(out, func(x, y mMessage) int {
		return strings.Compare(fmt.Sprintf("%09d%s", x.At, x.What), fmt.Sprintf("%09d%s", y.At, y.What))
	})
	fmt.Fprintln(b, a.Account, ids, out)
}

func (w *world) observeTables(b *strings.Builder) {
	whole := &moved{t: w.t, reg: w.reg}
	for _, rec := range whole.table(registry.TableFailures, "") {
		var g struct {
			Count int
			Since time.Time
		}
		require.NoError(w.t, json.Unmarshal(rec.Body, &g))
		fmt.Fprintln(b, rec.Key, mGuess{g.Count, w.seconds(g.Since)})
	}
	counts := map[string]int{}
	count := func(body []byte) {
		var e audit.Entry
		require.NoError(w.t, json.Unmarshal(body, &e))
		counts[e.Op+" "+e.Device]++
	}
	for _, rec := range whole.table(registry.TableAudit, "") {
		line, err := audit.ParseLine(rec.Body)
		require.NoError(w.t, err)
		count(line.Entry)
	}
	for _, rec := range whole.table(registry.TableJournal, "") {
		count(rec.Body)
	}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		if op, _, _ := strings.Cut(key, " "); op != "account" && op != "claim" {
			fmt.Fprintln(b, key, counts[key])
		}
	}
	kept := 0
	for _, rec := range whole.table(registry.TableRequests, "") {
		var k struct{ Until time.Time }
		require.NoError(w.t, json.Unmarshal(rec.Body, &k))
		if w.clock().Before(k.Until) {
			kept++
		}
	}
	fmt.Fprintln(b, kept, "kept")
}

// checkWhole demands at the end that nothing is owed and the trail verifies.
func (w *world) checkWhole() {
	require.Zero(w.t, w.owed())
	var export bytes.Buffer
	require.NoError(w.t, w.reg.ExportAudit(w.t.Context(), root, &export, 0))
	v := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{w.key.Public()}, RequireHead: true}
	_, err := v.Verify(&export)
	require.NoError(w.t, err)
}
