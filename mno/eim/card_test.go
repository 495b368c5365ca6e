package eim_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	eimID = "eim.example"
	code  = "1$smdp.example$M-1"
	iccid = "8944476500001224158"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// device returns the n-th EID of the test EUM.
func device(t testing.TB, n int) eid.ID {
	id, err := eid.New(fmt.Sprintf("%s%022d", rsptest.EIN, n))
	require.NoError(t, err)
	return id
}

// world is an eIM with its operator, and a PKI for eUICCs.
type world struct {
	t   testing.TB
	pki *rsptest.PKI
	key *ecdsa.PrivateKey
	eim *eim.EIM

	mu     sync.Mutex
	now    time.Time
	refuse error // what the operator answers
	events []eim.Event
}

func newWorld(t testing.TB, edit func(*eim.Config)) *world {
	pki, err := rsptest.New(start.Add(-time.Hour))
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	w := &world{t: t, pki: pki, key: key, now: start}
	cfg := eim.Config{ID: eimID, FQDN: eimID, Key: key, CIs: [][]byte{pki.CI.DER}, Now: w.clock, Notify: w.notify}
	if edit != nil {
		edit(&cfg)
	}
	w.eim, err = eim.New(cfg)
	require.NoError(t, err)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) notify(_ context.Context, ev eim.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	w.events = append(w.events, ev)
	return nil
}

// news returns what the operator was told since the last call.
func (w *world) news() []eim.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.events
	w.events = nil
	return list
}

// card is an eUICC with its IPA, written against the messages alone: it checks
// what a real one checks, and signs what a test wants it to.
type card struct {
	w        *world
	t        testing.TB
	id       *rsptest.Identity
	eum      []byte
	eid      eid.ID
	token    int64
	counter  int64
	sequence int64
	kept     []rsp.EUICCPackageResult
	enabled  map[string]bool // by ICCID
	smdp     string
}

func (w *world) card(n int) *card {
	id := device(w.t, n)
	own, err := w.pki.EUICC(id.String())
	require.NoError(w.t, err)
	return &card{w: w, t: w.t, id: own, eum: w.pki.EUM.DER, eid: id, enabled: map[string]bool{}}
}

// registered is a card that the eIM knows with its certificate.
func (w *world) registered(n int) *card {
	c := w.card(n)
	require.NoError(w.t, w.eim.Register(w.t.Context(), eim.EUICC{EID: c.eid, Certificate: c.id.DER, EUM: c.eum}))
	return c
}

func (c *card) encode(m rsp.Message) []byte {
	b, err := rsp.Encode(m)
	require.NoError(c.t, err)
	return b
}

func (c *card) sign(text []byte, err error) []byte {
	require.NoError(c.t, err)
	signature, err := rsp.Sign(rand.Reader, c.id.Key, text)
	require.NoError(c.t, err)
	return signature
}

// poll asks for something to do; nil is nothing.
func (c *card) poll() []byte {
	b, err := c.w.eim.GetEIMPackage(c.t.Context(), esipa.Poll{EID: c.eid.String()})
	if err != nil {
		require.ErrorIs(c.t, err, esipa.ErrNoPackage)
	}
	return b
}

// do is what a device makes of a package: its result.
func (c *card) do(pkg []byte) []byte {
	t, err := bertlv.Parse(pkg)
	require.NoError(c.t, err)
	switch t.Tag {
	case 0xBF51:
		return c.carryOut(pkg)
	case 0xBF52:
		return c.tell(pkg)
	}
	m, err := rsp.Decode[rsp.ProfileDownloadTriggerRequest](pkg)
	require.NoError(c.t, err)
	return c.encode(c.receipt(m.EIMTransactionID, nil))
}

// receipt is an installation's.
func (c *card) receipt(id rsp.TransactionID, edit func(*rsp.ProfileInstallationResultData)) *rsp.ProfileDownloadTriggerResult {
	c.sequence++
	data := rsp.ProfileInstallationResultData{
		TransactionID: []byte{1}, SMDPOID: ptr(rsp.OID(rsptest.SMDPOID)),
		Notification: rsp.NotificationMetadata{SeqNumber: c.sequence, Event: rsp.EventInstall, Address: "smdp.example", ICCID: ptr(rsp.ICCID(iccid))},
		Success:      &rsp.InstallationSuccess{AID: bytes.Repeat([]byte{0xA0}, 16), SIMAResponse: []byte{0x30, 0}},
	}
	if edit != nil {
		edit(&data)
	}
	if data.Success != nil && data.Notification.ICCID != nil {
		c.enabled[string(*data.Notification.ICCID)] = false
	}
	return &rsp.ProfileDownloadTriggerResult{EIMTransactionID: id, Installation: &rsp.ProfileInstallationResult{Data: data, Signature: c.sign(data.SignedText())}}
}

func noDownload(id rsp.TransactionID) *rsp.ProfileDownloadTriggerResult {
	return &rsp.ProfileDownloadTriggerResult{EIMTransactionID: id, Error: &rsp.ProfileDownloadFailure{Reason: rsp.ProfileDownloadUndefined}}
}

// tell answers an IpaEuiccDataRequest.
func (c *card) tell(pkg []byte) []byte {
	m, err := rsp.Decode[rsp.IPAEUICCDataRequest](pkg)
	require.NoError(c.t, err)
	data := rsp.IPAEUICCData{EIMTransactionID: m.EIMTransactionID}
	if bytes.IndexByte(m.TagList, 0xA6) >= 0 {
		data.EUICCCertificate, data.EUMCertificate = c.id.DER, c.eum
	}
	if bytes.IndexByte(m.TagList, 0xA2) >= 0 {
		data.PackageResults = append([]rsp.EUICCPackageResult{}, c.kept...)
	}
	return c.encode(&rsp.IPAEUICCDataResponse{Data: &data})
}

// request checks a package as an eUICC does.
func (c *card) request(pkg []byte) *rsp.EUICCPackageRequest {
	m, err := rsp.Decode[rsp.EUICCPackageRequest](pkg)
	require.NoError(c.t, err)
	text, err := m.Signed.SignedText(c.token)
	require.NoError(c.t, err)
	require.NoError(c.t, rsp.Verify(&c.w.key.PublicKey, text, m.Signature))
	require.Equal(c.t, eimID, m.Signed.EIMID)
	require.Equal(c.t, c.eid.String(), m.Signed.EID.String())
	return m
}

func (c *card) carryOut(pkg []byte) []byte {
	m := c.request(pkg)
	if m.Signed.Counter <= c.counter {
		return c.encode(c.refusal(m, rsp.PackageReplay))
	}
	c.counter = m.Signed.Counter
	result := c.result(m, nil)
	c.kept = append(c.kept, *result)
	return c.encode(result)
}

func (c *card) result(m *rsp.EUICCPackageRequest, edit func(*rsp.EUICCPackageResultData)) *rsp.EUICCPackageResult {
	c.sequence++
	data := rsp.EUICCPackageResultData{
		EIMID: m.Signed.EIMID, Counter: m.Signed.Counter, EIMTransactionID: m.Signed.EIMTransactionID, SeqNumber: c.sequence,
	}
	for _, op := range m.Signed.Operations {
		data.Results = append(data.Results, c.operate(op))
	}
	if edit != nil {
		edit(&data)
	}
	return &rsp.EUICCPackageResult{Signed: &rsp.EUICCPackageResultSigned{Data: data, Signature: c.sign(data.SignedText(c.token))}}
}

func (c *card) refusal(m *rsp.EUICCPackageRequest, code rsp.EUICCPackageErrorCode) *rsp.EUICCPackageResult {
	data := rsp.EUICCPackageErrorData{
		EIMID: m.Signed.EIMID, Counter: m.Signed.Counter, EIMTransactionID: m.Signed.EIMTransactionID, Code: code,
	}
	return &rsp.EUICCPackageResult{Error: &rsp.EUICCPackageErrorSigned{Data: data, Signature: c.sign(data.SignedText(c.token))}}
}

func (c *card) operate(op rsp.PSMO) rsp.EUICCResultData {
	known := func(id rsp.ICCID, then func()) *rsp.ProfileResult {
		if _, ok := c.enabled[string(id)]; !ok {
			return ptr(rsp.ProfileNotFound)
		}
		then()
		return ptr(rsp.ProfileOK)
	}
	switch {
	case op.Enable != nil:
		return rsp.EUICCResultData{Enable: known(op.Enable.ICCID, func() { c.enabled[string(op.Enable.ICCID)] = true })}
	case op.Disable != nil:
		return rsp.EUICCResultData{Disable: known(op.Disable.ICCID, func() { c.enabled[string(op.Disable.ICCID)] = false })}
	case op.Delete != nil:
		return rsp.EUICCResultData{Delete: known(op.Delete.ICCID, func() { delete(c.enabled, string(op.Delete.ICCID)) })}
	case op.SetDefaultSMDP != nil:
		c.smdp = op.SetDefaultSMDP.Address
		return rsp.EUICCResultData{Other: []byte{0xBF, 0x65, 3, 0x80, 1, 0}}
	}
	list := []rsp.ProfileInfo{}
	for id, enabled := range c.enabled {
		state := rsp.StateDisabled
		if enabled {
			state = rsp.StateEnabled
		}
		list = append(list, rsp.ProfileInfo{ICCID: ptr(rsp.ICCID(id)), State: &state, ProfileName: ptr("plan")})
	}
	return rsp.EUICCResultData{List: &rsp.ProfileInfoListResponse{List: list}}
}

// provide tells a result, and forgets what is acknowledged.
func (c *card) provide(object []byte) ([]int64, error) {
	done, err := c.w.eim.ProvideEIMPackageResult(c.t.Context(), esipa.Result{EID: c.eid.String(), Object: object})
	for _, n := range done {
		for i := range c.kept {
			if c.kept[i].Signed.Data.SeqNumber == n {
				c.kept = append(c.kept[:i:i], c.kept[i+1:]...)
				break
			}
		}
	}
	return done, err
}

// step is one round: poll, do, provide. It reports whether there was something.
func (c *card) step() bool {
	pkg := c.poll()
	if pkg == nil {
		return false
	}
	_, err := c.provide(c.do(pkg))
	require.NoError(c.t, err)
	return true
}

// work does all there is.
func (c *card) work() {
	for range 20 {
		if !c.step() {
			return
		}
	}
	require.Fail(c.t, "the device is never done")
}

func (c *card) status() eim.Status {
	s, err := c.w.eim.Status(c.t.Context(), c.eid)
	require.NoError(c.t, err)
	return s
}

func (c *card) trigger(d eim.Download) string {
	id, err := c.w.eim.Trigger(c.t.Context(), c.eid, d)
	require.NoError(c.t, err)
	return id
}

func (c *card) manage(ops ...eim.Operation) string {
	id, err := c.w.eim.Manage(c.t.Context(), c.eid, ops...)
	require.NoError(c.t, err)
	return id
}
