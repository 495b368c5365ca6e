package smdp_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// A model of an SM-DP+, and a world around it in which orders, devices, an
// operator that goes away, restarts and clocks do what they like. After each step
// the model and the SM-DP+ must agree about every order.

const (
	modelCards     = 3
	modelSteps     = 200
	modelTries     = 3 // MaxCodeTries
	modelDownloads = 4 // MaxDownloads
	modelLife      = 10 * time.Minute
)

// modelOrder is what the model knows of one ICCID.
type modelOrder struct {
	iccid, matching, code string
	device                eid.ID // zero until there is one
	profileID             uint64
	byDevice              bool
	state                 mno.State
	sessions              []string // that were given the package
	key                   []byte   // that it is bound to
	tries                 int
	failed                bool // how it has ended
	told                  bool // and whether its operator knows
	generation            int  // how often the ICCID was made available again
}

// modelSession is an eUICC's session that the SM-DP+ should know.
type modelSession struct {
	order      *modelOrder // nil: only begun
	generation int
	id         string
	expires    time.Time
	matching   string
	profileID  uint64
	request    *es9.GetBoundProfilePackage // that was answered
	key        []byte                      // that it was answered for
}

// modelCard is an eUICC with its LPA.
type modelCard struct {
	*card
	session *modelSession
	has     map[string]int              // ICCIDs that it has installed, and their generation
	keys    map[string]*ecdh.PrivateKey // one-time keys that it has kept, by ICCID
	proof   *es9.AuthenticateClient
	reports []modelReport
}

// modelReport is a notification that the eUICC keeps, or has sent.
type modelReport struct {
	raw           []byte
	iccid         string
	session       string
	failed, there bool
}

type world struct {
	t      *testing.T
	r      *rand.Rand
	store  smdp.Store
	now    time.Time
	away   bool
	news   map[string][]mno.Progress
	engine *smdp.Engine
	server *smdp.Server
	cards  []*modelCard
	orders []*modelOrder
	nextID uint64
	log    []string
}

var errAway = errors.New("operator is away")

func newWorld(t *testing.T, store smdp.Store, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), store: store, now: now, news: map[string][]mno.Progress{}, nextID: 10}
	w.start()
	require.NoError(t, w.engine.Stock(t.Context(), "registry", "iot", stocked, second))
	for _, iccid := range []string{stocked, second} {
		w.orders = append(w.orders, &modelOrder{iccid: iccid, state: mno.Available})
	}
	for n := range modelCards {
		w.cards = append(w.cards, &modelCard{card: newCard(t, w.server, pki(t), device(t, n+1)), has: map[string]int{}, keys: map[string]*ecdh.PrivateKey{}})
	}
	return w
}

// start begins with nothing but the store.
func (w *world) start() {
	w.engine = newEngine(w.t, func(c *smdp.Config) {
		c.Store, c.Now = w.store, func() time.Time { return w.now }
		c.Notify = func(_ context.Context, requester string, p mno.Progress) error {
			require.Equal(w.t, "registry", requester)
			if w.away {
				return errAway
			}
			w.news[p.ICCID] = append(w.news[p.ICCID], p)
			return nil
		}
	})
	cfg := credentials(pki(w.t))
	cfg.MaxCodeTries, cfg.MaxDownloads, cfg.SessionLife = modelTries, modelDownloads, modelLife
	var err error
	w.server, err = smdp.NewServer(w.engine, cfg)
	require.NoError(w.t, err)
	for _, c := range w.cards {
		c.server, c.session = w.server, nil
	}
}

func (w *world) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) fail(err error, ok bool, what string) {
	w.t.Helper()
	if (err == nil) != ok {
		w.t.Fatalf("%s: want ok %t, got %v\n%s", what, ok, err, w.history())
	}
}

func (w *world) history() string {
	return fmt.Sprint("last steps:\n", join(w.log[max(0, len(w.log)-40):]))
}

func join(lines []string) string {
	var b bytes.Buffer
	for _, l := range lines {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

func pick[T any](w *world, list []T) T { return list[w.r.IntN(len(list))] }

// busy returns one of the cards that are at some point, or nil.
func (w *world) busy(is func(*modelCard) bool) *modelCard {
	list := slices.DeleteFunc(slices.Clone(w.cards), func(c *modelCard) bool { return !is(c) })
	if len(list) == 0 {
		return nil
	}
	return pick(w, list)
}

func (w *world) chance(n int) bool { return w.r.IntN(n) == 0 }

// check compares everything.
func (w *world) check() {
	w.t.Helper()
	for _, o := range w.orders {
		p, err := w.engine.Profile(w.t.Context(), o.iccid)
		require.NoError(w.t, err)
		if p.State != o.state || p.EUICC != o.device || p.MatchingID != o.matching || len(p.Download.Transactions) != len(o.sessions) {
			w.t.Fatalf("%s: model %+v, SM-DP+ %v %v %q %d\n%s", o.iccid, *o, p.State, p.EUICC, p.MatchingID, len(p.Download.Transactions), w.history())
		}
		var holders int
		for _, c := range w.cards {
			if _, ok := c.has[o.iccid]; ok {
				holders++
			}
		}
		require.LessOrEqual(w.t, holders, 1, "%s is on two eUICCs\n%s", o.iccid, w.history())
		want := 0
		if o.told {
			want = 1
		}
		require.Len(w.t, w.news[o.iccid], want+w.past(o), "news of %s\n%s", o.iccid, w.history())
		if o.told {
			last := w.news[o.iccid][len(w.news[o.iccid])-1]
			require.Equal(w.t, o.failed, last.Failure != nil, "news of %s\n%s", o.iccid, w.history())
		}
	}
}

// past is how many news there were of former orders of an ICCID.
func (w *world) past(o *modelOrder) int {
	n := len(w.news[o.iccid])
	if o.told {
		n--
	}
	if o.generation == 0 {
		return 0
	}
	return n
}

// tell is the model's Notify: it says whether the operator knows.
func (w *world) tell(o *modelOrder) bool {
	o.told = o.told || !w.away
	return o.told
}

func (w *world) end(o *modelOrder) {
	o.state, o.failed, o.key = mno.Error, true, nil
	w.tell(o)
}

// The operator's calls.

func (w *world) newOrder() {
	ctx, c := w.t.Context(), pick(w, w.cards)
	w.nextID++
	o := &modelOrder{device: c.eid, profileID: w.nextID, state: mno.Released}
	var newest *modelOrder
	for _, other := range w.orders {
		if other.profileID != 0 && other.device == c.eid && (newest == nil || other.profileID > newest.profileID) {
			newest = other
		}
	}
	order := mno.Order{Device: c.eid, ProfileID: o.profileID, ProfileType: "iot", Sealed: sealed(o.profileID)}
	r, err := w.engine.Operator("registry").Order(ctx, order)
	w.say("order %s of profile %d for %v", r.ICCID, o.profileID, c.eid)
	require.NoError(w.t, err)
	if newest != nil && newest.state <= mno.Released {
		newest.state = mno.Unavailable
	}
	o.iccid, o.matching = r.ICCID, r.MatchingID
	w.orders = append(w.orders, o)
	_, err = w.engine.Operator("stranger").Order(ctx, order)
	w.fail(err, false, "a stranger repeats the order")
}

// plainOrder takes a profile of the stock, in one of the many ways there are.
func (w *world) plainOrder() {
	ctx, o := w.t.Context(), pick(w, w.orders[:2])
	order := mno.Order{ICCID: o.iccid}
	if w.chance(3) {
		order.Device = pick(w, w.cards).eid
	}
	_, err := w.engine.DownloadOrder(ctx, registry, order)
	w.say("plain order %s for %v: %v", o.iccid, order.Device, err)
	w.fail(err, o.state == mno.Available, "DownloadOrder")
	if err != nil {
		return
	}
	o.device, o.state = order.Device, mno.Allocated
	if !o.device.IsZero() {
		o.state = mno.Linked
	}
	confirm := es2.ConfirmOrder{ICCID: o.iccid, Release: !w.chance(4)}
	if w.chance(3) {
		o.code = "4711"
		confirm.ConfirmationCode = es2.Secret(o.code)
	}
	if w.chance(3) {
		confirm.MatchingID = ptr("")
	}
	r, err := w.engine.ConfirmOrder(ctx, registry, confirm)
	w.say("confirm %s %+v: %v", o.iccid, confirm, err)
	w.fail(err, confirm.MatchingID == nil || !o.device.IsZero(), "ConfirmOrder")
	if err != nil {
		o.code = ""
		return
	}
	o.matching, o.byDevice, o.state = r.MatchingID, confirm.MatchingID != nil, mno.Confirmed
	if confirm.Release {
		o.state = mno.Released
	}
}

func (w *world) release() {
	o := pick(w, w.orders)
	err := w.engine.ReleaseProfile(w.t.Context(), registry, o.iccid)
	w.say("release %s: %v", o.iccid, err)
	w.fail(err, o.state == mno.Confirmed || o.state == mno.Released, "ReleaseProfile")
	if err == nil {
		o.state = mno.Released
	}
}

func (w *world) cancelOrder() {
	o := pick(w, w.orders)
	if o.profileID == 0 && w.chance(2) {
		o = pick(w, w.orders[:2])
	}
	c := es2.CancelOrder{ICCID: o.iccid, Device: o.device, Final: pick(w, []mno.State{mno.Available, mno.Unavailable})}
	if o.profileID == 0 {
		c.Final = mno.Available // the stock would run out
	}
	if w.chance(5) {
		c.Device = device(w.t, 9)
	}
	err := w.engine.CancelOrder(w.t.Context(), registry, c)
	w.say("cancel %s to %v for %v: %v", o.iccid, c.Final, c.Device, err)
	open := o.state >= mno.Allocated && o.state <= mno.Released || o.state == mno.Error && (c.Final == mno.Unavailable || len(o.sessions) == 0)
	ok := open && (o.device.IsZero() || c.Device == o.device)
	switch {
	case o.state == mno.Available:
		ok = c.Final == mno.Available
	case o.state == mno.Unavailable:
		ok = c.Final == mno.Unavailable && (o.device.IsZero() || c.Device == o.device)
	}
	w.fail(err, ok, "CancelOrder")
	if err == nil && open {
		if o.state = c.Final; c.Final == mno.Available {
			*o = modelOrder{iccid: o.iccid, state: mno.Available, generation: o.generation + 1}
		}
	}
}

// The devices' calls.

// meet begins a session and proves who the eUICC is, for an order or for whatever
// waits; or stops in between.
func (w *world) meet() {
	c := pick(w, w.cards)
	promising := slices.DeleteFunc(slices.Clone(w.orders), func(o *modelOrder) bool {
		return !o.device.IsZero() && o.device != c.eid || o.state != mno.Released && o.state != mno.Downloaded
	})
	switch {
	case w.chance(4):
		w.meets(c, nil)
	case len(promising) > 0 && !w.chance(4):
		w.meets(c, &pick(w, promising).matching)
	default:
		w.meets(c, &pick(w, w.orders).matching)
	}
}

func (w *world) meets(c *modelCard, id *string) {
	own := *c.card // an interrupted or refused attempt does not disturb what the card is in
	require.NoError(w.t, own.initiate())
	if w.chance(8) {
		w.say("%v has begun and does not go on", c.eid)
		return
	}
	proof := own.proof(id, nil)
	err := own.authenticate(proof)
	o, ok := w.offer(c, id)
	w.say("%v meets: %v", c.eid, err)
	w.fail(err, ok, "AuthenticateClient")
	if !ok {
		return
	}
	*c.card = own
	c.proof = &proof
	c.session = &modelSession{
		order: o, generation: o.generation, id: rsp.TransactionID(c.auth.TransactionID).String(), expires: w.now.Add(modelLife),
		matching: o.matching, profileID: o.profileID,
	}
	require.Equal(w.t, o.iccid, string(c.metadata().ICCID), w.history())
	require.Equal(w.t, o.code != "", c.signed2.CCRequired)
	require.Equal(w.t, o.key, c.signed2.EUICCOTPK)
}

// offer is the model's choice.
func (w *world) offer(c *modelCard, id *string) (*modelOrder, bool) {
	var o *modelOrder
	if id != nil && *id != "" {
		o = w.find(func(o *modelOrder) bool { return o.matching == *id })
	} else if o = w.waiting(c.eid); o == nil {
		for _, other := range w.orders {
			if other.profileID != 0 && other.device == c.eid && (o == nil || other.profileID > o.profileID) {
				o = other
			}
		}
	}
	switch {
	case o == nil, !o.device.IsZero() && o.device != c.eid:
		return nil, false
	case o.state == mno.Error:
		w.tell(o)
		return nil, false
	case o.state != mno.Released && o.state != mno.Downloaded:
		return nil, false
	case len(o.sessions) >= modelDownloads:
		w.end(o)
		return nil, false
	}
	return o, true
}

func (w *world) find(is func(*modelOrder) bool) *modelOrder {
	if i := slices.IndexFunc(w.orders, is); i >= 0 {
		return w.orders[i]
	}
	return nil
}

func (w *world) waiting(id eid.ID) *modelOrder {
	list := slices.DeleteFunc(slices.Clone(w.orders), func(o *modelOrder) bool {
		return o.device != id || !o.byDevice && o.profileID == 0 || o.state != mno.Released && o.state != mno.Downloaded
	})
	if len(list) == 0 {
		return nil
	}
	return slices.MinFunc(list, func(a, b *modelOrder) int {
		return cmp.Or(cmp.Compare(b.profileID, a.profileID), cmp.Compare(a.iccid, b.iccid))
	})
}

// alive reports whether the SM-DP+ should know the card's session.
func (w *world) alive(c *modelCard) bool {
	return c.session != nil && w.now.Before(c.session.expires)
}

// theOrder is the order of a session if it still is the one that was offered.
func (w *world) theOrder(c *modelCard) *modelOrder {
	o, s := c.session.order, c.session
	if o.generation != s.generation || o.matching != s.matching || !o.device.IsZero() && o.device != c.eid {
		return nil
	}
	return o
}

// get asks for the package with some code, and by chance with a key that the
// eUICC has lost.
func (w *world) get() {
	c := w.busy(func(c *modelCard) bool { return c.session != nil })
	if c == nil {
		return
	}
	o := c.session.order
	if c.key = c.keys[o.iccid]; w.chance(12) {
		c.key = nil
	}
	typed := o.code
	if typed != "" && w.chance(2) {
		typed = "1234"
	}
	request := c.consent(typed, nil)
	c.keys[o.iccid] = c.key
	pkg, err := c.get(request)
	ok := w.bind(c, typed)
	w.say("%v gets: %v", c.eid, err)
	w.fail(err, ok, "GetBoundProfilePackage")
	if !ok {
		return
	}
	c.session.request = &request
	found, err := rsp.FindNonStandard(c.open(pkg), smdp.DefaultIssuer)
	require.NoError(w.t, err)
	if o.profileID != 0 {
		require.Equal(w.t, sealed(o.profileID), found)
	} else {
		require.Empty(w.t, found)
	}
	again, err := c.card.get(request)
	w.fail(err, true, "the same request again")
	require.Equal(w.t, pkg, again)
}

// bind is the model's answer.
func (w *world) bind(c *modelCard, typed string) bool {
	if !w.alive(c) {
		return false
	}
	o, key := w.theOrder(c), c.key.PublicKey().Bytes()
	if o == nil || o.state != mno.Released && o.state != mno.Downloaded {
		return false
	}
	if o.code != "" && typed != o.code {
		if o.tries++; o.tries >= modelTries {
			w.end(o)
		}
		return false
	}
	if c.session.key != nil {
		return bytes.Equal(key, c.session.key)
	}
	if o.key != nil && !bytes.Equal(key, o.key) {
		return false
	}
	o.state, o.device, o.key = mno.Downloaded, c.eid, key
	o.sessions, c.session.key = append(o.sessions, c.session.id), key
	return true
}

// install has the eUICC load what it was given, which it tells at some time.
func (w *world) install() {
	c := w.busy(func(c *modelCard) bool { return c.session != nil && c.session.request != nil })
	if c == nil {
		return
	}
	o := c.session.order
	report := modelReport{iccid: o.iccid, session: c.session.id}
	var failure *rsp.InstallationFailure
	if _, there := c.has[o.iccid]; there {
		failure, report.there = &rsp.InstallationFailure{Command: rsp.BPPStoreMetadata, Reason: rsp.InstallICCIDExists}, true
	} else if w.chance(3) {
		failure = &rsp.InstallationFailure{Command: rsp.BPPLoadProfileElements, Reason: rsp.InstallInterrupted}
	} else {
		c.has[o.iccid] = o.generation
	}
	report.failed = failure != nil
	report.raw = c.result(failure, nil)
	c.reports = append(c.reports, report)
	c.session = nil // the eUICC's has ended
	w.say("%v has %s, failed %t", c.eid, o.iccid, report.failed)
}

// report sends one of the notifications, old ones too.
func (w *world) report() {
	c := w.busy(func(c *modelCard) bool { return len(c.reports) > 0 })
	if c == nil {
		return
	}
	n := w.r.IntN(len(c.reports))
	if w.reports(c, c.reports[n]) && w.chance(2) {
		c.reports = slices.Delete(c.reports, n, n+1)
	}
}

func (w *world) reports(c *modelCard, report modelReport) bool {
	err := c.notify(report.raw)
	w.say("%v reports of %s, failed %t: %v", c.eid, report.iccid, report.failed, err)
	w.fail(err, w.take(report), "HandleNotification")
	return err == nil
}

// take is the model's answer.
func (w *world) take(report modelReport) bool {
	o := w.find(func(o *modelOrder) bool { return slices.Contains(o.sessions, report.session) })
	if o == nil {
		return true
	}
	at := slices.Index(o.sessions, report.session)
	switch o.state {
	case mno.Downloaded:
		if report.failed && (at != len(o.sessions)-1 || at > 0 && report.there) {
			return true
		}
		o.state, o.failed, o.key = mno.Installed, report.failed, nil
		if report.failed {
			o.state = mno.Error
		}
	case mno.Installed, mno.Error:
	default:
		return true
	}
	return w.tell(o)
}

// forge sends what no eUICC has said, or another one than the one it is about.
func (w *world) forge() {
	c, other := pick(w, w.cards), pick(w, w.cards)
	var n []byte
	switch {
	case len(c.reports) > 0 && w.chance(2):
		n = bytes.Clone(pick(w, c.reports).raw)
		n[len(n)-1] ^= 1
	case c.proof != nil && w.find(func(o *modelOrder) bool { return w.others(c, o) }) != nil:
		o := w.find(func(o *modelOrder) bool { return w.others(c, o) })
		id, err := rsp.ParseTransactionID(pick(w, o.sessions)) // signed by another eUICC than the one that has the package
		require.NoError(w.t, err)
		n = c.result(nil, func(d *rsp.ProfileInstallationResultData) {
			d.TransactionID, d.Notification.ICCID = id, ptr(rsp.ICCID(o.iccid))
		})
	case other.session != nil:
		n = other.result(nil, func(d *rsp.ProfileInstallationResultData) { d.SMDPOID = ptr(rsp.OID("2.999.99")) })
	default:
		return
	}
	w.say("a forgery")
	w.fail(c.notify(n), true, "forged notification")
}

// others reports whether another eUICC has an order's package.
func (w *world) others(c *modelCard, o *modelOrder) bool {
	return o.state == mno.Downloaded && o.device != c.eid
}

// replay sends what was good before.
func (w *world) replay() {
	c := pick(w, w.cards)
	if c.proof != nil {
		_, err := w.server.AuthenticateClient(w.t.Context(), *c.proof)
		w.fail(err, false, "a proof again")
	}
	if s := c.session; s != nil && s.request != nil {
		_, err := c.card.get(*s.request)
		o := w.theOrder(c)
		w.say("%v asks again: %v", c.eid, err)
		w.fail(err, w.alive(c) && o != nil && (o.state == mno.Released || o.state == mno.Downloaded), "a request again")
	}
}

func (w *world) cancelSession() {
	c := pick(w, w.cards)
	if c.session == nil {
		return
	}
	reason := pick(w, []rsp.CancelReason{rsp.CancelEndUserRejection, rsp.CancelPostponed, rsp.CancelTimeout, rsp.CancelTimeout, rsp.CancelLoadBPPError})
	err := c.cancel(reason, nil)
	w.say("%v cancels: %v: %v", c.eid, reason, err)
	_, terminal := reason.Status()
	ok := w.alive(c)
	if ok && terminal {
		if o := w.theOrder(c); o != nil {
			if o.state == mno.Released || o.state == mno.Downloaded {
				o.state, o.failed, o.key = mno.Error, true, nil
			}
			ok = o.state != mno.Error || w.tell(o)
		}
	}
	w.fail(err, ok, "CancelSession")
	c.session = nil // also where nobody knows of it: an LPA does not repeat it
}

// jump moves the clock.
func (w *world) jump() {
	d := pick(w, []time.Duration{-time.Minute, time.Second, 5 * time.Minute, modelLife, time.Hour})
	for _, c := range w.cards {
		if d < 0 && !w.alive(c) {
			c.session = nil // nobody says whether the SM-DP+ has noticed yet
		}
	}
	w.now = w.now.Add(d)
	w.say("it is %v", w.now)
}

func (w *world) step() {
	steps := []struct {
		weight int
		do     func()
	}{
		{1, w.newOrder},
		{4, w.plainOrder},
		{2, w.release},
		{2, w.cancelOrder},
		{10, w.meet},
		{10, w.get},
		{4, w.install},
		{5, w.report},
		{2, w.forge},
		{2, w.replay},
		{1, w.cancelSession},
		{1, func() { w.away = !w.away; w.say("operator away: %t", w.away) }},
		{1, func() { w.say("restart"); w.start() }},
		{1, w.jump},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := w.r.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return
		}
	}
}

// recover has everybody back: what devices have to tell is told, and devices come
// again for what they have codes of. Then the operator knows, once, how each order
// has ended.
func (w *world) recover() {
	w.away = false
	for _, c := range w.cards {
		for _, r := range c.reports {
			w.reports(c, r)
		}
		for _, o := range w.orders {
			if o.matching != "" && o.state == mno.Error {
				w.meets(c, &o.matching)
			}
		}
	}
	w.check()
}

func TestModel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		open  func(*testing.T) smdp.Store
		seeds uint64
	}{
		"Memory": {func(*testing.T) smdp.Store { return new(smdp.Memory) }, 8},
		"SQLite": {openSQL, 2},
	} {
		for seed := range c.seeds {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, c.open(t), seed)
				for range modelSteps {
					w.step()
					w.check()
				}
				w.recover()
			})
		}
	}
}

// Three eUICCs, the operator and a repeated release at once: either one eUICC has
// the profile, or the operator has it back.
func TestRaces(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) smdp.Store{
		"Memory": func(*testing.T) smdp.Store { return new(smdp.Memory) },
		"SQLite": openSQL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Store, c.Notify = store, nil })
			cards := []*card{b.card(1), b.card(2), b.card(3)}
			for range 12 {
				race(t, b, cards)
			}
		})
	}
}

// race is one order's.
func race(t *testing.T, b *bench, cards []*card) {
	ctx := t.Context()
	r := b.confirmed(mno.Order{}, es2.ConfirmOrder{Release: true})
	requests := make([]es9.GetBoundProfilePackage, len(cards))
	for i, c := range cards {
		require.NoError(t, c.meet(&r.MatchingID))
		c.key = nil
		requests[i] = c.consent("", nil)
	}
	var wg sync.WaitGroup
	got := make([]error, len(cards))
	var cancelled error
	for i := range cards {
		wg.Go(func() { _, got[i] = b.server.GetBoundProfilePackage(ctx, requests[i]) })
	}
	wg.Go(func() {
		cancelled = b.engine.CancelOrder(ctx, registry, es2.CancelOrder{ICCID: r.ICCID, Final: mno.Available})
	})
	wg.Go(func() { _ = b.engine.ReleaseProfile(ctx, registry, r.ICCID) })
	wg.Wait()
	p, err := b.engine.Profile(ctx, r.ICCID)
	require.NoError(t, err)
	var holders []eid.ID
	for i, err := range got {
		if err == nil {
			holders = append(holders, cards[i].eid)
		}
	}
	if cancelled == nil {
		require.Empty(t, holders)
		require.Equal(t, mno.Available, p.State)
		return
	}
	require.Equal(t, []eid.ID{p.EUICC}, holders)
	require.Equal(t, mno.Downloaded, p.State)
	require.Len(t, p.Download.Transactions, 1)
}
