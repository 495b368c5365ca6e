package euicc_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

// lasting is a world whose chip and card outlive their process.
type lasting struct {
	*world
	sealing hpke.PrivateKey // of the card
	seal    func(n uint64) []byte
	trust   func([]*x509.Certificate) error
}

func newLasting(t testing.TB) *lasting {
	key, err := hpke.DHKEM(ecdh.P256()).GenerateKey()
	require.NoError(t, err)
	l := &lasting{sealing: key}
	seal, trust := sealer(t)
	l.world = newWorld(t, func(c *euicc.ChipConfig) { c.Card, c.Issuer, c.Trust = newCardOf(t, key), issuer, trust })
	l.seal, l.trust = func(n uint64) []byte { return seal(l.card, n) }, trust
	return l
}

func (l *lasting) snapshot(t testing.TB) []byte {
	t.Helper()
	state, err := l.chip.Snapshot()
	require.NoError(t, err)
	return state
}

// config is what a later process makes the chip with.
func (l *lasting) config(t testing.TB, state []byte) euicc.ChipConfig {
	cfg := l.cfg
	cfg.Card, cfg.State = newCardOf(t, l.sealing), state
	return cfg
}

// restart has the chip go on in another process.
func (l *lasting) restart(t testing.TB) {
	t.Helper()
	cfg := l.config(t, l.snapshot(t))
	chip, err := euicc.NewChip(cfg)
	require.NoError(t, err)
	l.chip, l.card = chip, cfg.Card
}

// see returns all that can be known of a chip without changing it; a session on
// another channel does not notice.
func see(t testing.TB, chip *euicc.Chip, card *euicc.Card) []any {
	t.Helper()
	send := func(c apdu.Command) []byte {
		r, err := apdu.Send(context.Background(), chip, c)
		require.NoError(t, err)
		return r.Data
	}
	const other = 3
	send(apdu.Command{INS: 0x70, P2: other})
	send(apdu.Command{CLA: other, INS: 0xA4, P1: 4, P2: 0x0C, Data: isdr()})
	seen := []any{chip.Profiles(), chip.Free(), card.Newest()}
	current, _ := card.Current()
	seen = append(seen, current)
	for _, m := range []rsp.Message{
		&rsp.ProfileInfoListRequest{TagList: []byte{0x5A, 0x4F, 0x9F, 0x70, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0xB6, 0xB7, 0xB8, 0x99, 0xBF, 0x22}},
		&rsp.RetrieveNotificationsRequest{}, &rsp.ConfiguredAddressesRequest{}, &rsp.GetEUICCInfo2Request{},
		&rsp.RetrieveNotificationsRequest{PackageResults: true}, &rsp.GetEIMConfigurationDataRequest{},
	} {
		b, err := rsp.Encode(m)
		require.NoError(t, err)
		seen = append(seen, send(apdu.Command{CLA: 0x80 | other, INS: 0xE2, P1: 0x91, Data: b}))
	}
	send(apdu.Command{INS: 0x70, P1: 0x80, P2: other})
	return seen
}

// plain is an order without an element of the registry's.
func plain(t testing.TB, id rsp.ICCID) order {
	o := newOrder(t, id, nil)
	var err error
	o.profile, err = rsp.WrapProfile(id, "test", "2.999.1", nil)
	require.NoError(t, err)
	return o
}

// live is a card's life: a download, what else changes it, a download that power
// is lost in and that goes on with its one-time key.
func (l *lasting) live(t testing.TB) {
	w := l.world
	rules, o := rsp.PPR2, newOrder(t, iccid, l.seal(11))
	o.metadata.Icon, o.metadata.IconType = []byte{1}, ptr(rsp.IconPNG)
	w.install(t, o)
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	es10[rsp.SetNicknameResponse](t, w, &rsp.SetNicknameRequest{ICCID: iccid, Nickname: "<mètre>"})
	es10[rsp.SetDefaultSMDPResponse](t, w, &rsp.SetDefaultSMDPRequest{Address: "new.example.com"})
	es10[rsp.NotificationSentResponse](t, w, &rsp.NotificationSentRequest{SeqNumber: 1})

	o = newOrder(t, second, l.seal(16))
	o.metadata.PolicyRules = &rules
	otpk := w.prepare(t, nil).Signed2.OTPK
	require.Nil(t, w.load(t, w.bind(t, w.prepare(t, otpk), o)[:3]))
	l.restart(t)
	_, err := w.send(apdu.Command{CLA: w.cla, INS: 0xA4, P1: 4, Data: isdr()})
	require.ErrorIs(t, err, apdu.Status(0x6881), "channels are closed")
	w.connect(t)
	again := w.prepare(t, otpk)
	require.Equal(t, otpk, again.Signed2.OTPK)
	r := w.load(t, w.bind(t, again, o))
	require.NotNil(t, r.Data.Success, "%v", w.chip.InstallError())
	require.NotEqual(t, otpk, w.prepare(t, otpk).Signed2.OTPK, "a result ends it")

	silent := plain(t, "89000000000000001028")
	silent.metadata.Notifications = nil
	w.install(t, silent)
	require.Equal(t, rsp.ProfileOK, w.enable(t, silent.metadata.ICCID))
	require.Equal(t, rsp.ProfileOK, w.disable(t, silent.metadata.ICCID))
	require.Equal(t, rsp.ProfileOK, w.remove(t, silent.metadata.ICCID))
	w.prepare(t, nil)
	cancel := &rsp.CancelSessionRequest{TransactionID: w.auth.OK.Signed1.TransactionID, Reason: rsp.CancelEndUserRejection}
	require.NotNil(t, es10[rsp.CancelSessionResponse](t, w, cancel).OK)

	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	require.Equal(t, rsp.ProfileOK, w.remove(t, iccid))
	require.Equal(t, "5/12", failure(w.download(t, newOrder(t, iccid, l.seal(11)))), "deleted, not forgotten")
	_, err = l.card.Install(l.seal(17), l.trust)
	require.NoError(t, err)
	if l.after != nil {
		l.after() // what reaches the card directly is to be saved too
	}
	require.Equal(t, rsp.ProfilePolicy, func() rsp.ProfileResult { w.disable(t, second); return w.remove(t, second) }())
	l.liveIoT(t)
}

// liveIoT goes on with eIMs: packages, a rollback, a profile that is enabled at
// once, resets.
func (l *lasting) liveIoT(t testing.TB) {
	w := l.world
	at := &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true, SMDPOID: ptr(rsp.OID(rsptest.SMDPOID)), Address: ptr(address)}
	require.Zero(t, es10[rsp.ConfigureImmediateProfileEnablingResponse](t, w, at).Result)
	m := managed(t, w)
	data := newManager(t, w, "other").data(t)
	require.Equal(t, "add ok, update ok", m.configure(t, rsp.ECO{Add: &data}, rsp.ECO{Update: &rsp.EIMConfigurationData{EIMID: "other", FQDN: ptr("x")}}))
	require.Equal(t, "enable ok", m.do(t, enable(second, false)))
	w.install(t, plain(t, third))
	require.Zero(t, es10[rsp.ImmediateEnableResponse](t, w, &rsp.ImmediateEnableRequest{}).Result)
	require.Equal(t, "enable ok", m.do(t, enable(second, true)))
	l.restart(t)
	w.connect(t)
	back := es10[rsp.ProfileRollbackResponse](t, w, &rsp.ProfileRollbackRequest{})
	require.Zero(t, back.Result)
	require.Equal(t, "8c0100", said(back.Package))
	require.Equal(t, "disable ok, delete ok", m.do(t, disable(third), erase(third)))
	require.Equal(t, "refused: replayError", func() string { m.counter--; return m.do(t, listing()) }())
	number := back.Package.Signed.Data.SeqNumber
	require.Zero(t, es10[rsp.NotificationSentResponse](t, w, &rsp.NotificationSentRequest{SeqNumber: number}).Status)
	w.install(t, plain(t, third))
	require.Equal(t, "enable ok", m.do(t, enable(third, false)))
	require.Equal(t, "enable ok", m.do(t, enable(second, true)), "which may be rolled back")
	reset := es10[rsp.EUICCMemoryResetIoTResponse](t, w, &rsp.EUICCMemoryResetIoTRequest{Options: rsp.ResetDefaultSMDP})
	require.Zero(t, reset.Result)
}

// After every single command the state makes a chip that is like the one it was
// taken of, and Changed has grown exactly where there is something to save.
func TestStateAfterEachCommand(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	state, of, changed, saved := l.snapshot(t), l.chip, l.chip.Changed(), 0
	l.after = func() {
		now := l.snapshot(t)
		if of == l.chip {
			require.Equal(t, bytes.Equal(state, now), changed == l.chip.Changed())
			require.GreaterOrEqual(t, l.chip.Changed(), changed)
		}
		if !bytes.Equal(state, now) {
			saved++
		}
		state, of, changed = now, l.chip, l.chip.Changed()
		cfg := l.config(t, state)
		twin, err := euicc.NewChip(cfg)
		require.NoError(t, err)
		require.Equal(t, see(t, l.chip, l.card), see(t, twin, cfg.Card))
		again, err := twin.Snapshot()
		require.NoError(t, err)
		require.Equal(t, string(state), string(again))
	}
	l.live(t)
	require.Greater(t, saved, 12)
}

// Power is lost in each command of a download in turn, before it or after. A chip
// in another process goes on as the same one does after Reset.
func TestRestartIsReset(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			want, cut := interrupted(t, at, done, func(l *lasting) { l.chip.Reset() })
			got, _ := interrupted(t, at, done, func(l *lasting) { l.restart(t) })
			require.Equal(t, want, got, "command %d", at)
			if !cut {
				break
			}
		}
	}
}

// interrupted returns how a download goes on, and whether it was cut.
func interrupted(t *testing.T, at int, done bool, lose func(*lasting)) (told []string, cut bool) {
	l := newLasting(t)
	w := l.world
	w.chunk = 1024
	w.install(t, plain(t, second))
	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	ok, o := w.prepare(t, nil), newOrder(t, iccid, l.seal(11))
	w.chip.SetFaults(euicc.Faults{RemoveAt: at, RemoveDone: done})
	cut = send(t, w, w.bind(t, ok, o)) != nil
	w.chip.SetFaults(euicc.Faults{})
	lose(l)
	w.connect(t)
	again := w.prepare(t, ok.Signed2.OTPK)
	told = append(told, fmt.Sprint(bytes.Equal(ok.Signed2.OTPK, again.Signed2.OTPK)), failure(w.load(t, w.bind(t, again, o))))
	told = append(told, fmt.Sprint(w.enable(t, iccid), w.chip.Free() < euicc.DefaultMemory, l.card.Newest()))
	for _, n := range es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{}).List {
		told = append(told, fmt.Sprint(n.SeqNumber, n.Event, n.Address, *n.ICCID))
	}
	for _, p := range w.chip.Profiles() {
		told = append(told, fmt.Sprint(p.ICCID, p.Name, p.Enabled, p.IoT))
	}
	return told, cut
}

// sum puts the line before a body that makes it a state.
func sum(body []byte) []byte {
	return append(fmt.Appendf(nil, "euicc-state/1 %x\n", sha256.Sum256(body)), body...)
}

// edited replaces in the body of a state and mends the checksum.
func edited(t testing.TB, state []byte, pattern, with string) []byte {
	_, body, _ := bytes.Cut(state, []byte("\n"))
	changed := regexp.MustCompile(pattern).ReplaceAll(body, []byte(with))
	require.NotEqual(t, string(body), string(changed), pattern)
	return sum(changed)
}

func TestDamagedState(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	l.install(t, newOrder(t, iccid, l.seal(11)))
	l.prepare(t, nil)
	good := l.snapshot(t)
	refused := func(state []byte, rule string, args ...any) {
		t.Helper()
		cfg := l.config(t, state)
		_, err := euicc.NewChip(cfg)
		require.ErrorIs(t, err, euicc.ErrState, fmt.Sprintf(rule, args...))
		require.Zero(t, cfg.Card.Newest(), "the card is as it was")
	}
	for n := 0; n < len(good); n += 1 + n/8 {
		refused(good[:n], "the first %d bytes", n)
		flipped := bytes.Clone(good)
		flipped[n] ^= 1
		refused(flipped, "a bit of byte %d", n)
	}
	refused(good[:len(good)-1], "without the last byte")
	refused(append(bytes.Clone(good), '\n'), "one byte more")
	refused(make([]byte, euicc.MaxState+1), "too large")
	refused(bytes.Replace(good, []byte("/1 "), []byte("/2 "), 1), "of another version")
	refused(edited(t, good, `^\{`, `{"more":1,`), "an unknown member")
	refused(edited(t, good, `"sequence"`, `"sequence":1,"sequence"`), "a member twice")
	refused(edited(t, good, `,`, `, `), "spaces")
	refused(sum([]byte("null")), "no object")
	refused(sum([]byte("{")), "no JSON")
	_, err := euicc.NewChip(l.config(t, good))
	require.NoError(t, err)
}

// clashing is a result with the number of the first notification.
func clashing(t testing.TB, w *world) string {
	list := es10[rsp.ListNotificationResponse](t, w, &rsp.ListNotificationRequest{}).List
	data := rsp.EUICCPackageResultData{EIMID: "e", SeqNumber: list[0].SeqNumber, Results: []rsp.EUICCResultData{}}
	b, err := rsp.Encode(&rsp.EUICCPackageResult{Signed: &rsp.EUICCPackageResultSigned{Data: data, Signature: make([]byte, 64)}})
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(b)
}

// What has the right checksum and cannot be a chip's.
func TestImpossibleState(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	l.install(t, newOrder(t, iccid, l.seal(11)))
	l.install(t, plain(t, second))
	at := &rsp.ConfigureImmediateProfileEnablingRequest{Enable: true}
	require.Zero(t, es10[rsp.ConfigureImmediateProfileEnablingResponse](t, l.world, at).Result)
	m := managed(t, l.world)
	require.Equal(t, "disable iccidOrAidNotFound", m.do(t, disable(third)))
	require.Equal(t, "enable ok", m.do(t, enable(iccid, false)))
	require.Equal(t, "enable ok", m.do(t, enable(second, true)))
	l.prepare(t, nil)
	clash := clashing(t, l.world)
	good, key := l.snapshot(t), `(\{"server"[^}]*\})`
	long := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 300))
	for _, c := range []struct{ rule, pattern, with, says string }{
		{"several profiles enabled", `("size":\d+),"iot"`, `$1,"enabled":true,"iot"`, "several"},
		{"a profile twice", `("profiles":\[)(\{[^}]*\})`, `$1$2,$2`, "twice"},
		{"no ISD-P", `"aid":"[^"]*"`, `"aid":"AAAA"`, "AID"},
		{"a nickname of 300 characters", `("size")`, `"nickname":"` + long + `",$1`, "characters"},
		{"a size of zero", `"size":\d+`, `"size":0`, "Memory"},
		{"a size below zero", `"size":\d+`, `"size":-9`, "Memory"},
		{"larger than the memory", `"size":\d+`, `"size":600000`, "Memory"},
		{"no metadata", `"metadata":"[^"]*"`, `"metadata":"AAAA"`, "StoreMetadata"},
		{"no configuration", `"configure":"[^"]*"`, `"configure":"AAAA"`, "ConfigureISDP"},
		{"no sealed profile", `"iot":"[^"]*"`, `"iot":"AAAA"`, "not a sealed profile"},
		{"an address of 300 characters", `"smdp":"[^"]*"`, `"smdp":"` + long + `"`, "SM-DP+"},
		{"notifications of the future", `"sequence":\d+`, `"sequence":1`, "order"},
		{"a number below zero", `"sequence":\d+`, `"sequence":-1`, "zero"},
		{"a notification twice", `("pending":\[)("[^"]*")`, `$1$2,$2`, "order"},
		{"no notification", `("pending":\[)("[^"]*")`, `$1"AAAA"`, "malformed"},
		{"65 notifications", `"pending":\[`, `"pending":[` + strings.Repeat(`"AAAA",`, 65), "notifications"},
		{"five keys", key, `$1,$1,$1,$1,$1`, "keys"},
		{"no key", `"key":"[^"]*"`, `"key":"AAAA"`, "key"},
		{"nobody's key", `"server":"[^"]*"`, `"server":"x"`, "object identifier"},
		{"newer than the newest", `"newest":11`, `"newest":10`, "newer"},
		{"a profile opened by no card", `,"card":\{[^}]*\}`, ``, "newer"},
		{"no eIM", `"eims":"[^"]*"`, `"eims":"AAAA"`, "AddInitialEIM"},
		{"no eIMs, but a list", `"eims":"[^"]*"`, `"eims":"v1cCoAA="`, "no chip"},
		{"a token of the future", `,"tokens":\d+`, ``, "future"},
		{"tokens below zero", `"tokens":\d+`, `"tokens":-1`, "zero"},
		{"no result", `("results":\[)("[^"]*")`, `$1"AAAA"`, "malformed"},
		{"a result that is not kept", `("results":\[)("[^"]*")`, `$1"v1EHogWAA2VpbQ=="`, "none"},
		{"a result twice", `("results":\[)("[^"]*")`, `$1$2,$2`, "order"},
		{"seventeen results", `"results":\[`, `"results":[` + strings.Repeat(`"AAAA",`, 17), "results"},
		{"a result with a notification's number", `"pending":\[(.*?)\],"keys"(.*)"results":\[("[^"]*")`, `"pending":[$1],"keys"$2"results":["` + clash + `"`, "number"},
		{"no immediate enabling", `"immediate":"[^"]*"`, `"immediate":"AAAA"`, "Immediate"},
		{"a rollback to nowhere", `("rollback":\{"iccid":)"[^"]*"`, `$1"` + base64.StdEncoding.EncodeToString([]byte(third)) + `"`, "rollback"},
		{"a rollback of no eIM", `("rollback":\{.*"eim":)"[^"]*"`, `$1""`, "empty"},
		{"a rollback of the future", `("rollback":\{[^}]*"result":)\d+`, `${1}9999`, "rollback"},
		{"a rollback of no counter", `("rollback":\{[^}]*"counter":)\d+`, `${1}8388608`, "rollback"},
		{"a direct profile newer than the newest", `"newest":11`, `"newest":12,"direct":"` + base64.StdEncoding.EncodeToString(l.seal(13)) + `"`, "newer"},
	} {
		_, err := euicc.NewChip(l.config(t, edited(t, good, c.pattern, c.with)))
		require.ErrorIs(t, err, euicc.ErrState, c.rule)
		require.ErrorContains(t, err, c.says, c.rule)
	}
	_, err := euicc.NewChip(l.config(t, good))
	require.NoError(t, err)
}

// A state goes with its own configuration.
func TestStateOfAnother(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	l.install(t, newOrder(t, iccid, l.seal(11)))
	l.install(t, plain(t, second))
	state := l.snapshot(t)
	const otherEID = "89049032000000000000000000000066"
	for rule, change := range map[string]func(c *euicc.ChipConfig){
		"another EID": func(c *euicc.ChipConfig) {
			other, err := l.pki.EUICC(otherEID)
			require.NoError(t, err)
			c.EID, c.Certificate, c.Key = eid.MustParse(otherEID), other.DER, other.Key
		},
		"without its card":      func(c *euicc.ChipConfig) { c.Card = nil },
		"a card of another key": func(c *euicc.ChipConfig) { c.Card = newCard(t) },
		"a card of another ID": func(c *euicc.ChipConfig) {
			var err error
			c.Card, err = euicc.New(euicc.Config{ID: eid.MustParse(rsptest.EID), Key: l.sealing, Registry: zone})
			require.NoError(t, err)
		},
		"a card that has lived": func(c *euicc.ChipConfig) {
			_, err := c.Card.Install(l.seal(12), l.trust)
			require.NoError(t, err)
		},
		"a smaller memory": func(c *euicc.ChipConfig) { c.Memory = 100 },
		"room for one":     func(c *euicc.ChipConfig) { c.MaxProfiles = 1 },
	} {
		cfg := l.config(t, state)
		change(&cfg)
		_, err := euicc.NewChip(cfg)
		require.ErrorIs(t, err, euicc.ErrState, rule)
	}
	require.Equal(t, rsp.ProfileOK, l.remove(t, iccid))
	cfg := l.config(t, l.snapshot(t))
	cfg.Card = nil
	_, err := euicc.NewChip(cfg)
	require.ErrorIs(t, err, euicc.ErrState, "without its card, which has taken a profile once")
	cfg.Card, err = euicc.New(euicc.Config{ID: eid.MustParse(rsptest.EID), Key: l.sealing, Registry: zone})
	require.NoError(t, err)
	_, err = euicc.NewChip(cfg)
	require.ErrorIs(t, err, euicc.ErrState, "nor with one of another ID")

	w := newWorld(t) // of a chip without a card
	state, err = w.chip.Snapshot()
	require.NoError(t, err)
	cfg = l.config(t, state)
	_, err = euicc.NewChip(cfg)
	require.NoError(t, err, "a card may come later")
}

// However commands and snapshots meet, each snapshot is of one moment.
func TestSnapshotMeanwhile(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	l.install(t, newOrder(t, iccid, l.seal(1)))
	l.install(t, plain(t, second))
	later := [][]byte{l.seal(2), l.seal(3), l.seal(4)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 10 {
			l.enable(t, iccid)
			l.enable(t, second)
		}
	})
	wg.Go(func() {
		for _, b := range later {
			_, err := l.card.Install(b, l.trust)
			require.NoError(t, err)
		}
	})
	for range 20 {
		before := l.chip.Changed()
		state := l.snapshot(t)
		require.GreaterOrEqual(t, l.chip.Changed(), before)
		_, err := euicc.NewChip(l.config(t, state))
		require.NoError(t, err)
	}
	wg.Wait()
}

// FuzzState: no bytes, the checksum being right, make NewChip panic, and what it
// takes is a chip that answers and can be saved.
func FuzzState(f *testing.F) {
	l := newLasting(f)
	seed := func() {
		_, body, _ := bytes.Cut(l.snapshot(f), []byte("\n"))
		f.Add(body)
	}
	seed()
	l.install(f, plain(f, "89000000000000001010"))
	seed()
	require.Equal(f, rsp.ProfileOK, l.enable(f, "89000000000000001010"))
	l.prepare(f, nil)
	seed()
	l.live(f)
	seed()
	f.Fuzz(func(t *testing.T, body []byte) {
		cfg := l.config(t, sum(body))
		chip, err := euicc.NewChip(cfg)
		if err != nil {
			require.ErrorIs(t, err, euicc.ErrState)
			return
		}
		seen := see(t, chip, cfg.Card)
		state, err := chip.Snapshot()
		require.NoError(t, err)
		cfg = l.config(t, state)
		chip, err = euicc.NewChip(cfg)
		require.NoError(t, err)
		require.Equal(t, seen, see(t, chip, cfg.Card))
	})
}
