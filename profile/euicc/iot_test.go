package euicc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile/euicc"
)

func (w *world) rollback(t testing.TB) *rsp.ProfileRollbackResponse {
	t.Helper()
	return es10[rsp.ProfileRollbackResponse](t, w, &rsp.ProfileRollbackRequest{})
}

func TestRollback(t *testing.T) {
	t.Parallel()
	w, seal := withCard(t)
	w.install(t, newOrder(t, iccid, seal(11)))
	w.install(t, newOrder(t, second, seal(16)))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	m := managed(t, w)
	q := m.sign(t, m.order([]rsp.PSMO{enable(second, true)}, nil))
	require.Equal(t, "enable ok", said(m.send(t, q)))
	p, _ := w.card.Current()
	require.Equal(t, uint64(16), p.ID)
	w.chip.Reset() // the modem reads the card again
	w.connect(t)

	r := w.rollback(t)
	require.Zero(t, r.Result)
	m.check(t, r.Package)
	require.Equal(t, "8c0100", said(r.Package))
	require.Equal(t, q.Signed.Counter, r.Package.Signed.Data.Counter, "of the package that allowed it")
	require.Equal(t, q.Signed.EIMTransactionID, r.Package.Signed.Data.EIMTransactionID)
	require.Equal(t, []rsp.EUICCPackageResult{*r.Package}, results(t, w), "it stands in for that of the package")
	require.True(t, w.chip.Profiles()[0].Enabled)
	p, _ = w.card.Current()
	require.Equal(t, uint64(11), p.ID, "the card follows")
	list := es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{}).List
	last := list[len(list)-2:]
	require.Equal(t, []rsp.Events{rsp.EventDisable, rsp.EventEnable}, []rsp.Events{last[0].Event, last[1].Event})
	require.Equal(t, 1, w.rollback(t).Result, "once")
	require.Nil(t, w.rollback(t).Package)
}

// A rollback is good until something else has changed.
func TestRollbackNotAllowed(t *testing.T) {
	t.Parallel()
	rules := rsp.PPR1
	for rule, c := range map[string]struct {
		then func(t *testing.T, m *manager)
		want int
	}{
		"nothing":                    {func(*testing.T, *manager) {}, 0},
		"another package":            {func(t *testing.T, m *manager) { m.do(t, listing()) }, 1},
		"a refused package is none":  {func(t *testing.T, m *manager) { m.counter--; m.do(t, listing()) }, 0},
		"enabling by the device":     {func(t *testing.T, m *manager) { m.enable(t, iccid) }, 1},
		"disabling by the device":    {func(t *testing.T, m *manager) { m.disable(t, second) }, 1},
		"its profile deleted":        {func(t *testing.T, m *manager) { m.remove(t, iccid) }, 1},
		"another one deleted":        {func(t *testing.T, m *manager) { m.remove(t, third) }, 0},
		"the eIM gone":               {func(t *testing.T, m *manager) { resetIoT(t, m.world, rsp.ResetEIMs) }, 1},
		"a reset":                    {func(t *testing.T, m *manager) { resetIoT(t, m.world, rsp.ResetFieldLoadedTest) }, 0},
		"a reset of its profile":     {func(t *testing.T, m *manager) { resetIoT(t, m.world, rsp.ResetOperational) }, 1},
		"a download":                 {func(t *testing.T, m *manager) { m.install(t, newOrder(t, "89000000000000001010", nil)) }, 0},
		"the power was lost":         {func(t *testing.T, m *manager) { m.chip.Reset(); m.connect(t) }, 0},
		"a result that was received": {func(t *testing.T, m *manager) { acknowledge(t, m.world) }, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.install(t, newOrder(t, iccid, nil))
			w.install(t, newOrder(t, second, nil))
			w.install(t, newOrder(t, third, nil))
			require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
			m := managed(t, w)
			require.Equal(t, "enable ok", m.do(t, enable(second, true)))
			c.then(t, m)
			require.Equal(t, c.want, w.rollback(t).Result)
		})
	}
	w := newWorld(t)
	w.install(t, newOrder(t, iccid, nil))
	o := newOrder(t, second, nil)
	o.metadata.PolicyRules = &rules
	w.install(t, o)
	m := managed(t, w)
	require.Equal(t, "enable ok", m.do(t, enable(iccid, false)))
	require.Equal(t, 1, w.rollback(t).Result, "the package did not say so")
	require.Equal(t, "enable ok", m.do(t, enable(second, true)))
	require.Equal(t, 7, w.rollback(t).Result, "PPR1")
	require.True(t, w.chip.Profiles()[1].Enabled)
}

func acknowledge(t testing.TB, w *world) {
	for _, r := range results(t, w) {
		require.Zero(t, es10[rsp.NotificationSentResponse](t, w, &rsp.NotificationSentRequest{SeqNumber: r.Signed.Data.SeqNumber}).Status)
	}
}

// Power is lost in each command of a rollback in turn, before it or after.
func TestRollbackPowerLoss(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		w := newWorld(t)
		w.install(t, newOrder(t, iccid, nil))
		w.install(t, newOrder(t, second, nil))
		require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
		m := managed(t, w)
		require.Equal(t, "enable ok", m.do(t, enable(second, true)))
		b, err := rsp.Encode(&rsp.ProfileRollbackRequest{})
		require.NoError(t, err)
		w.chip.SetFaults(euicc.Faults{RemoveAt: 1, RemoveDone: done})
		_, err = w.store(t, b)
		require.ErrorIs(t, err, euicc.ErrRemoved)
		w.chip.SetFaults(euicc.Faults{})
		w.chip.Reset()
		w.connect(t)
		require.Equal(t, done, w.chip.Profiles()[0].Enabled)
		want := 0
		if done {
			want = 1
		}
		require.Equal(t, want, w.rollback(t).Result)
		list := results(t, w)
		require.Len(t, list, 1)
		require.Equal(t, "8c0100", said(&list[0]))
	}
}

func configureImmediate(t testing.TB, w *world, q rsp.ConfigureImmediateProfileEnablingRequest) int {
	return es10[rsp.ConfigureImmediateProfileEnablingResponse](t, w, &q).Result
}

func immediately(t testing.TB, w *world) int {
	return es10[rsp.ImmediateEnableResponse](t, w, &rsp.ImmediateEnableRequest{}).Result
}

func TestImmediateEnable(t *testing.T) {
	t.Parallel()
	on := func(server, address *string) rsp.ConfigureImmediateProfileEnablingRequest {
		q := rsp.ConfigureImmediateProfileEnablingRequest{Enable: true, Address: address}
		if server != nil {
			q.SMDPOID = ptr(rsp.OID(*server))
		}
		return q
	}
	for rule, c := range map[string]struct {
		allow rsp.ConfigureImmediateProfileEnablingRequest
		then  func(t *testing.T, w *world)
		want  int
	}{
		"from anywhere":                 {on(nil, nil), nil, 0},
		"from this SM-DP+":              {on(ptr(rsptest.SMDPOID), ptr("SMDP.example.com")), nil, 0},
		"from another":                  {on(ptr("2.999.11"), nil), nil, 1},
		"from another address":          {on(nil, ptr("other.example.com")), nil, 1},
		"not at all":                    {rsp.ConfigureImmediateProfileEnablingRequest{}, nil, 1},
		"after a loss of power":         {on(nil, nil), func(t *testing.T, w *world) { w.chip.Reset(); w.connect(t) }, 4},
		"in the next session":           {on(nil, nil), func(t *testing.T, w *world) { w.authenticate(t) }, 4},
		"deleted meanwhile":             {on(nil, nil), func(t *testing.T, w *world) { w.remove(t, iccid) }, 4},
		"taken back":                    {on(nil, nil), func(t *testing.T, w *world) { resetIoT(t, w, rsp.ResetImmediateEnable) }, 1},
		"enabled meanwhile":             {on(nil, nil), func(t *testing.T, w *world) { w.enable(t, iccid) }, 127},
		"though there is an eIM by now": {on(nil, nil), func(t *testing.T, w *world) { managed(t, w) }, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			require.Zero(t, configureImmediate(t, w, c.allow))
			w.install(t, newOrder(t, iccid, nil))
			if c.then != nil {
				c.then(t, w)
			}
			require.Equal(t, c.want, immediately(t, w))
			if c.want == 0 {
				require.True(t, w.chip.Profiles()[0].Enabled)
				require.Equal(t, 4, immediately(t, w), "once")
			}
		})
	}
}

func TestConfigureImmediateEnabling(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	w := l.world
	require.Zero(t, configureImmediate(t, w, rsp.ConfigureImmediateProfileEnablingRequest{Enable: true, Address: ptr("other.example.com")}))
	m := managed(t, w)
	require.Equal(t, 2, configureImmediate(t, w, rsp.ConfigureImmediateProfileEnablingRequest{}), "an eIM decides now")
	l.restart(t)
	w.connect(t)
	w.install(t, plain(t, iccid))
	require.Equal(t, 1, immediately(t, w), "it lasts, with its address")
	require.Equal(t, "870100", m.do(t, rsp.PSMO{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true, Address: ptr(address)}}))
	require.Zero(t, immediately(t, w))
	require.Equal(t, "870100", m.do(t, rsp.PSMO{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{}}))
	w.install(t, plain(t, second))
	require.Equal(t, 1, immediately(t, w))
}

func resetIoT(t testing.TB, w *world, o rsp.ResetOptions) *rsp.EUICCMemoryResetIoTResponse {
	return es10[rsp.EUICCMemoryResetIoTResponse](t, w, &rsp.EUICCMemoryResetIoTRequest{Options: o})
}

func TestMemoryReset(t *testing.T) {
	t.Parallel()
	w, seal := withCard(t)
	rules := rsp.PPR1 | rsp.PPR2
	kinds := map[rsp.ICCID]rsp.ProfileClass{iccid: rsp.ClassOperational, second: rsp.ClassTest, third: rsp.ClassProvisioning}
	for _, id := range []rsp.ICCID{iccid, second, third} {
		o := plain(t, id)
		if id == iccid {
			o = newOrder(t, id, seal(11))
			o.metadata.PolicyRules = &rules
		}
		o.metadata.Class = ptr(kinds[id])
		w.install(t, o)
	}
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	left := func() (list []string) {
		for _, p := range w.chip.Profiles() {
			list = append(list, p.ICCID)
		}
		return list
	}
	reset := func(o rsp.ResetOptions) int {
		return es10[rsp.EUICCMemoryResetResponse](t, w, &rsp.EUICCMemoryResetRequest{Options: o}).Result
	}
	require.Equal(t, 1, reset(0), "nothing is wanted")
	require.Equal(t, 1, reset(rsp.ResetDefaultSMDP|rsp.ResetPreLoadedTest|rsp.ResetProvisioning|rsp.ResetEIMs), "nothing to reset, or not of SGP.22")
	require.Equal(t, 0, reset(rsp.ResetOperational), "enabled, and whatever its rules")
	require.Equal(t, []string{string(second), string(third)}, left())
	_, ok := w.card.Current()
	require.False(t, ok, "the card follows")
	list := es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{Events: ptr(rsp.EventDelete)}).List
	require.Len(t, list, 2, "operators are told")
	require.Equal(t, 1, reset(rsp.ResetOperational))
	es10[rsp.SetDefaultSMDPResponse](t, w, &rsp.SetDefaultSMDPRequest{Address: "x"})
	require.Equal(t, 0, reset(rsp.ResetDefaultSMDP))
	require.Equal(t, address, *es10[rsp.ConfiguredAddressesResponse](t, w, &rsp.ConfiguredAddressesRequest{}).DefaultSMDP)

	require.Equal(t, 0, resetIoT(t, w, rsp.ResetFieldLoadedTest).Result)
	require.Equal(t, []string{string(third)}, left())
	require.Equal(t, 1, resetIoT(t, w, rsp.ResetPreLoadedTest).Result, "none is")
	require.Equal(t, 0, resetIoT(t, w, rsp.ResetProvisioning).Result)
	require.Empty(t, left())
	require.Equal(t, uint64(11), w.card.Newest(), "deleted, not forgotten")

	require.Equal(t, 1, *resetIoT(t, w, rsp.ResetEIMs).EIMResult, "there is none")
	m := managed(t, w)
	require.Equal(t, "list of 0", m.do(t, listing()))
	r := resetIoT(t, w, rsp.ResetEIMs|rsp.ResetImmediateEnable)
	require.Equal(t, 1, r.Result, "of profiles and SM-DP+")
	require.Zero(t, *r.EIMResult)
	require.Zero(t, *r.ImmediateEnableResult)
	require.Empty(t, known(t, w, nil))
	require.Len(t, results(t, w), 1, "results are owed")
	r = resetIoT(t, w, 0)
	require.Nil(t, r.EIMResult)
	require.Nil(t, r.ImmediateEnableResult)
}

// Power is lost in a command, before it or after: it has taken effect as a whole,
// or not at all.
func TestPowerLossOfIoT(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		before  func(t *testing.T, m *manager)
		command func(m *manager) rsp.Message
	}{
		"AddInitialEim": {func(t *testing.T, m *manager) { resetIoT(t, m.world, rsp.ResetEIMs) }, func(m *manager) rsp.Message {
			return &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{m.data(t)}}
		}},
		"ConfigureImmediateProfileEnabling": {func(t *testing.T, m *manager) { resetIoT(t, m.world, rsp.ResetEIMs) }, func(*manager) rsp.Message {
			return &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true}
		}},
		"ImmediateEnable": {func(t *testing.T, m *manager) {
			m.do(t, rsp.PSMO{ConfigureImmediate: &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true}})
			m.install(t, newOrder(t, second, nil))
		}, func(*manager) rsp.Message { return &rsp.ImmediateEnableRequest{} }},
		"eUICCMemoryReset":           {nil, func(*manager) rsp.Message { return &rsp.EUICCMemoryResetRequest{Options: rsp.ResetOperational} }},
		"eUICCMemoryReset of SGP.32": {nil, func(*manager) rsp.Message { return &rsp.EUICCMemoryResetIoTRequest{Options: rsp.ResetEIMs} }},
		"RemoveNotificationFromList": {func(t *testing.T, m *manager) { m.do(t, listing()) }, func(m *manager) rsp.Message {
			return &rsp.NotificationSentRequest{SeqNumber: results(t, m.world)[0].Signed.Data.SeqNumber}
		}},
	} {
		for _, done := range []bool{false, true} {
			w := newWorld(t)
			w.install(t, newOrder(t, iccid, nil))
			m := managed(t, w)
			if c.before != nil {
				c.before(t, m)
			}
			b, err := rsp.Encode(c.command(m))
			require.NoError(t, err)
			before, err := w.chip.Snapshot()
			require.NoError(t, err)
			w.chip.SetFaults(euicc.Faults{RemoveAt: 1, RemoveDone: done})
			_, err = w.store(t, b)
			require.ErrorIs(t, err, euicc.ErrRemoved, rule)
			w.chip.SetFaults(euicc.Faults{})
			w.chip.Reset()
			after, err := w.chip.Snapshot()
			require.NoError(t, err)
			require.Equal(t, !done, string(before) == string(after), rule)
			cfg := w.cfg
			cfg.State = after
			_, err = euicc.NewChip(cfg)
			require.NoError(t, err, rule)
		}
	}
}

func TestFaultsOfIoT(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, newOrder(t, iccid, nil))
	m := managed(t, w)
	before := w.chip.Changed()
	for _, c := range []struct {
		set   func(f *euicc.Faults, code int)
		codes []int
		get   func() int
	}{
		{func(f *euicc.Faults, code int) { f.GetCerts = code }, []int{1, 127}, func() int {
			return *es10[rsp.GetCertsResponse](t, w, &rsp.GetCertsRequest{}).Error
		}},
		{func(f *euicc.Faults, code int) { f.MemoryReset = code }, []int{1, 5, 127}, func() int {
			return es10[rsp.EUICCMemoryResetResponse](t, w, &rsp.EUICCMemoryResetRequest{Options: rsp.ResetOperational}).Result
		}},
		{func(f *euicc.Faults, code int) { f.MemoryReset = code }, []int{1, 5, 104, 127}, func() int { return resetIoT(t, w, rsp.ResetOperational).Result }},
		{func(f *euicc.Faults, code int) { f.ResetEIMs = code }, []int{1, 2, 127}, func() int { return *resetIoT(t, w, rsp.ResetEIMs).EIMResult }},
		{func(f *euicc.Faults, code int) { f.ResetImmediate = code }, []int{1, 127}, func() int { return *resetIoT(t, w, rsp.ResetImmediateEnable).ImmediateEnableResult }},
		{func(f *euicc.Faults, code int) { f.ConfigureImmediate = code }, []int{1, 2, 127}, func() int {
			return configureImmediate(t, w, rsp.ConfigureImmediateProfileEnablingRequest{Enable: true})
		}},
		{func(f *euicc.Faults, code int) { f.ImmediateEnable = code }, []int{1, 4, 5, 127}, func() int { return immediately(t, w) }},
		{func(f *euicc.Faults, code int) { f.Rollback = code }, []int{1, 5, 7, 127}, func() int { return w.rollback(t).Result }},
	} {
		for _, code := range c.codes {
			var f euicc.Faults
			c.set(&f, code)
			w.chip.SetFaults(f)
			require.Equal(t, code, c.get())
		}
	}
	require.Equal(t, before, w.chip.Changed())
	w.chip.SetFaults(euicc.Faults{})
	require.Equal(t, "list of 1", m.do(t, listing()))
}
