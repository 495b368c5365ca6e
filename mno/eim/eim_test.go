package eim_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// Trigger, receipt, enabling, result: the whole of it.
func TestDownloadAndEnable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	require.Nil(t, c.poll(), "nothing to do")
	id := c.trigger(eim.Download{ActivationCode: "LPA:" + code, Enable: true, Rollback: true})
	require.Equal(t, id, c.trigger(eim.Download{ActivationCode: code}), "the same code is the same job")
	byDefault := c.trigger(eim.Download{DefaultSMDP: true})
	require.NotEqual(t, id, byDefault)
	require.Equal(t, byDefault, c.trigger(eim.Download{DefaultSMDP: true}), "while it waits")
	require.NoError(t, w.eim.Cancel(t.Context(), c.eid, byDefault))

	pkg := c.poll()
	require.Equal(t, pkg, c.poll(), "the same until its result")
	m, err := rsp.Decode[rsp.ProfileDownloadTriggerRequest](pkg)
	require.NoError(t, err)
	require.Equal(t, code, *m.ActivationCode)
	require.Equal(t, id, m.EIMTransactionID.String())
	done, err := c.provide(c.do(pkg))
	require.NoError(t, err)
	require.Empty(t, done, "the receipt is the SM-DP+'s, and the device brings it there")
	news := w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Succeeded, news[0].Job.State)
	require.Equal(t, iccid, news[0].Job.ICCID)
	require.NotEmpty(t, news[0].Result)

	pkg = c.poll()
	require.Equal(t, pkg, c.poll(), "signed once")
	r := c.request(pkg)
	require.Equal(t, int64(1), r.Signed.Counter)
	require.True(t, r.Signed.Operations[0].Enable.Rollback)
	done, err = c.provide(c.do(pkg))
	require.NoError(t, err)
	require.Equal(t, []int64{2}, done)
	require.Empty(t, c.kept)
	require.True(t, c.enabled[iccid])
	news = w.news()
	require.Len(t, news, 1)
	require.Equal(t, id, news[0].Job.Parent)
	require.True(t, news[0].Job.Proven)
	require.Nil(t, c.poll())
	require.Equal(t, id, c.trigger(eim.Download{ActivationCode: code}), "it has succeeded")
	require.Nil(t, c.poll())
	s := c.status()
	require.Len(t, s.Done, 3)
	require.Empty(t, s.Waiting)
	require.Equal(t, start, s.Seen)
}

func TestManage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.token = 77
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid, AssociationToken: 77, Counter: 40}))
	c.counter = 40
	c.enabled[iccid] = false
	c.manage(eim.Enable{ICCID: iccid}, eim.SetDefaultSMDP{Address: "other.example"}, eim.List{})
	c.manage(eim.Disable{ICCID: iccid}, eim.Delete{ICCID: iccid}, eim.Delete{ICCID: iccid})
	require.True(t, c.step())
	news := w.news()
	require.Len(t, news, 1)
	require.Equal(t, eim.Succeeded, news[0].Job.State, news[0].Job.Failure)
	require.Equal(t, int64(41), news[0].Job.Counter)
	want := []eim.Profile{{ICCID: iccid, Enabled: true, Name: "plan"}}
	require.Equal(t, want, news[0].Listed)
	require.Equal(t, want, c.status().Profiles)
	require.Equal(t, "other.example", c.smdp)
	require.True(t, c.step())
	job := w.news()[0].Job
	require.Equal(t, eim.Failed, job.State)
	require.Contains(t, job.Failure, "delete")
	require.True(t, job.Proven)
	require.Equal(t, []int{0, 0, 1}, []int{job.Steps[0].Code, job.Steps[1].Code, job.Steps[2].Code})
	require.False(t, c.step())
	require.Equal(t, int64(42), c.status().Counter)
}

// An eIM that has no certificate yet asks for it before anything else.
func TestCertificatesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.card(1)
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid}))
	c.manage(eim.List{})
	pkg := c.poll()
	m, err := rsp.Decode[rsp.IPAEUICCDataRequest](pkg)
	require.NoError(t, err)
	require.Equal(t, []byte{0xA5, 0xA6}, m.TagList)
	require.Equal(t, w.pki.CI.Certificate.SubjectKeyId, m.CIKeyID)
	require.False(t, c.status().Proven)
	_, err = w.eim.ProvideEIMPackageResult(t.Context(), esipa.Result{Object: c.do(pkg)})
	require.NoError(t, err, "the answer names its device")
	require.True(t, c.status().Proven)
	c.work()
	require.Len(t, w.news(), 1)
}

// Devices of SGP.32 version 1.0 name neither themselves nor a transaction when they
// are asked for certificates: the certificate says whose it is.
func TestCertificatesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.card(1)
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid}))
	_, err := w.eim.Trigger(t.Context(), c.eid, eim.Download{ActivationCode: code})
	require.NoError(t, err)
	alone := func(data rsp.IPAEUICCData) error {
		_, err := w.eim.ProvideEIMPackageResult(t.Context(), esipa.Result{Object: c.encode(&rsp.IPAEUICCDataResponse{Data: &data})})
		return err
	}
	require.ErrorIs(t, alone(rsp.IPAEUICCData{}), esipa.ErrInvalidEID)
	require.ErrorIs(t, alone(rsp.IPAEUICCData{EUICCCertificate: c.eum}), esipa.ErrInvalidEID, "it is nobody's")
	require.False(t, c.status().Proven)
	require.NoError(t, alone(rsp.IPAEUICCData{EUICCCertificate: c.id.DER, EUMCertificate: c.id.DER}), "of no use, and logged")
	require.False(t, c.status().Proven)
	require.NoError(t, alone(rsp.IPAEUICCData{EUICCCertificate: c.id.DER, EUMCertificate: c.eum}))
	require.True(t, c.status().Proven)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.Open = true })
	c := w.card(1)
	require.NotNil(t, c.poll())
	_, err := w.eim.Status(t.Context(), c.eid)
	require.ErrorIs(t, err, esipa.ErrUnknownEID, "a poll alone leaves nothing behind")
	require.True(t, c.step())
	require.True(t, c.status().Proven)
	require.False(t, c.step())

	stranger := newWorld(t, nil).card(2)
	stranger.w = w
	require.True(t, stranger.step(), "taken without effect")
	_, err = w.eim.Status(t.Context(), stranger.eid)
	require.ErrorIs(t, err, esipa.ErrUnknownEID, "of another CI")

	other := w.card(3)
	other.eid = device(t, 4)
	require.True(t, other.step())
	_, err = w.eim.Status(t.Context(), other.eid)
	require.ErrorIs(t, err, esipa.ErrUnknownEID, "the certificate is of another EID")

	early := w.card(5)
	early.trigger(eim.Download{DefaultSMDP: true})
	early.work()
	require.Len(t, w.news(), 1, "asked for before the device came")
}

func TestClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.card(1)
	_, err := w.eim.GetEIMPackage(t.Context(), esipa.Poll{EID: c.eid.String()})
	require.ErrorIs(t, err, esipa.ErrUnknownEID)
	_, err = w.eim.Trigger(t.Context(), c.eid, eim.Download{DefaultSMDP: true})
	require.ErrorIs(t, err, esipa.ErrUnknownEID)
	_, err = c.provide(c.tell(c.encode(&rsp.IPAEUICCDataRequest{TagList: []byte{0xA5, 0xA6}})))
	require.ErrorIs(t, err, esipa.ErrUnknownEID)
	for _, bad := range []string{"", "1", "89049032123451234512345678901234", strings.Repeat("8", 1000)} {
		_, err = w.eim.GetEIMPackage(t.Context(), esipa.Poll{EID: bad})
		require.ErrorIs(t, err, esipa.ErrInvalidEID, bad)
	}
}

// A device's word that its state has changed has its profiles listed, but not as
// often as anybody says so.
func TestStateChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	changed := func() bool {
		_, err := w.eim.GetEIMPackage(t.Context(), esipa.Poll{EID: c.eid.String(), StateChanged: true})
		if err != nil {
			require.ErrorIs(t, err, esipa.ErrNoPackage)
		}
		return err == nil
	}
	require.True(t, changed())
	c.work()
	news := w.news()
	require.Len(t, news, 1)
	require.True(t, news[0].Job.Refresh)
	for range 5 {
		require.False(t, changed(), "too early")
	}
	w.pass(11 * time.Minute)
	require.True(t, c.step(), "not forgotten")
	require.False(t, c.step())
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.MaxQueue = 2 })
	c := w.registered(1)
	other := w.card(2)
	ctx := t.Context()
	for rule, d := range map[string]eim.Download{
		"nothing":                   {},
		"two":                       {ActivationCode: code, DefaultSMDP: true},
		"no activation code":        {ActivationCode: "2$x"},
		"needs a confirmation code": {ActivationCode: code + "$$1"},
		"no ICCID":                  {ActivationCode: code, ICCID: "12"},
		"too long":                  {ActivationCode: "1$" + strings.Repeat("a", 250) + "$M$$" + strings.Repeat("x", 50)},
	} {
		_, err := w.eim.Trigger(ctx, c.eid, d)
		require.ErrorIs(t, err, eim.ErrInvalid, rule)
	}
	for rule, ops := range map[string][]eim.Operation{
		"none": nil, "nil": {nil}, "too many": make([]eim.Operation, 33),
		"no ICCID": {eim.Enable{ICCID: "1"}}, "address": {eim.SetDefaultSMDP{Address: strings.Repeat("a", 256)}},
		"no UTF-8": {eim.SetDefaultSMDP{Address: "\xff"}},
	} {
		_, err := w.eim.Manage(ctx, c.eid, ops...)
		require.ErrorIs(t, err, eim.ErrInvalid, rule)
	}
	for rule, u := range map[string]eim.EUICC{
		"another's certificate": {EID: c.eid, Certificate: other.id.DER, EUM: other.eum},
		"no EUM":                {EID: c.eid, Certificate: c.id.DER},
		"counter":               {EID: c.eid, Counter: eim.MaxCounter + 1},
		"token":                 {EID: c.eid, AssociationToken: -1},
	} {
		require.ErrorIs(t, w.eim.Register(ctx, u), eim.ErrInvalid, rule)
	}
	require.ErrorIs(t, w.eim.Register(ctx, eim.EUICC{EID: eid.MustParse("1")}), esipa.ErrInvalidEID)
	_, err := w.eim.Status(ctx, eid.ID{})
	require.ErrorIs(t, err, esipa.ErrInvalidEID)

	c.manage(eim.List{})
	c.manage(eim.List{})
	_, err = w.eim.Manage(ctx, c.eid, eim.List{})
	require.ErrorIs(t, err, eim.ErrFull)
	_, err = w.eim.Trigger(ctx, c.eid, eim.Download{DefaultSMDP: true})
	require.ErrorIs(t, err, eim.ErrFull)
}

func TestExhausted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid, Counter: eim.MaxCounter - 2}))
	c.manage(eim.List{})
	c.poll()
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid, Counter: 3}))
	require.Equal(t, int64(eim.MaxCounter-1), c.status().Counter, "never lowered")
	c.trigger(eim.Download{ActivationCode: code, Enable: true})
	for range 2 {
		_, err := w.eim.Manage(t.Context(), c.eid, eim.List{})
		require.ErrorIs(t, err, eim.ErrExhausted, "what waits has a counter each")
	}
	c.work()
	require.Len(t, w.news(), 3)
	require.Equal(t, int64(eim.MaxCounter), c.status().Counter)
	_, err := w.eim.Trigger(t.Context(), c.eid, eim.Download{ActivationCode: code + "X", Enable: true})
	require.ErrorIs(t, err, eim.ErrExhausted)
	c.trigger(eim.Download{ActivationCode: code + "X"})
	c.work()
	require.Equal(t, eim.Succeeded, w.news()[0].Job.State, "a download needs none")
}

// The eUICC has used the counter up, as turns out after something was asked for.
func TestExhaustedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.manage(eim.List{})
	c.manage(eim.List{})
	c.trigger(eim.Download{ActivationCode: code, Enable: true})
	require.NoError(t, w.eim.Register(t.Context(), eim.EUICC{EID: c.eid, Counter: eim.MaxCounter}))
	c.work()
	news := w.news()
	require.Len(t, news, 3)
	require.Equal(t, []eim.State{eim.Failed, eim.Failed, eim.Succeeded}, []eim.State{news[0].Job.State, news[1].Job.State, news[2].Job.State})
	require.Contains(t, news[2].Job.Failure, "not enabled")
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.MaxHistory = 3 })
	c := w.registered(1)
	var first []byte
	for i := range 6 {
		c.manage(eim.List{})
		pkg := c.poll()
		result := c.do(pkg)
		if i == 0 {
			first = result
		}
		_, err := c.provide(result)
		require.NoError(t, err)
	}
	require.Len(t, c.status().Done, 3)
	require.Equal(t, int64(6), c.status().Done[2].Counter)
	done, err := c.provide(first)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, done, "a result of long ago may be forgotten")
	require.Len(t, w.news(), 6)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	b, err := w.eim.Configuration()
	require.NoError(t, err)
	m, err := rsp.Decode[rsp.AddInitialEIMRequest](bertlv.Append(nil, 0xBF57, bertlv.Append(nil, 0xA0, b)))
	require.NoError(t, err)
	one := m.EIMs[0]
	require.Equal(t, eimID, one.EIMID)
	require.Equal(t, eimID, *one.FQDN)
	require.Equal(t, rsp.EIMIDFQDN, *one.IDType)
	require.Equal(t, int64(0), *one.Counter)
	require.Nil(t, one.AssociationToken)
	require.Equal(t, rsp.EIMRetrieveHTTPS, *one.Protocols)
	require.False(t, one.IndirectDownload)
	key, err := x509.ParsePKIXPublicKey(one.SigningKey.PublicKey)
	require.NoError(t, err)
	require.True(t, w.key.PublicKey.Equal(key))
}

func TestConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for rule, edit := range map[string]func(*eim.Config){
		"Config.Key":            func(c *eim.Config) { c.Key = nil },
		"Config.Key is no":      func(c *eim.Config) { c.Key = p384 },
		"ECDSA":                 func(c *eim.Config) { c.Key = rsaKey },
		"Config.CIs":            func(c *eim.Config) { c.CIs = nil },
		"Config.CIs: x509":      func(c *eim.Config) { c.CIs = [][]byte{{1}} },
		"Config.ID":             func(c *eim.Config) { c.ID = "" },
		"Config.Certificate":    func(c *eim.Config) { c.Certificate = []byte{1} },
		"is not of Config.Key":  func(c *eim.Config) { c.Certificate = w.pki.CI.DER },
		"Config.Attempts is":    func(c *eim.Config) { c.Attempts = 101 },
		"Config.MaxQueue is":    func(c *eim.Config) { c.MaxQueue = -1 },
		"Config.MaxHistory is":  func(c *eim.Config) { c.MaxHistory = 1001 },
		"eim: Config.ID or FQD": func(c *eim.Config) { c.FQDN = strings.Repeat("a", 256) },
	} {
		cfg := eim.Config{ID: eimID, Key: w.key, CIs: [][]byte{w.pki.CI.DER}}
		edit(&cfg)
		_, err := eim.New(cfg)
		require.ErrorContains(t, err, rule)
	}
	for id, want := range map[string]rsp.EIMIDType{"2.999.5": rsp.EIMIDOID, "any": rsp.EIMIDProprietary} {
		e, err := eim.New(eim.Config{ID: id, Key: w.pki.CI.Key, Certificate: w.pki.CI.DER, CIs: [][]byte{w.pki.CI.DER, w.pki.CI.DER}, IndirectDownload: true})
		require.NoError(t, err)
		b, err := e.Configuration()
		require.NoError(t, err)
		m, err := rsp.Decode[rsp.AddInitialEIMRequest](bertlv.Append(nil, 0xBF57, bertlv.Append(nil, 0xA0, b)))
		require.NoError(t, err)
		require.Equal(t, want, *m.EIMs[0].IDType)
		require.True(t, m.EIMs[0].IndirectDownload)
		require.Equal(t, w.pki.CI.DER, m.EIMs[0].SigningKey.Certificate)
		require.Nil(t, m.EIMs[0].CIKeyID, "there are several")
	}
}

// An activation code lets anybody who has it download the profile.
func TestActivationCodesAreNotPrinted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.trigger(eim.Download{ActivationCode: code})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		require.NotContains(t, fmt.Sprintf(verb, eim.Download{ActivationCode: code}), "M-1")
		require.NotContains(t, fmt.Sprintf(verb, c.status()), "M-1")
	}
}

func TestOperatorFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.manage(eim.List{})
	w.refuse = errors.New("busy")
	pkg := c.poll()
	result := c.do(pkg)
	done, err := c.provide(result)
	require.ErrorIs(t, err, w.refuse)
	require.Empty(t, done)
	require.Equal(t, pkg, c.poll(), "nothing has changed")
	w.refuse = nil
	done, err = c.provide(result)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, done)
	require.Len(t, w.news(), 1)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	ctx := t.Context()
	given := c.trigger(eim.Download{ActivationCode: code, Enable: true})
	waits := c.manage(eim.List{})
	c.poll()
	require.ErrorIs(t, w.eim.Cancel(ctx, c.eid, "AA"), eim.ErrNoJob)
	require.ErrorIs(t, w.eim.Cancel(ctx, device(t, 9), waits), esipa.ErrUnknownEID)
	require.ErrorIs(t, w.eim.Cancel(ctx, eid.ID{}, waits), esipa.ErrInvalidEID)
	for range 2 {
		require.NoError(t, w.eim.Cancel(ctx, c.eid, waits))
		require.NoError(t, w.eim.Cancel(ctx, c.eid, given))
	}
	require.Nil(t, c.poll())
	require.Empty(t, w.news(), "it is no news")
	_, err := c.provide(c.encode(c.receipt(ids(t, given), nil)))
	require.NoError(t, err)
	news := w.news()
	require.Len(t, news, 1, "the device has done it all the same")
	require.Equal(t, eim.Succeeded, news[0].Job.State)
	require.Nil(t, c.poll(), "not enabled")
	require.NotEqual(t, given, c.trigger(eim.Download{ActivationCode: code + "B"}))
}

func TestForward(t *testing.T) {
	t.Parallel()
	var down bool
	var got [][]byte
	w := newWorld(t, func(c *eim.Config) {
		c.Forward = func(_ context.Context, _ eid.ID, n []byte) error {
			if down {
				return errors.New("down")
			}
			got = append(got, n)
			return nil
		}
	})
	c := w.registered(1)
	c.trigger(eim.Download{ActivationCode: code, Enable: true})
	receipt := c.do(c.poll())
	down = true
	_, err := c.provide(receipt)
	require.Error(t, err)
	down = false
	done, err := c.provide(receipt)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, done)
	require.Len(t, got, 1)
	require.Len(t, w.news(), 1)

	result := *c.result(c.request(c.poll()), nil)
	note := func(n int64, by *card) rsp.PendingNotification {
		m := rsp.NotificationMetadata{SeqNumber: n, Event: rsp.EventEnable, Address: "smdp.example"}
		return rsp.PendingNotification{Other: &rsp.OtherSignedNotification{
			Notification: m, Signature: by.sign(m.SignedText()), EUICCCertificate: c.id.DER, EUMCertificate: c.eum,
		}}
	}
	whole := c.encode(&rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{WithNotifications: &rsp.PackageResultAndNotifications{
		Package: result, Notifications: []rsp.PendingNotification{note(8, c), note(9, w.card(2))},
	}}})
	outer, err := bertlv.Parse(whole)
	require.NoError(t, err)
	done, err = c.provide(outer.Value)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 8}, done, "what another eUICC has signed is not passed on")
	require.Len(t, got, 2)

	// What is beside a result that is of no use here is forwarded all the same.
	result.Signed.Data.EIMID = "another.example"
	result.Signed.Data.Raw, result.Signed.Raw, result.Raw = nil, nil, nil
	whole = c.encode(&rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{WithNotifications: &rsp.PackageResultAndNotifications{
		Package: result, Notifications: []rsp.PendingNotification{note(10, c)},
	}}})
	outer, err = bertlv.Parse(whole)
	require.NoError(t, err)
	done, err = c.provide(outer.Value)
	require.NoError(t, err)
	require.Equal(t, []int64{10}, done)
	require.Len(t, got, 3)

	done, err = c.provide(c.encode(c.receipt(rsp.TransactionID{99}, nil)))
	require.NoError(t, err)
	require.Len(t, done, 1, "a receipt that no job waits for, too")
	require.Len(t, got, 4)
}
