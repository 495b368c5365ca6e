package eim_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// failure is one that a device, not its eUICC, tells.
func failure(id rsp.TransactionID, code rsp.EIMPackageResultError) []byte {
	b := []byte{0x02, 1, byte(code)}
	if id != nil {
		b = append(append([]byte{0x80, byte(len(id))}, id...), b...)
	}
	return append([]byte{0xA0, byte(len(b))}, b...)
}

func ids(t testing.TB, job string) rsp.TransactionID {
	id, err := rsp.ParseTransactionID(job)
	require.NoError(t, err)
	return id
}

// What is not signed by this eUICC, or is about something else, leaves everything
// as it was.
func TestResultsOfNoUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c, other := w.registered(1), w.registered(2)
	c.enabled[iccid] = false
	c.manage(eim.Enable{ICCID: iccid})
	pkg := c.poll()
	m := c.request(pkg)
	id := m.Signed.EIMTransactionID
	edited := func(by *card, edit func(*rsp.EUICCPackageResultData)) []byte { return c.encode(by.result(m, edit)) }
	forged := c.result(m, nil)
	forged.Signed.Data.Results = []rsp.EUICCResultData{{Enable: ptr(rsp.ProfileOK)}, {Enable: ptr(rsp.ProfileOK)}}
	token := *c
	token.token = 9
	foreign := c.refusal(m, rsp.PackageUndefined)
	foreign.Error.Data.EIMID = "other"
	foreign.Error.Signature = c.sign(foreign.Error.Data.SignedText(0))
	for rule, object := range map[string][]byte{
		"content changed":              c.encode(forged),
		"another eUICC's signature":    edited(other, nil),
		"another association":          c.encode(token.result(m, nil)),
		"another eIM":                  edited(c, func(d *rsp.EUICCPackageResultData) { d.EIMID = "other" }),
		"another counter":              edited(c, func(d *rsp.EUICCPackageResultData) { d.Counter = 2 }),
		"a counter of before":          edited(c, func(d *rsp.EUICCPackageResultData) { d.Counter = 0 }),
		"another job, same counter":    edited(c, func(d *rsp.EUICCPackageResultData) { d.EIMTransactionID = []byte{1} }),
		"no job, same counter":         edited(c, func(d *rsp.EUICCPackageResultData) { d.EIMTransactionID = nil }),
		"counter out of range":         edited(c, func(d *rsp.EUICCPackageResultData) { d.Counter, d.EIMTransactionID = eim.MaxCounter+1, nil }),
		"another eUICC's refusal":      c.encode(other.refusal(m, rsp.PackageUndefined)),
		"another eIM's refusal":        c.encode(foreign),
		"refusal of another eIM":       c.encode(&rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: "other", EIMTransactionID: id}}),
		"unsigned, of no job":          c.encode(&rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: eimID}}),
		"device's word, of no job":     failure([]byte{1}, rsp.ResultUndefined),
		"a receipt for a package":      c.encode(c.receipt(id, nil)),
		"results that nobody wanted":   c.encode(&rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{EIMTransactionID: id}}),
		"certificates, again":          c.encode(&rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{EUICCCertificate: other.id.DER, EUMCertificate: other.eum}}),
		"a data error, of no job":      c.encode(&rsp.IPAEUICCDataResponse{Error: &rsp.IPAEUICCDataFailure{Code: rsp.DataUndefined}}),
		"a kind that is not known":     {0xBF, 0x60, 0},
		"kept results of another card": c.encode(&rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{PackageResults: []rsp.EUICCPackageResult{*other.result(m, nil)}}}),
	} {
		before := c.status()
		done, err := c.provide(object)
		require.NoError(t, err, rule)
		require.Empty(t, done, rule)
		require.Equal(t, before, c.status(), rule)
		require.Equal(t, pkg, c.poll(), rule)
	}
	require.Empty(t, w.news())
	c.work()
	require.Len(t, w.news(), 1)
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.manage(eim.List{})
	good := c.do(c.poll())
	for rule, object := range map[string][]byte{
		"nothing": nil, "no object": {0xBF}, "two objects": append(bytes.Clone(good), good...), "cut": good[:len(good)-1],
		"with an EID": append(append([]byte{0x5A, 16}, bytes.Repeat([]byte{0x89}, 16)...), good...), "too long": make([]byte, rsp.MaxPackage+1),
	} {
		_, err := c.provide(object)
		require.ErrorIs(t, err, eim.ErrMalformed, rule)
	}
	_, err := w.eim.ProvideEIMPackageResult(t.Context(), esipa.Result{Object: failure(nil, rsp.ResultUndefined)})
	require.ErrorIs(t, err, esipa.ErrInvalidEID, "neither EID nor job")
	_, err = w.eim.ProvideEIMPackageResult(t.Context(), esipa.Result{Object: failure([]byte{1}, rsp.ResultUndefined)})
	require.ErrorIs(t, err, esipa.ErrUnknownEID)
	_, err = w.eim.ProvideEIMPackageResult(t.Context(), esipa.Result{EID: "x", Object: good})
	require.ErrorIs(t, err, esipa.ErrInvalidEID)
	done, err := w.eim.ProvideEIMPackageResult(t.Context(), esipa.Result{Object: good})
	require.NoError(t, err)
	require.Equal(t, []int64{1}, done, "the job tells whose it is")
}

// Any answer to the device may be lost: it polls or tells again.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.card(1)
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid}))
	c.trigger(eim.Download{ActivationCode: code, Enable: true})
	for {
		pkg := c.poll()
		if pkg == nil {
			break
		}
		require.Equal(t, pkg, c.poll(), "the package is lost")
		result := c.do(pkg)
		first, err := c.provide(result)
		require.NoError(t, err)
		again, err := c.provide(result)
		require.NoError(t, err)
		require.Equal(t, first, again, "the acknowledgement is lost")
	}
	require.Len(t, w.news(), 2, "told once each")
	require.True(t, c.enabled[iccid])
}

// The eUICC has carried out a package, and its result was lost on the way.
func TestLostResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.enabled[iccid] = false
	c.manage(eim.Enable{ICCID: iccid})
	c.manage(eim.List{})
	pkg := c.poll()
	c.do(pkg) // and nobody hears of it
	refused := c.do(pkg)
	_, err := c.provide(refused)
	require.NoError(t, err)
	ask := c.poll()
	m, err := rsp.Decode[rsp.IPAEUICCDataRequest](ask)
	require.NoError(t, err)
	require.Equal(t, []byte{0xA2}, m.TagList)
	_, err = c.provide(refused)
	require.NoError(t, err)
	require.Equal(t, ask, c.poll(), "the refusal comes again")
	done, err := c.provide(c.do(ask))
	require.NoError(t, err)
	require.Equal(t, []int64{1}, done)
	require.Empty(t, c.kept)
	news := w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Succeeded, news[0].Job.State)
	require.True(t, c.step())
	require.Equal(t, int64(2), c.counter, "nothing was signed in between")
	require.Len(t, w.news(), 1)
}

// The eUICC refuses a package as a replay and has no result of it: its counter is
// ahead, or the result is gone. Nothing is signed again.
func TestReplayWithoutResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.counter = 100
	c.manage(eim.List{})
	c.manage(eim.List{})
	refused := c.do(c.poll())
	for range 3 {
		require.Empty(t, w.news())
		_, err := c.provide(refused)
		require.NoError(t, err)
		none := c.tell(c.poll())
		other := c.encode(&rsp.IPAEUICCDataResponse{Data: &rsp.IPAEUICCData{EIMTransactionID: []byte{9}}})
		for _, object := range [][]byte{other, none, none, none} {
			_, err := c.provide(object)
			require.NoError(t, err)
		}
	}
	news := w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Failed, news[0].Job.State)
	require.False(t, news[0].Job.Proven)
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid, Counter: 100}))
	require.True(t, c.step())
	require.Equal(t, int64(101), c.counter)
	require.Equal(t, eim.Succeeded, w.news()[0].Job.State)
}

// An eIM that has lost its records learns from signed results how far the counter
// is.
func TestCounterIsLearnt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	old := newWorld(t, func(c *eim.Config) { c.CIs = [][]byte{w.pki.CI.DER} })
	c := w.registered(1)
	gone := *c
	gone.w = old
	require.NoError(t, old.eim.Register(t.Context(), eim.EUICC{EID: c.eid, Certificate: c.id.DER, EUM: c.eum, Counter: 50}))
	gone.manage(eim.List{})
	result := gone.do(gone.poll())
	done, err := c.provide(result)
	require.NoError(t, err)
	require.Empty(t, done, "what it is about is not known")
	require.Equal(t, int64(51), c.status().Counter)
	c.counter = 51
	c.manage(eim.List{})
	c.work()
	require.Equal(t, eim.Succeeded, w.news()[0].Job.State)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, tries := range map[rsp.EUICCPackageErrorCode]int{
		rsp.PackageInvalidEID: 1, rsp.PackageCounterOutOfRange: 1, rsp.PackageSizeOverflow: 1, rsp.PackageUndefined: 1, rsp.PackageECallActive: 3,
	} {
		w := newWorld(t, nil)
		c := w.registered(1)
		c.manage(eim.List{})
		for i := range tries {
			require.Empty(t, w.news())
			refusal := c.encode(c.refusal(c.request(c.poll()), code))
			for range 2 {
				_, err := c.provide(refusal)
				require.NoError(t, err, "try %d, and its repetition", i)
			}
		}
		news := w.news()
		require.Len(t, news, 1, code)
		require.Equal(t, eim.Failed, news[0].Job.State)
		require.Contains(t, news[0].Job.Failure, code.String())
		require.Nil(t, c.poll())
	}
}

// A failure that nobody has signed counts once for each time that the job was
// given, and a signed result that comes later puts it right.
func TestUnsignedFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.enabled[iccid] = true
	id := ids(t, c.manage(eim.Disable{ICCID: iccid}))
	first := c.poll()
	for i, object := range [][]byte{
		failure(nil, rsp.ResultInvalidFormat),
		c.encode(&rsp.EUICCPackageResult{Unsigned: &rsp.EUICCPackageErrorUnsigned{EIMID: eimID, EIMTransactionID: id, Code: ptr(rsp.PackageUndefined)}}),
		c.encode(noDownload(id)),
	} {
		require.Empty(t, w.news())
		require.Equal(t, first, c.poll(), "try %d", i)
		for range 5 {
			_, err := c.provide(object)
			require.NoError(t, err)
		}
	}
	news := w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Failed, news[0].Job.State)
	require.False(t, news[0].Job.Proven)
	require.Nil(t, news[0].Result)

	done, err := c.provide(c.do(first))
	require.NoError(t, err)
	require.Equal(t, []int64{1}, done)
	news = w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Succeeded, news[0].Job.State)
	require.Len(t, c.status().Done, 1)
}

func TestDownloadFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.Attempts = 2 })
	c := w.registered(1)
	id := c.trigger(eim.Download{ActivationCode: code, Enable: true})
	for range 2 {
		require.Empty(t, w.news())
		c.poll()
		_, err := c.provide(c.encode(noDownload(ids(t, id))))
		require.NoError(t, err)
	}
	news := w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Failed, news[0].Job.State)
	again := c.trigger(eim.Download{ActivationCode: code, Enable: true})
	require.NotEqual(t, id, again, "it has failed: this is a new one")

	c.poll()
	_, err := c.provide(c.encode(c.receipt(ids(t, again), func(d *rsp.ProfileInstallationResultData) {
		d.Success, d.Error = nil, &rsp.InstallationFailure{Reason: rsp.InstallInsufficientMemory}
	})))
	require.NoError(t, err)
	news = w.news()
	require.Len(t, news, 1, "signed: at once")
	require.True(t, news[0].Job.Proven)
	require.Nil(t, c.poll(), "nothing to enable")

	_, err = c.provide(c.encode(c.receipt(ids(t, id), nil)))
	require.NoError(t, err)
	require.Equal(t, eim.Succeeded, w.news()[0].Job.State, "the first one is put right")
	c.work()
	require.True(t, c.enabled[iccid])
}

// The enabling of what a failed download has installed after all comes behind a
// package that the device was given, whose counter is lower.
func TestPutRightBehindAPackage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.Attempts = 1 })
	c := w.registered(1)
	id := ids(t, c.trigger(eim.Download{ActivationCode: code, Enable: true}))
	c.poll()
	_, err := c.provide(c.encode(noDownload(id)))
	require.NoError(t, err)
	c.manage(eim.SetDefaultSMDP{Address: "a.example"})
	c.manage(eim.List{})
	pkg := c.poll()
	_, err = c.provide(c.encode(c.receipt(id, nil)))
	require.NoError(t, err)
	require.Equal(t, pkg, c.poll())
	require.Equal(t, eim.ActionEnable, c.status().Waiting[1].Steps[0].Action)
	c.work()
	require.Len(t, w.news(), 5)
	require.Equal(t, "a.example", c.smdp)
	require.True(t, c.enabled[iccid])
}

// Receipts do not say which trigger they belong to.
func TestReceiptsOfOtherDownloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	before := c.receipt(nil, nil)
	first := ids(t, c.trigger(eim.Download{ActivationCode: code, ICCID: iccid}))
	c.poll()
	own := c.receipt(first, nil)
	_, err := c.provide(c.encode(own))
	require.NoError(t, err)
	require.Len(t, w.news(), 1)
	second := ids(t, c.trigger(eim.Download{ActivationCode: code + "2", ICCID: iccid, Enable: true}))
	pkg := c.poll()
	with := func(r *rsp.ProfileDownloadTriggerResult) []byte {
		r.EIMTransactionID = second
		return c.encode(r)
	}
	for rule, object := range map[string][]byte{
		"older than the trigger": with(before),
		"of the first download":  with(own),
		"of another profile": with(c.receipt(nil, func(d *rsp.ProfileInstallationResultData) {
			d.Notification.ICCID = ptr(rsp.ICCID("8944476500001224166"))
		})),
		"of no profile":           with(c.receipt(nil, func(d *rsp.ProfileInstallationResultData) { d.Notification.ICCID = nil })),
		"of no installation":      with(c.receipt(nil, func(d *rsp.ProfileInstallationResultData) { d.Notification.Event = rsp.EventDelete })),
		"of another eUICC":        with(w.registered(2).receipt(nil, nil)),
		"of a download that ends": c.encode(c.receipt(first, nil)),
	} {
		_, err := c.provide(object)
		require.NoError(t, err, rule)
		require.Empty(t, w.news(), rule)
		require.Equal(t, pkg, c.poll(), rule)
	}
	c.work()
	require.Len(t, w.news(), 2)
}

// Where two profiles wait behind one activation code, the SM-DP+ says which is
// first: both are installed and enabled all the same.
func TestOneActivationCodeForTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	const other = "8944476500001224166"
	order := func(iccid string) string {
		return c.trigger(eim.Download{ActivationCode: "1$smdp.example$", ICCID: iccid, Enable: true})
	}
	first, second := order(iccid), order(other)
	require.NotEqual(t, first, second)
	require.Equal(t, second, order(other), "the same order")
	comes := func(job, iccid string) {
		for c.status().Waiting[0].ID != job {
			require.True(t, c.step())
		}
		c.poll()
		_, err := c.provide(c.encode(c.receipt(ids(t, job), func(d *rsp.ProfileInstallationResultData) { d.Notification.ICCID = ptr(rsp.ICCID(iccid)) })))
		require.NoError(t, err)
	}
	comes(first, other)
	comes(second, iccid)
	c.work()
	require.Equal(t, second, order(iccid), "it is done")
	require.Contains(t, c.enabled, iccid)
	require.Contains(t, c.enabled, other)
	for _, ev := range w.news() {
		require.Equal(t, eim.Succeeded, ev.Job.State)
	}
	require.Equal(t, int64(2), c.counter, "each was enabled")
}

// Receipts that come late belong to the download that was given before them, and
// to one only.
func TestLateReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.Attempts = 2 })
	c := w.registered(1)
	job := func(code string) rsp.TransactionID { return ids(t, c.trigger(eim.Download{ActivationCode: code})) }
	fail := func(id rsp.TransactionID) {
		c.poll()
		_, err := c.provide(c.encode(noDownload(id)))
		require.NoError(t, err)
	}
	told := func(id rsp.TransactionID, r *rsp.ProfileDownloadTriggerResult) int {
		r.EIMTransactionID = id
		_, err := c.provide(c.encode(r))
		require.NoError(t, err)
		return len(w.news())
	}
	first := job(code)
	fail(first)
	fail(first)
	second := job(code + "2")
	fail(second)
	require.Len(t, w.news(), 1, "the first has failed, the second is tried again")
	early, late := c.receipt(nil, nil), c.receipt(nil, nil)
	require.Equal(t, 1, told(first, late))
	require.Equal(t, 0, told(second, late), "it is the first one's")
	c.poll()
	require.Equal(t, 1, told(second, early), "it is newer than the first try")
}

// The eUICC does not say what it has installed.
func TestNothingToEnable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	id := ids(t, c.trigger(eim.Download{ActivationCode: code, Enable: true}))
	c.poll()
	_, err := c.provide(c.encode(c.receipt(id, func(d *rsp.ProfileInstallationResultData) { d.Notification.ICCID = nil })))
	require.NoError(t, err)
	news := w.news()
	require.Equal(t, eim.Succeeded, news[0].Job.State)
	require.Contains(t, news[0].Job.Failure, "not enabled")
	require.Nil(t, c.poll())
}

// The acknowledgement was lost, so the device has gone back to its former profile
// and says so with a result of its own for the same package.
func TestRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.enabled[iccid] = false
	c.manage(eim.Enable{ICCID: iccid, Rollback: true})
	pkg := c.poll()
	done := c.do(pkg)
	_, err := c.provide(done)
	require.NoError(t, err)
	require.Equal(t, eim.Succeeded, w.news()[0].Job.State)
	back := c.encode(c.result(c.request(pkg), func(d *rsp.EUICCPackageResultData) {
		d.Results = []rsp.EUICCResultData{{Enable: ptr(rsp.ProfileOK)}, {Other: []byte{0x8C, 1, 0}}}
	}))
	for range 2 {
		acknowledged, err := c.provide(back)
		require.NoError(t, err)
		require.Equal(t, []int64{2}, acknowledged)
	}
	news := w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Failed, news[0].Job.State)
	_, err = c.provide(done)
	require.NoError(t, err)
	require.Empty(t, w.news(), "the older result has nothing to say any more")
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	ok := rsp.EUICCResultData{Enable: ptr(rsp.ProfileOK)}
	for rule, results := range map[string][]rsp.EUICCResultData{
		"too few":              {ok},
		"none":                 {},
		"stopped":              {ok, {Terminated: ptr(rsp.TerminatedInterruption)}},
		"something else":       {ok, ok},
		"too many":             {ok, {Other: []byte{0xBF, 0x65, 3, 0x80, 1, 0}}, ok},
		"a code":               {ok, {Other: []byte{0xBF, 0x65, 3, 0x80, 1, 127}}},
		"nothing that is read": {ok, {Other: []byte{0xBF, 0x65, 0}}},
		"another tag":          {ok, {Other: []byte{0xBF, 0x66, 0}}},
	} {
		w := newWorld(t, nil)
		c := w.registered(1)
		c.manage(eim.Enable{ICCID: iccid}, eim.SetDefaultSMDP{})
		_, err := c.provide(c.encode(c.result(c.request(c.poll()), func(d *rsp.EUICCPackageResultData) { d.Results = results })))
		require.NoError(t, err, rule)
		news := w.news()
		require.Len(t, news, 1, rule)
		require.Equal(t, eim.Failed, news[0].Job.State, rule)
		require.NotEmpty(t, news[0].Job.Failure, rule)
		require.Nil(t, c.poll(), rule)
	}
}

// A package is signed again for another association, with the counter it has.
func TestTokenChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.manage(eim.List{})
	before := c.request(c.poll())
	c.token = 5
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid, AssociationToken: 5}))
	after := c.request(c.poll())
	require.Equal(t, before.Signed.Raw, after.Signed.Raw)
	c.work()
	require.Len(t, w.news(), 1)
}

// Polls in a device's name cost a look-up.
func TestPollsWriteSeldom(t *testing.T) {
	t.Parallel()
	store := &faulty{}
	w := newWorld(t, func(c *eim.Config) { c.Store = store })
	c := w.registered(1)
	c.manage(eim.List{})
	c.poll()
	before := store.puts.Load()
	for range 100 {
		c.poll()
	}
	require.Equal(t, before, store.puts.Load())
	for range 100 {
		_, err := w.eim.GetEIMPackage(t.Context(), esipa.Poll{EID: c.eid.String(), StateChanged: true})
		require.NoError(t, err)
	}
	require.Equal(t, before+1, store.puts.Load())
	before++
	w.pass(time.Minute)
	c.poll()
	c.poll()
	require.Equal(t, before+1, store.puts.Load())
	require.Equal(t, start.Add(time.Minute), c.status().Seen)
	_, err := w.eim.GetEIMPackage(t.Context(), esipa.Poll{EID: eid.ID{}.String()})
	require.ErrorIs(t, err, esipa.ErrInvalidEID)
}
