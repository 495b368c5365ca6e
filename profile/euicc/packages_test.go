package euicc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/profile/euicc"
)

const third = rsp.ICCID("89000000000000001028")

// results asks for the results of packages that wait.
func results(t testing.TB, w *world) []rsp.EUICCPackageResult {
	t.Helper()
	r := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{PackageResults: true})
	require.NotNil(t, r.Packages)
	return r.Packages
}

func TestPackage(t *testing.T) {
	t.Parallel()
	w, seal := withCard(t)
	w.install(t, newOrder(t, iccid, seal(11)))
	w.install(t, newOrder(t, second, seal(16)))
	m := managed(t, w)
	current := func() uint64 {
		p, ok := w.card.Current()
		if !ok {
			return 0
		}
		return p.ID
	}
	ops := []rsp.PSMO{listing(), {GetRAT: &rsp.Empty{}}, enable(iccid, false), {SetDefaultSMDP: &rsp.PSMOAddress{Address: "new.example.com"}}}
	r := m.send(t, m.sign(t, m.order(ops, nil)))
	require.Equal(t, "list of 2, a600, enable ok, bf6503800100", said(r))
	data := r.Signed.Data
	require.Equal(t, m.id, data.EIMID)
	require.Equal(t, m.counter, data.Counter)
	require.Equal(t, rsp.TransactionID{0xE1, 1}, data.EIMTransactionID)
	require.Equal(t, uint64(11), current(), "the card follows")
	require.Equal(t, "new.example.com", *es10[rsp.ConfiguredAddressesResponse](t, w, &rsp.ConfiguredAddressesRequest{}).DefaultSMDP)
	pending := es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{}).List
	require.Equal(t, rsp.EventEnable, pending[len(pending)-1].Event, "operators are told, as ES10c does")
	require.Equal(t, data.SeqNumber-1, pending[len(pending)-1].SeqNumber, "one row of numbers")

	require.Equal(t, "disable ok, delete ok", m.do(t, disable(iccid), erase(iccid)))
	require.Zero(t, current())
	require.Equal(t, "enable ok", m.do(t, enable(second, false)))
	require.Equal(t, uint64(16), current())
	require.Len(t, results(t, w), 3)
}

// What a package does not have is answered by what the operation has for it, and
// nothing after a failure is tried. What came before stays.
func TestPackageStops(t *testing.T) {
	t.Parallel()
	rules := rsp.PPR2
	forbidding := rsp.PPR1
	more := rsp.PSMO{SetDefaultSMDP: &rsp.PSMOAddress{Address: "more"}}
	for _, c := range []struct {
		rule string
		ops  []rsp.PSMO
		want string
	}{
		{"a profile that is not there", []rsp.PSMO{enable("89000000000000009999", false), more}, "enable iccidOrAidNotFound"},
		{"and for disabling", []rsp.PSMO{disable("89000000000000009999"), more}, "disable iccidOrAidNotFound"},
		{"and for deleting", []rsp.PSMO{erase("89000000000000009999"), more}, "delete iccidOrAidNotFound"},
		{"enabled already", []rsp.PSMO{enable(iccid, true), more}, "enable profileInWrongState"},
		{"not enabled", []rsp.PSMO{disable(second), more}, "disable profileInWrongState"},
		{"enabled, so not deleted", []rsp.PSMO{erase(iccid), more}, "delete profileInWrongState"},
		{"a policy rule against deleting", []rsp.PSMO{erase(third), more}, "delete disallowedByPolicy"},
		{"no disabling after enabling", []rsp.PSMO{enable(second, false), disable(second), more}, "enable ok, disable undefinedError"},
		{"enabling once", []rsp.PSMO{enable(second, false), enable(iccid, false), more}, "enable ok, enable undefinedError"},
		{"disabling once", []rsp.PSMO{disable(iccid), disable(iccid), more}, "disable ok, disable undefinedError"},
		{"no list after enabling", []rsp.PSMO{enable(second, false), listing(), more}, "enable ok, list error 11"},
		{"nor disabling", []rsp.PSMO{disable(iccid), listing(), more}, "disable ok, list error 11"},
		{"nor deleting", []rsp.PSMO{erase(second), listing(), more}, "delete ok, list error 11"},
		{"a list of damaged tags", []rsp.PSMO{{List: &rsp.ProfileInfoListRequest{TagList: []byte{0x9F}}}, more}, "list error 1"},
		{"where a rollback leads to stays", []rsp.PSMO{enable(second, true), erase(iccid), more}, "enable ok, delete rollbackNotAvailable"},
		{"disabled before counts as well", []rsp.PSMO{disable(iccid), enable(second, true), erase(iccid), more}, "disable ok, enable ok, delete rollbackNotAvailable"},
		{"deleted before does not", []rsp.PSMO{disable(iccid), erase(iccid), enable(second, true), more}, "disable ok, delete ok, enable rollbackNotAvailable"},
		{"nor does the profile itself", []rsp.PSMO{disable(iccid), enable(iccid, true), more}, "disable ok, enable rollbackNotAvailable"},
		{"no fallback", []rsp.PSMO{{SetFallback: &rsp.PSMOProfile{ICCID: second}}, more}, "8d0102"},
		{"nor of one that is not there", []rsp.PSMO{{SetFallback: &rsp.PSMOProfile{ICCID: "89000000000000009999"}}, more}, "8d0101"},
		{"none to take back", []rsp.PSMO{{UnsetFallback: &rsp.Empty{}}, more}, "8e0102"},
		{"an unknown operation", []rsp.PSMO{{GetRAT: &rsp.Empty{}}, {Other: []byte{0xBF, 0x70, 0}}, more}, "a600, terminated unknownOrDamagedCommand"},
		{"nothing", []rsp.PSMO{}, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.install(t, newOrder(t, iccid, nil))
			w.install(t, newOrder(t, second, nil))
			last := newOrder(t, third, nil)
			last.metadata.PolicyRules = &rules
			w.install(t, last)
			require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
			m := managed(t, w)
			require.Equal(t, c.want, m.do(t, c.ops...))
			require.Equal(t, address, *es10[rsp.ConfiguredAddressesResponse](t, w, &rsp.ConfiguredAddressesRequest{}).DefaultSMDP)
			require.Len(t, results(t, w), 1)
			require.Equal(t, "list of", m.do(t, listing())[:7], "the next package")
		})
	}
	w := newWorld(t)
	o := newOrder(t, iccid, nil)
	o.metadata.PolicyRules = &forbidding
	w.install(t, o)
	w.install(t, newOrder(t, second, nil))
	m := managed(t, w)
	require.Equal(t, "enable rollbackNotAvailable", m.do(t, enable(iccid, true)), "nothing is enabled")
	require.Equal(t, "enable ok", m.do(t, enable(iccid, false)))
	require.Equal(t, "enable disallowedByPolicy", m.do(t, enable(second, true)))
	require.Equal(t, "disable disallowedByPolicy", m.do(t, disable(iccid)))
	require.Equal(t, "terminated unknownOrDamagedCommand", m.configure(t, rsp.ECO{Other: []byte{0xAE, 0}}))
}

func TestPackageRefused(t *testing.T) {
	t.Parallel()
	const otherEID = "89049032000000000000000000000066"
	for rule, c := range map[string]struct {
		change func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest)
		want   string
	}{
		"as it should be":   {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) { m.sign(t, q) }, "disable ok"},
		"an unknown eIM":    {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) { q.Signed.EIMID = "x"; m.sign(t, q) }, "unsigned: undefinedError"},
		"no signature":      {func(_ *testing.T, _ *manager, q *rsp.EUICCPackageRequest) { q.Signature = make([]byte, 64) }, "unsigned: undefinedError"},
		"without the token": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) { m.tokened(0).sign(t, q) }, "unsigned: undefinedError"},
		"a changed text": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) {
			m.sign(t, q).Signed.Operations[0].Disable.ICCID = second
		}, "unsigned: undefinedError"},
		"a wrong key": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) {
			var err error
			m.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			require.NoError(t, err)
			m.sign(t, q)
		}, "unsigned: undefinedError"},
		"of another EUICC": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) {
			q.Signed.EID, _ = rsp.ParseEID(otherEID)
			m.sign(t, q)
		}, "refused: invalidEid"},
		"the last counter": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) { q.Signed.Counter--; m.sign(t, q) }, "refused: replayError"},
		"the largest counter": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) {
			q.Signed.Counter = maxCounter
			m.sign(t, q)
		}, "disable ok"},
		"a counter too large": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) {
			q.Signed.Counter = maxCounter + 1
			m.sign(t, q)
		}, "refused: counterValueOutOfRange"},
		"no transaction number": {func(t *testing.T, m *manager, q *rsp.EUICCPackageRequest) {
			q.Signed.EIMTransactionID = nil
			m.sign(t, q)
		}, "disable ok"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.install(t, newOrder(t, iccid, nil))
			require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
			m := managed(t, w)
			require.Equal(t, "list of 1", m.do(t, listing()))
			before := w.chip.Changed()
			q := m.order([]rsp.PSMO{disable(iccid)}, nil)
			c.change(t, m, q)
			r := m.send(t, q)
			require.Equal(t, c.want, said(r))
			switch {
			case r.Signed != nil:
				require.Equal(t, q.Signed.EIMTransactionID, r.Signed.Data.EIMTransactionID)
				require.Equal(t, "refused: replayError", said(m.send(t, q)), "answered once")
				return
			case r.Unsigned != nil:
				require.Equal(t, q.Signed.EIMID, r.Unsigned.EIMID)
				require.Equal(t, q.Signed.EIMTransactionID, r.Unsigned.EIMTransactionID)
				require.Equal(t, q.Signed.EIMID == m.id, r.Unsigned.AssociationToken != nil, "the token where there is one")
			default:
				require.Equal(t, q.Signed.Counter, r.Error.Data.Counter)
				require.Equal(t, q.Signed.EIMTransactionID, r.Error.Data.EIMTransactionID)
			}
			require.Equal(t, before, w.chip.Changed(), "nothing is done")
			require.Len(t, results(t, w), 1, "no result is kept")
		})
	}
}

// A package of one association is worth nothing in the next one.
func TestPackageOfAnotherAssociation(t *testing.T) {
	t.Parallel()
	m := managed(t, newWorld(t))
	old := m.sign(t, m.order([]rsp.PSMO{listing()}, nil))
	reset := es10[rsp.EUICCMemoryResetIoTResponse](t, m.world, &rsp.EUICCMemoryResetIoTRequest{Options: rsp.ResetEIMs})
	require.Zero(t, *reset.EIMResult)
	require.Equal(t, "unsigned: undefinedError", said(m.send(t, old)))
	again := m.data(t)
	again.Counter, again.AssociationToken = ptr(int64(0)), ptr(rsp.NewAssociationToken)
	r := es10[rsp.AddInitialEIMResponse](t, m.world, &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{again}})
	require.Equal(t, int64(2), *r.Added[0].AssociationToken)
	require.Equal(t, "unsigned: undefinedError", said(m.send(t, old)))
	require.Equal(t, "list of 0", m.tokened(2).do(t, listing()))
}

func TestResultsAreKept(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	w := l.world
	m := managed(t, w)
	require.Empty(t, results(t, w))
	first := m.send(t, m.sign(t, m.order([]rsp.PSMO{listing()}, nil)))
	again := m.send(t, m.sign(t, m.order(nil, []rsp.ECO{{List: &rsp.Empty{}}})))
	w.chip.Reset()
	w.connect(t)
	require.Len(t, results(t, w), 2, "without power")
	l.restart(t)
	w.connect(t)
	list := results(t, w)
	require.Equal(t, []rsp.EUICCPackageResult{*first, *again}, list, "in another process")
	for _, r := range list {
		m.check(t, &r)
	}
	number := first.Signed.Data.SeqNumber
	byNumber := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{SeqNumber: &number})
	require.Equal(t, []rsp.EUICCPackageResult{*first}, byNumber.Packages)
	require.Empty(t, es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{}).List, "no notifications")
	sent := func() int {
		return es10[rsp.NotificationSentResponse](t, w, &rsp.NotificationSentRequest{SeqNumber: number}).Status
	}
	require.Equal(t, 0, sent())
	require.Equal(t, 1, sent(), "nothing to delete")
	require.Equal(t, []rsp.EUICCPackageResult{*again}, results(t, w))
	require.NotNil(t, es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{SeqNumber: &number}).List, "an empty list")
	m.counter--
	require.Equal(t, "refused: replayError", m.do(t, listing()), "counters last")

	for range 20 {
		require.Equal(t, "list of 0", m.do(t, listing()))
	}
	list = results(t, w)
	require.Len(t, list, 16, "the oldest go")
	require.Equal(t, m.counter, list[15].Signed.Data.Counter)
}

// A list that does not fit ends the package.
func TestResultTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newOrder(t, iccid, nil)
	o.metadata.Icon, o.metadata.IconType = make([]byte, 1024), ptr(rsp.IconPNG)
	w.install(t, o)
	m := managed(t, w)
	var ops []rsp.PSMO
	for range 64 {
		ops = append(ops, listing())
	}
	r := m.send(t, m.sign(t, m.order(ops, nil)))
	n := len(r.Signed.Data.Results) - 1
	require.Greater(t, n, 20)
	require.Equal(t, rsp.TerminatedResultSize, *r.Signed.Data.Results[n].Terminated)
	long := newManager(t, w, string(make([]rune, 100))+"x").data(t)
	require.Equal(t, "add ok", m.configure(t, rsp.ECO{Add: &long}))
	var ecos []rsp.ECO
	for range 64 {
		ecos = append(ecos, rsp.ECO{List: &rsp.Empty{}})
	}
	require.NotContains(t, m.configure(t, ecos...), "terminated", "those do")
}

// Whatever command of a package power is lost in, before it or after, the package
// is carried out once: the eIM sends it again and either has it done or finds out
// by the result that waits.
func TestPackagePowerLoss(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newWorld(t)
			w.chunk = 100
			w.install(t, newOrder(t, iccid, nil))
			m := managed(t, w)
			q := m.sign(t, m.order([]rsp.PSMO{enable(iccid, false)}, nil))
			b, err := rsp.Encode(q)
			require.NoError(t, err)
			w.chip.SetFaults(euicc.Faults{RemoveAt: at, RemoveDone: done})
			_, lost := w.store(t, b)
			w.chip.SetFaults(euicc.Faults{})
			if lost == nil {
				require.Greater(t, at, 2, "in several commands")
				break
			}
			require.ErrorIs(t, lost, euicc.ErrRemoved)
			w.chip.Reset()
			w.connect(t)
			waiting := results(t, w)
			require.Equal(t, len(waiting) == 1, w.chip.Profiles()[0].Enabled, "both or none")
			want := "enable ok"
			if len(waiting) == 1 {
				require.Equal(t, want, said(&waiting[0]))
				want = "refused: replayError"
			}
			require.Equal(t, want, said(m.send(t, q)), "command %d", at)
			require.Len(t, results(t, w), 1)
		}
	}
}

// What fails within the card takes back what the package has done.
func TestPackageWithBrokenKey(t *testing.T) {
	t.Parallel()
	var key *broken
	w := newWorld(t, func(c *euicc.ChipConfig) {
		key = &broken{PrivateKey: c.Key.(*ecdsa.PrivateKey)}
		c.Key, c.Random = key, key
	})
	silent := plain(t, iccid)
	silent.metadata.Notifications = nil
	w.install(t, silent)
	w.install(t, newOrder(t, second, nil))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	m := managed(t, w)
	data := newManager(t, w, "other").data(t)
	before, notes := w.chip.Profiles(), es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{})
	address := rsp.PSMO{SetDefaultSMDP: &rsp.PSMOAddress{Address: "x"}}
	stale := m.order([]rsp.PSMO{}, nil)
	stale.Signed.EID = rsp.EID{}
	for _, q := range []*rsp.EUICCPackageRequest{
		m.order([]rsp.PSMO{address, disable(iccid), erase(iccid)}, nil), m.order([]rsp.PSMO{enable(second, true)}, nil),
		m.order(nil, []rsp.ECO{{Add: &data}, {Delete: &rsp.ECODelete{EIMID: m.id}}}), stale,
	} {
		b, err := rsp.Encode(m.sign(t, q))
		require.NoError(t, err)
		key.fails = true
		_, err = w.store(t, b)
		key.fails = false
		require.ErrorIs(t, err, apdu.Unknown)
		require.Equal(t, before, w.chip.Profiles())
		require.Equal(t, notes, es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{}))
		require.Len(t, known(t, w, nil), 1)
		require.Empty(t, results(t, w))
		require.Equal(t, "smdp.example.com", *es10[rsp.ConfiguredAddressesResponse](t, w, &rsp.ConfiguredAddressesRequest{}).DefaultSMDP)
	}
	m.counter = 0
	require.Equal(t, "list of 2", m.do(t, listing()), "the counter neither")
	require.Equal(t, "enable ok", m.do(t, enable(second, true)))
	key.fails = true
	b, err := rsp.Encode(&rsp.ProfileRollbackRequest{})
	require.NoError(t, err)
	_, err = w.store(t, b)
	require.ErrorIs(t, err, apdu.Unknown)
	b, err = rsp.Encode(&rsp.EUICCMemoryResetIoTRequest{Options: rsp.ResetOperational | rsp.ResetEIMs})
	require.NoError(t, err)
	_, err = w.store(t, b)
	require.ErrorIs(t, err, apdu.Unknown)
	key.fails = false
	require.Len(t, w.chip.Profiles(), 2)
	require.Zero(t, es10[rsp.ProfileRollbackResponse](t, w, &rsp.ProfileRollbackRequest{}).Result)
}

func TestFaultsOfPackages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, code := range []int{1, 2, 3, 5, 6, 7, 127} {
		w.chip.SetFaults(euicc.Faults{AddInitialEIM: code})
		r := es10[rsp.AddInitialEIMResponse](t, w, &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{}})
		require.Equal(t, rsp.AddEIMError(code), *r.Error)
	}
	w.chip.SetFaults(euicc.Faults{})
	w.install(t, newOrder(t, iccid, nil))
	m := managed(t, w)
	for _, code := range []int{3, 4, 6, 15, 104, 127} {
		w.chip.SetFaults(euicc.Faults{Package: code})
		require.Equal(t, "refused: "+rsp.EUICCPackageErrorCode(code).String(), m.do(t, listing()))
	}
	for _, code := range []int{15, 127} {
		w.chip.SetFaults(euicc.Faults{PackageUnsigned: code})
		require.Equal(t, "unsigned: "+rsp.EUICCPackageErrorCode(code).String(), m.do(t, listing()))
	}
	for _, code := range []int{1, 2, 3, 127} {
		w.chip.SetFaults(euicc.Faults{Operation: &euicc.OperationFault{At: 1, Terminated: code}})
		want := "terminated " + rsp.PackageTermination(code).String()
		require.Equal(t, "list of 1, "+want, m.do(t, listing(), listing(), listing()))
		require.Equal(t, "eIMs 1, "+want, m.configure(t, rsp.ECO{List: &rsp.Empty{}}, rsp.ECO{List: &rsp.Empty{}}))
	}
	w.chip.SetFaults(euicc.Faults{Enable: 5, Disable: 5, Delete: 3})
	require.Equal(t, "enable catBusy", m.do(t, enable(iccid, true)))
	require.Equal(t, "disable catBusy", m.do(t, disable(iccid)))
	require.Equal(t, "delete disallowedByPolicy", m.do(t, erase(iccid)))
	require.False(t, w.chip.Profiles()[0].Enabled)
}

// Each operation has its own codes.
func TestFaultsOfOperations(t *testing.T) {
	t.Parallel()
	m := managed(t, newWorld(t))
	data := m.data(t)
	hex := func(tag string) func(int) string {
		return func(code int) string { return fmt.Sprintf("%s01%02x", tag, code) }
	}
	for _, c := range []struct {
		op    rsp.PSMO
		codes []int
		want  func(code int) string
	}{
		{enable(iccid, true), []int{1, 2, 3, 5, 20, 127}, func(code int) string { return "enable " + rsp.ProfileResult(code).String() }},
		{disable(iccid), []int{1, 2, 3, 5, 127}, func(code int) string { return "disable " + rsp.ProfileResult(code).String() }},
		{erase(iccid), []int{1, 2, 3, 20, 21, 127}, func(code int) string { return "delete " + rsp.ProfileResult(code).String() }},
		{listing(), []int{1, 11, 127}, func(code int) string { return fmt.Sprint("list error ", code) }},
		{rsp.PSMO{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{}}, []int{1, 7, 127}, hex("87")},
		{rsp.PSMO{SetFallback: &rsp.PSMOProfile{ICCID: iccid}}, []int{1, 2, 3, 127}, hex("8d")},
		{rsp.PSMO{UnsetFallback: &rsp.Empty{}}, []int{2, 3, 7, 127}, hex("8e")},
		{rsp.PSMO{SetDefaultSMDP: &rsp.PSMOAddress{Address: "x"}}, []int{127}, func(int) string { return "bf650380017f" }},
		{rsp.PSMO{GetRAT: &rsp.Empty{}}, []int{127}, func(int) string { return "terminated undefinedError" }},
		{rsp.PSMO{Other: bertlv.Append(nil, 0xAE)}, []int{127}, func(int) string { return "terminated unknownOrDamagedCommand" }},
	} {
		for _, code := range c.codes {
			m.chip.SetFaults(euicc.Faults{Operation: &euicc.OperationFault{Result: code}})
			require.Equal(t, c.want(code), m.do(t, c.op, c.op))
		}
	}
	m.chip.SetFaults(euicc.Faults{Operation: &euicc.OperationFault{Result: 300}})
	require.Equal(t, "8702012c", m.do(t, rsp.PSMO{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{}}), "what SGP.32 does not know")
	for _, c := range []struct {
		op    rsp.ECO
		codes []int
		want  func(code int) string
	}{
		{rsp.ECO{Add: &data}, []int{1, 2, 3, 5, 6, 7, 127}, func(code int) string { return "add " + rsp.AddEIMError(code).String() }},
		{rsp.ECO{Delete: &rsp.ECODelete{EIMID: "x"}}, []int{1, 7, 127}, func(code int) string { return "delete " + rsp.EIMResult(code).String() }},
		{rsp.ECO{Update: &data}, []int{1, 3, 6, 7, 127}, func(code int) string { return "update " + rsp.EIMResult(code).String() }},
		{rsp.ECO{List: &rsp.Empty{}}, []int{127}, func(int) string { return "eIMs error 127" }},
		{rsp.ECO{Other: bertlv.Append(nil, 0xAE)}, []int{127}, func(int) string { return "terminated unknownOrDamagedCommand" }},
	} {
		for _, code := range c.codes {
			m.chip.SetFaults(euicc.Faults{Operation: &euicc.OperationFault{Result: code}})
			require.Equal(t, c.want(code), m.configure(t, c.op, c.op))
		}
	}
}
