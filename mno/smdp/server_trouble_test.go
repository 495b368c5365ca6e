package smdp_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
)

var errDisk = errors.New("disk is full")

// flaky is a store that fails when told to.
type flaky struct {
	smdp.Store
	find, put atomic.Bool
}

func (f *flaky) Find(ctx context.Context, q smdp.Query) (smdp.Profile, error) {
	if f.find.Load() {
		return smdp.Profile{}, errDisk
	}
	return f.Store.Find(ctx, q)
}

func (f *flaky) Put(ctx context.Context, ps ...smdp.Profile) error {
	if f.put.Load() {
		return errDisk
	}
	return f.Store.Put(ctx, ps...)
}

// Nothing is answered that is not recorded, and what failed inside can be asked
// for again.
func TestNothingIsAnsweredThatIsNotRecorded(t *testing.T) {
	t.Parallel()
	f := &flaky{Store: new(smdp.Memory)}
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Store = f })
	c := b.card(1)
	r := b.confirmed(mno.Order{Device: c.eid, ProfileID: 11, Sealed: sealed(11)}, es2.ConfirmOrder{ConfirmationCode: "1234", Release: true})
	down := func(broken *atomic.Bool, rule string, call func() error) {
		broken.Store(true)
		require.ErrorIs(t, call(), errDisk, rule)
		broken.Store(false)
	}
	require.NoError(t, c.initiate())
	proof := c.proof(&r.MatchingID, nil)
	down(&f.find, "proof", func() error { return c.authenticate(proof) })
	byEID := c.proof(nil, nil)
	down(&f.find, "proof without matching ID", func() error { return c.authenticate(byEID) })
	require.NoError(t, c.authenticate(c.proof(&r.MatchingID, nil)))
	wrong := c.consent("4321", nil)
	down(&f.put, "a wrong code is counted or not judged", func() error { _, err := c.get(wrong); return err })
	consent := c.consent("1234", nil)
	for _, broken := range []*atomic.Bool{&f.find, &f.put} {
		down(broken, "package", func() error {
			pkg, err := c.get(consent)
			require.Nil(t, pkg)
			return err
		})
	}
	require.Equal(t, mno.Released, b.state(r))
	pkg, err := c.get(consent)
	require.NoError(t, err)
	c.open(pkg)
	down(&f.put, "cancellation", func() error { return c.cancel(rsp.CancelLoadBPPError, nil) })
	receipt := c.result(nil, nil)
	for _, broken := range []*atomic.Bool{&f.find, &f.put} {
		down(broken, "receipt", func() error { return c.notify(receipt) })
	}
	require.NoError(t, c.notify(receipt))
	event := c.event(rsp.EventEnable, nil)
	for _, broken := range []*atomic.Bool{&f.find, &f.put} {
		down(broken, "event", func() error { return c.notify(event) })
	}
	b.news.err = errors.New("registry is away")
	require.ErrorIs(t, c.notify(event), b.news.err)
	b.news.err, b.news.got = mno.ErrUnknownICCID, nil
	for range 2 {
		require.NoError(t, c.notify(event), "who does not want it is not asked again")
	}
	require.Len(t, b.news.got, 1)
}

// An order that has ended is told when its device comes again, if not before.
func TestEndIsToldLater(t *testing.T) {
	t.Parallel()
	away := errors.New("registry is away")
	for rule, end := range map[string]func(b *bench, c *card) (mno.Receipt, string){
		"codes": func(b *bench, c *card) (mno.Receipt, string) {
			r := b.confirmed(mno.Order{Device: c.eid, ProfileID: 11, Sealed: sealed(11)}, es2.ConfirmOrder{ConfirmationCode: "1", Release: true})
			require.NoError(t, c.meet(&r.MatchingID))
			_, err := c.get(c.consent("2", nil))
			require.Equal(t, "8.2.7/6.4", code(t, err))
			return r, "8.2.7/6.4"
		},
		"downloads": func(b *bench, c *card) (mno.Receipt, string) {
			r := b.order(1, 11)
			_, err := c.download(&r.MatchingID)
			require.NoError(t, err)
			require.Equal(t, "8.8.5/6.4", code(t, c.meet(&r.MatchingID)))
			return r, "8.8.5/6.4"
		},
	} {
		b := newBench(t, func(_ *smdp.Config, s *smdp.ServerConfig) { s.MaxCodeTries, s.MaxDownloads = 1, 1 })
		b.news.err = away
		c := b.card(1)
		r, want := end(b, c)
		require.Equal(t, mno.Error, b.state(r), rule)
		require.Equal(t, "8.8.5/6.4", code(t, c.meet(&r.MatchingID)), rule)
		b.news.err, b.news.got = nil, nil
		for range 2 {
			require.Equal(t, "8.8.5/6.4", code(t, c.meet(&r.MatchingID)), rule)
		}
		require.Len(t, b.news.got, 1, rule)
		require.Equal(t, want, code(t, b.news.got[0].Failure), rule)
	}
}

// meanwhile is a store in which something happens before a record is found.
type meanwhile struct {
	smdp.Store
	do func()
}

func (m *meanwhile) Find(ctx context.Context, q smdp.Query) (smdp.Profile, error) {
	if m.do != nil {
		m.do()
	}
	return m.Store.Find(ctx, q)
}

func TestSessionIsPushedOutWhileItsProofIsChecked(t *testing.T) {
	t.Parallel()
	m := &meanwhile{Store: new(smdp.Memory)}
	b := newBench(t, func(c *smdp.Config, s *smdp.ServerConfig) { c.Store, s.MaxSessions = m, 1 })
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.initiate())
	proof := c.proof(&r.MatchingID, nil)
	other := b.card(2)
	m.do = func() { require.NoError(t, other.initiate()) }
	require.Equal(t, "8.10.1/3.9", code(t, c.authenticate(proof)))
	m.do = nil
	require.NoError(t, c.meet(&r.MatchingID))
}

// A session that runs out while its proof is checked, as it does at a slow store,
// is gone: it is not kept where the server would look for it for ever.
func TestSessionRunsOutWhileItsProofIsChecked(t *testing.T) {
	t.Parallel()
	var late atomic.Int64 // how late it is
	m := &meanwhile{Store: new(smdp.Memory)}
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) {
		c.Store = m
		c.Now = func() time.Time { return now.Add(time.Duration(late.Load())) }
	})
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.initiate())
	proof := c.proof(&r.MatchingID, nil)
	m.do = func() { late.Add(int64(10 * time.Minute)) }
	require.Equal(t, "8.10.1/3.9", code(t, c.authenticate(proof)))
	m.do = nil
	late.Add(int64(10 * time.Minute))
	done := make(chan error, 1)
	go func() { done <- b.card(2).initiate() }()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "no session can be begun any more")
	}
	require.NoError(t, c.meet(&r.MatchingID))
}

func TestRecordChangesMeanwhile(t *testing.T) {
	t.Parallel()
	m := &meanwhile{Store: new(smdp.Memory)}
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Store = m })
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.meet(&r.MatchingID))
	once := 0
	m.Store = &changing{Store: m.Store, once: &once}
	pkg, err := c.get(c.consent("", nil))
	require.NoError(t, err)
	c.open(pkg)
	require.Equal(t, 2, once, "bound again, for the record as it is")
}

// changing is a store in which somebody else was faster, once.
type changing struct {
	smdp.Store
	once *int
}

func (c *changing) Put(ctx context.Context, ps ...smdp.Profile) error {
	if *c.once++; *c.once == 1 {
		return smdp.ErrChanged
	}
	return c.Store.Put(ctx, ps...)
}

func TestPackageThatCannotBeMade(t *testing.T) {
	t.Parallel()
	own := []byte("no profile package")
	var err error
	b := newBench(t, func(_ *smdp.Config, s *smdp.ServerConfig) {
		s.Package = func(context.Context, smdp.Profile) ([]byte, error) { return own, err }
	})
	r, c := b.order(1, 11), b.card(1)
	err = errDisk
	_, got := c.download(&r.MatchingID)
	require.ErrorIs(t, got, errDisk)
	err = nil
	_, got = c.get(c.consent("", nil))
	require.ErrorIs(t, got, rsp.ErrFormat)
	require.Equal(t, mno.Released, b.state(r))
}

func TestNoRandomness(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Rand = iotest.ErrReader(errDisk) })
	require.ErrorIs(t, b.card(1).initiate(), errDisk)
}

// A random source that repeats itself gives no two sessions the same ID.
func TestTransactionIDsAreNotReused(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Rand = zeros{} })
	first := b.card(1)
	require.NoError(t, first.initiate())
	require.ErrorContains(t, b.card(2).initiate(), "random source")
	r := b.order(1, 11)
	require.NoError(t, first.authenticate(first.proof(&r.MatchingID, nil)), "the first one is not disturbed")
}

// zeros is a random source without chance.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Sessions and orders keep nothing of the requests but what is wanted of them:
// anybody may begin as many sessions as there are places.
func TestRequestsAreNotKept(t *testing.T) { // alone, to see what is its own
	const n, size = 200, 50 << 10
	b := newBench(t, func(c *smdp.Config, _ *smdp.ServerConfig) { c.Notify = nil })
	padding := bertlv.Append(nil, 0x8F, make([]byte, size)) // a member that a later version may have
	padded := func(tag bertlv.Tag, message []byte) []byte {
		m, err := bertlv.Parse(message)
		require.NoError(t, err)
		return bertlv.Append(nil, tag, m.Value, padding)
	}
	c := b.card(1)
	info1 := es9.InitiateAuthentication{Challenge: make([]byte, 16), Info1: padded(0xBF20, c.encode(&c.info1)), SMDPAddress: c.address}
	require.Less(t, growth(func() {
		for range n {
			_, err := b.server.InitiateAuthentication(t.Context(), info1)
			require.NoError(t, err)
		}
	}), n*size/4, "begun")

	cards := make([]*card, n)
	for i := range cards {
		b.order(i, 11)
		cards[i] = b.card(i)
	}
	require.Less(t, growth(func() {
		for _, c := range cards {
			require.NoError(t, c.initiate())
			proof := c.proof(nil, nil)
			m, err := bertlv.Parse(proof.Response)
			require.NoError(t, err)
			proof.Response = bertlv.Append(nil, 0xBF38, padded(0xA0, m.Value))
			require.NoError(t, c.authenticate(proof))
		}
	}), n*size/4, "proven")
	runtime.KeepAlive(b)
}

// growth is how many bytes more there are after f.
func growth(f func()) int {
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	f()
	return heap() - before
}

func TestLargestOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.card(1)
	c.info2.ExtCardResource = nil
	r, err := b.engine.Operator("registry").Order(t.Context(), mno.Order{Device: c.eid, ProfileID: 11, ProfileType: "iot", Sealed: make([]byte, mno.MaxSealed)})
	require.NoError(t, err)
	c.info2.ExtCardResource = []byte{0x82, 4, 0, 0x10, 0, 0}
	for range 2 {
		pkg, err := c.download(&r.MatchingID)
		require.NoError(t, err)
		found, err := rsp.FindNonStandard(c.open(pkg), smdp.DefaultIssuer)
		require.NoError(t, err)
		require.Len(t, found, mno.MaxSealed)
	}
}

// A device that asks twice at once is bound once.
func TestSameRequestInParallel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, c := b.order(1, 11), b.card(1)
	require.NoError(t, c.initiate())
	proof := c.proof(&r.MatchingID, nil)
	var wg sync.WaitGroup
	var proven atomic.Int32
	for range 8 {
		wg.Go(func() {
			if _, err := b.server.AuthenticateClient(t.Context(), proof); err == nil {
				proven.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, proven.Load(), "a proof is good once")

	require.NoError(t, c.meet(&r.MatchingID))
	consent := c.consent("", nil)
	got := make([]es9.Package, 8)
	for i := range got {
		wg.Go(func() { got[i], _ = b.server.GetBoundProfilePackage(t.Context(), consent) })
	}
	wg.Wait()
	for _, p := range got {
		require.NotEmpty(t, p.Bound)
		require.Equal(t, got[0], p)
	}
	p, err := b.engine.Profile(t.Context(), r.ICCID)
	require.NoError(t, err)
	require.Len(t, p.Download.Transactions, 1)
}

// FuzzServer gives a server whatever, at every step.
func FuzzServer(f *testing.F) {
	b := newBench(f)
	r := b.order(1, 11)
	start := func(t testing.TB) (begun, offered *card) {
		own := *b
		own.t = t
		begun, offered = own.card(2), own.card(1)
		require.NoError(t, begun.initiate())
		require.NoError(t, offered.meet(&r.MatchingID))
		return begun, offered
	}
	_, c := start(f)
	f.Add(c.encode(&c.info1), "smdp.example:443")
	f.Add(c.proof(nil, nil).Response, "[::1]:443")
	f.Add(c.consent("1", nil).Response, ":")
	f.Add(c.result(nil, nil), "")
	f.Add(c.event(rsp.EventEnable, nil), "x")
	f.Fuzz(func(t *testing.T, message []byte, address string) {
		begun, offered := start(t)
		ctx, s := t.Context(), b.server
		_, err := s.InitiateAuthentication(ctx, es9.InitiateAuthentication{Challenge: make([]byte, 16), Info1: message, SMDPAddress: address})
		refused(t, err)
		_, err = s.AuthenticateClient(ctx, es9.AuthenticateClient{TransactionID: begun.auth.TransactionID, Response: message})
		refused(t, err)
		_, err = s.GetBoundProfilePackage(ctx, es9.GetBoundProfilePackage{TransactionID: offered.auth.TransactionID, Response: message})
		refused(t, err)
		refused(t, s.CancelSession(ctx, es9.CancelSession{TransactionID: offered.auth.TransactionID, Response: message}))
		require.NoError(t, s.HandleNotification(ctx, message))
		require.Equal(t, mno.Released, state(t, b.engine, r.ICCID))

		begun.info2.ExtCardResource = message[:min(len(message), 128)]
		refused(t, begun.authenticate(begun.proof(&r.MatchingID, nil)))
	})
}

// refused demands that an error is one for the device.
func refused(t testing.TB, err error) {
	if err != nil {
		var refusal *mno.StatusError
		require.ErrorAs(t, err, &refusal)
	}
}
