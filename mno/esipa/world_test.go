package esipa_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

const eimID = "eim.example"

// world is an SM-DP+, an eIM before it that takes packages from a test, and a
// device with a simulated eUICC, connected by TLS.
type world struct {
	t      *testing.T
	engine *smdp.Engine
	chip   *euicc.Chip
	eim    *eim
	pki    *rsptest.PKI
	ci     []byte            // of eUICC and SM-DP+
	key    *ecdsa.PrivateKey // signs packages
	relay  *esipa.Relay
	way    *way // between device and eIM
	toDP   *way // between device and SM-DP+
	ipa    *esipa.IPA
	power  *power // nil: always there
	now    time.Time
	signed int64
}

func newWorld(t *testing.T, indirect bool) *world {
	w := &world{t: t, eim: &eim{}, now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	pki, err := rsptest.New(w.now.AddDate(-1, 0, 0))
	require.NoError(t, err)
	w.pki, w.ci = pki, pki.CI.DER
	w.insert(pki, clock)
	w.engine, err = smdp.New(smdp.Config{Address: address, Now: clock})
	require.NoError(t, err)
	server, err := smdp.NewServer(w.engine, smdp.ServerConfig{
		Auth:    smdp.Credential{Certificate: pki.DPAuth.DER, Key: pki.DPAuth.Key},
		Binding: smdp.Credential{Certificate: pki.DPPB.DER, Key: pki.DPPB.Key}, CIs: [][]byte{pki.CI.DER},
	})
	require.NoError(t, err)

	dial := func(name string) (es9.Backend, error) {
		if name != address {
			return nil, errors.New("no such host")
		}
		return server, nil
	}
	w.relay = &esipa.Relay{Dial: dial, Now: clock}
	client := dialHandler(t, esipa.NewHandler(w.eim, &esipa.Options{Relay: w.relay}))
	w.way = &way{next: client.HTTP.Transport}
	client.HTTP.Transport = w.way
	w.ipa = &esipa.IPA{EIM: client, LPA: &es9.LPA{Card: w.chip}}
	if indirect {
		w.ipa.Indirect = client
		return w
	}
	direct := dialES9(t, es9.NewHandler(server, nil))
	w.toDP = &way{next: direct.HTTP.Transport}
	direct.HTTP.Transport = w.toDP
	w.ipa.LPA.Dial = func(name string) (es9.Backend, error) {
		if _, err := dial(name); err != nil {
			return nil, err
		}
		return direct, nil
	}
	return w
}

// insert makes an eUICC that knows the eIM.
func (w *world) insert(pki *rsptest.PKI, clock func() time.Time) {
	identity, err := pki.EUICC(rsptest.EID)
	require.NoError(w.t, err)
	w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(w.t, err)
	public, err := x509.MarshalPKIXPublicKey(w.key.Public())
	require.NoError(w.t, err)
	config := encode(w.t, &rsp.AddInitialEIMRequest{EIMs: []rsp.EIMConfigurationData{{
		EIMID: eimID, Counter: ptr(int64(0)), AssociationToken: ptr(int64(7)), SigningKey: &rsp.EIMKey{PublicKey: public},
	}}})
	w.chip, err = euicc.NewChip(euicc.ChipConfig{
		EID: eid.MustParse(rsptest.EID), Certificate: identity.DER, EUM: pki.EUM.DER, Key: identity.Key,
		CIs: [][]byte{pki.CI.DER}, DefaultSMDP: address, Now: clock, EIMs: [][]byte{find(w.t, config, 0xA0, 0x30)},
	})
	require.NoError(w.t, err)
}

// order has a profile made ready and returns its activation code.
func (w *world) order(number uint64) (code, iccid string) {
	r, err := w.engine.Operator("registry").Order(w.t.Context(), mno.Order{
		Device: eid.MustParse(rsptest.EID), ProfileID: number, Sealed: []byte("sealed"), ProfileType: "iot",
	})
	require.NoError(w.t, err)
	code, err = es9.ActivationCode{Address: r.SMDPAddress, MatchingID: r.MatchingID}.Text()
	require.NoError(w.t, err)
	return code, r.ICCID
}

func (w *world) state(iccid string) mno.State {
	p, err := w.engine.Profile(w.t.Context(), iccid)
	require.NoError(w.t, err)
	return p.State
}

// operations signs a package.
func (w *world) operations(list ...rsp.PSMO) []byte {
	w.signed++
	return w.sign(rsp.EUICCPackageSigned{Operations: list})
}

func (w *world) sign(s rsp.EUICCPackageSigned) []byte {
	id, err := rsp.ParseEID(rsptest.EID)
	require.NoError(w.t, err)
	s.EIMID, s.EID, s.Counter, s.EIMTransactionID = eimID, id, w.signed, rsp.TransactionID{0xE1, byte(w.signed)}
	text, err := s.SignedText(7)
	require.NoError(w.t, err)
	signature, err := rsp.Sign(rand.Reader, w.key, text)
	require.NoError(w.t, err)
	return encode(w.t, &rsp.EUICCPackageRequest{Signed: s, Signature: signature})
}

func enable(iccid string) rsp.PSMO {
	return rsp.PSMO{Enable: &rsp.PSMOEnable{ICCID: rsp.ICCID(iccid)}}
}

func trigger(t testing.TB, code string, transaction byte) []byte {
	return encode(t, &rsp.ProfileDownloadTriggerRequest{ActivationCode: &code, EIMTransactionID: rsp.TransactionID{transaction}})
}

// way is a RoundTripper that loses the nth request, or its answer.
type way struct {
	next    http.RoundTripper
	request int // counted from 1; 0: none
	second  int // another request
	answer  int
	count   int
	power   *power // nil: always there
}

var errLost = errors.New("lost on the way")

func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	w.count++
	n := w.count
	if n == w.request || n == w.second || w.power != nil && w.power.off {
		return nil, errLost
	}
	res, err := w.next.RoundTrip(r)
	if n == w.answer && err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return nil, errLost
	}
	return res, err
}

// The whole way: a profile comes, is enabled, and everybody hears of it.
func TestPoll(t *testing.T) {
	t.Parallel()
	for name, indirect := range map[string]bool{"direct": false, "through the eIM": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, indirect)
			code, iccid := w.order(11)
			w.eim.waits(trigger(t, code, 1), w.operations(rsp.PSMO{List: &rsp.ProfileInfoListRequest{}}, enable(iccid)))
			report, err := w.ipa.Poll(t.Context())
			require.NoError(t, err)
			require.Equal(t, strings.Join([]string{
				"download [01] of " + iccid + ": installed",
				"operations [E101]: list: ok, enable " + iccid + ": ok",
				"1 notifications delivered",
			}, "\n"), report.String())
			require.Equal(t, rsptest.EID, report.EID)
			require.True(t, report.Packages[0].Installed)

			require.Len(t, w.eim.results, 2)
			require.Equal(t, rsptest.EID, w.eim.results[0].EID)
			m, err := rsp.Decode[rsp.ProfileDownloadTriggerResult](w.eim.results[0].Object)
			require.NoError(t, err)
			require.Equal(t, rsp.TransactionID{1}, m.EIMTransactionID)
			require.NotNil(t, m.Installation.Data.Success)
			require.Equal(t, mno.Installed, w.state(iccid))
			require.True(t, w.chip.Profiles()[0].Enabled)

			report, err = w.ipa.Poll(t.Context())
			require.NoError(t, err)
			require.Empty(t, report.Packages, "the eUICC has nothing left to tell")
			require.Empty(t, report.String())
		})
	}
}

// Whatever is lost on the way, later Polls put it right: one profile, one result
// of each package, and the SM-DP+ knows.
func TestLostOnTheWay(t *testing.T) {
	t.Parallel()
	for name, indirect := range map[string]bool{"direct": false, "through the eIM": true} {
		for n := 1; ; n++ {
			passed := true
			for _, what := range []string{"request", "answer"} {
				w := newWorld(t, indirect)
				ways := []*way{w.way, w.toDP}
				if indirect {
					ways = ways[:1]
				}
				for _, x := range ways {
					if what == "request" {
						x.request = n
					} else {
						x.answer = n
					}
				}
				w.oneAttempt()
				passed = w.survives(name, what, n) && passed
			}
			if passed {
				require.Greater(t, n, 5)
				break
			}
		}
	}
}

// power is lost with the nth answer of the eUICC, counted from 1: nothing works
// any more until somebody switches the device on again.
type power struct {
	es9.Transport
	at, count int
	off       bool
}

func (p *power) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if p.off {
		return nil, errLost
	}
	r, err := p.Transport.Transmit(ctx, command)
	if p.count++; p.count == p.at {
		p.off = true
		return nil, errLost
	}
	return r, err
}

// The same where the device loses its power at any moment.
func TestPowerLost(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		w := newWorld(t, n%2 == 0)
		w.power = &power{Transport: w.chip, at: n}
		w.ipa.LPA.Card, w.ipa.LPA.Chunk, w.way.power = w.power, 255, w.power
		if w.toDP != nil {
			w.toDP.power = w.power
		}
		if w.survives("power", "APDU", n) && w.power.count < n {
			require.Greater(t, n, 50)
			return
		}
	}
}

// oneAttempt has clients give up at once, so that a loss ends the Poll.
func (w *world) oneAttempt() {
	w.ipa.EIM.(*esipa.Client).Retry.Attempts = 1
	if dial := w.ipa.LPA.Dial; dial != nil {
		w.ipa.LPA.Dial = func(name string) (es9.Backend, error) {
			b, err := dial(name)
			if c, ok := b.(*es9.Client); ok {
				c.Retry.Attempts = 1
			}
			return b, err
		}
	}
}

// survives runs the story and reports whether nothing was lost.
func (w *world) survives(name, what string, n int) bool {
	code, iccid := w.order(11)
	w.eim.waits(trigger(w.t, code, 1), w.operations(enable(iccid)), encode(w.t, &rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x20}}))
	clean := true
	for range 3 {
		report, err := w.ipa.Poll(w.t.Context())
		for _, d := range report.Packages {
			clean = clean && d.Err == nil && d.Told
		}
		clean = clean && err == nil
		w.chip.Reset()
		if w.power != nil {
			w.power.off = false
		}
		again := *w.ipa // the device has lost its power
		w.ipa = &esipa.IPA{LPA: again.LPA, EIM: again.EIM, Indirect: again.Indirect}
	}
	rule := []any{"%s, %s %d is lost", name, what, n}
	require.Empty(w.t, w.eim.queue, rule...)
	require.Equal(w.t, mno.Installed, w.state(iccid), rule...)
	require.Len(w.t, w.chip.Profiles(), 1, rule...)
	require.True(w.t, w.chip.Profiles()[0].Enabled, rule...)
	for _, r := range w.eim.results {
		if m, err := rsp.Decode[rsp.ProfileDownloadTriggerResult](r.Object); err == nil {
			require.NotNil(w.t, m.Installation, rule...)
			require.NotNil(w.t, m.Installation.Data.Success, rule...)
		}
		if m, err := rsp.Decode[rsp.EUICCPackageResult](r.Object); err == nil {
			require.NotNil(w.t, m.Signed, rule...)
		}
	}
	if w.toDP != nil {
		w.toDP.request, w.toDP.answer = 0, 0
	}
	if w.power != nil {
		w.power.at = 0
	}
	w.way.request, w.way.answer = 0, 0
	report, err := w.ipa.Poll(w.t.Context())
	require.NoError(w.t, err)
	require.Empty(w.t, report.String(), rule...)
	return clean
}

var _ esipa.Backend = (*eim)(nil)

// eim gives out packages until their result is there, and acknowledges all.
type eim struct {
	queue   [][]byte
	results []esipa.Result
	polls   []esipa.Poll
	silent  bool // acknowledges nothing
	fail    func(call string) error
}

func (e *eim) waits(packages ...[]byte) { e.queue = append(e.queue, packages...) }

func (e *eim) failing(call string) error {
	if e.fail == nil {
		return nil
	}
	return e.fail(call)
}

func (e *eim) GetEIMPackage(_ context.Context, p esipa.Poll) ([]byte, error) {
	e.polls = append(e.polls, p)
	if err := e.failing("get"); err != nil {
		return nil, err
	}
	if len(e.queue) == 0 {
		return nil, esipa.ErrNoPackage
	}
	return e.queue[0], nil
}

func (e *eim) ProvideEIMPackageResult(_ context.Context, r esipa.Result) ([]int64, error) {
	if err := e.failing("provide"); err != nil {
		return nil, err
	}
	numbers := e.numbers(r.Object)
	for _, former := range e.results {
		if numbers != nil && string(former.Object) == string(r.Object) {
			return e.acknowledge(numbers), nil // signed, and once more
		}
	}
	e.results = append(e.results, r)
	if len(e.queue) > 0 {
		e.queue = e.queue[1:]
	}
	return e.acknowledge(numbers), nil
}

func (e *eim) acknowledge(numbers []int64) []int64 {
	if e.silent {
		return nil
	}
	return numbers
}

// numbers are those of what the eUICC has signed.
func (e *eim) numbers(object []byte) []int64 {
	if m, err := rsp.Decode[rsp.EUICCPackageResult](object); err == nil && m.Signed != nil {
		return []int64{m.Signed.Data.SeqNumber}
	}
	if m, err := rsp.Decode[rsp.ProfileDownloadTriggerResult](object); err == nil && m.Installation != nil {
		return []int64{m.Installation.Data.Notification.SeqNumber}
	}
	return nil
}
