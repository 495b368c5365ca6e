package sdk_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

// fleet is an operator, whose SM-DP+ and eIM may be started anew on their stores
// at any moment, and devices with eUICCs that have nobody at hand.
type fleet struct {
	t         *testing.T
	dice      *rand.Rand
	now       time.Time
	pki       *rsptest.PKI
	authority *profile.Authority
	key       *ecdsa.PrivateKey // of the eIM

	orders smdp.Memory
	jobs   eim.Memory
	engine *smdp.Engine
	eim    *eim.EIM
	esipa  http.Handler
	es9    http.Handler

	deaf  bool                   // the operator takes no news at times
	news  map[string][]eim.Event // by job
	late  []func()               // requests on their way
	units []*unit
	log   []string // what was done, for people
}

func newFleet(t *testing.T, seed uint64, devices int) *fleet {
	f := &fleet{
		t: t, dice: rand.New(rand.NewPCG(seed, 0)), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
		key: newKey(t), news: map[string][]eim.Event{},
	}
	var err error
	f.pki, err = rsptest.New(f.now.AddDate(-1, 0, 0))
	require.NoError(t, err)
	f.authority, err = profile.NewAuthority(profile.AuthorityConfig{
		Registry: downloadRegistry, RootKey: newKey(t), IssuerKey: newKey(t), Now: f.clock,
	})
	require.NoError(t, err)
	f.startSMDP()
	f.startEIM()
	for n := range devices {
		f.units = append(f.units, newUnit(f, n, n%2 == 1))
	}
	return f
}

func (f *fleet) clock() time.Time { return f.now }

var errDeaf = errors.New("the operator takes no news just now")

// misses says whether the operator misses news.
func (f *fleet) misses() bool { return f.deaf && f.dice.IntN(4) == 0 }

func (f *fleet) startSMDP() {
	var err error
	f.engine, err = smdp.New(smdp.Config{
		Address: "smdp.example", Store: &f.orders, Now: f.clock,
		EUICC:    func(_ context.Context, device eid.ID) (eid.ID, error) { return device, nil },
		Released: f.released,
		Notify: func(context.Context, string, mno.Progress) error {
			return map[bool]error{true: errDeaf}[f.misses()]
		},
	})
	require.NoError(f.t, err)
	server, err := smdp.NewServer(f.engine, smdp.ServerConfig{
		Auth:    smdp.Credential{Certificate: f.pki.DPAuth.DER, Key: f.pki.DPAuth.Key},
		Binding: smdp.Credential{Certificate: f.pki.DPPB.DER, Key: f.pki.DPPB.Key}, CIs: [][]byte{f.pki.CI.DER},
		MaxDownloads: 1000,
	})
	require.NoError(f.t, err)
	f.es9 = es9.NewHandler(server, nil)
}

// released has the eIM send a device to its order.
func (f *fleet) released(ctx context.Context, p smdp.Profile) error {
	code, err := es9.ActivationCode{Address: "smdp.example", MatchingID: p.MatchingID}.Text()
	require.NoError(f.t, err)
	_, err = f.eim.Trigger(ctx, p.EUICC, eim.Download{ActivationCode: code, ICCID: p.ICCID, Enable: true})
	return err
}

func (f *fleet) startEIM() {
	var err error
	f.eim, err = eim.New(eim.Config{
		ID: "eim.example", Key: f.key, CIs: [][]byte{f.pki.CI.DER}, Open: true, Store: &f.jobs, Now: f.clock,
		MaxHistory: 1000, MaxQueue: 100, Attempts: 4, Notify: f.hear,
	})
	require.NoError(f.t, err)
	relay := &esipa.Relay{Now: f.clock, Dial: func(address string) (es9.Backend, error) {
		require.Equal(f.t, "smdp.example", address)
		return &es9.Client{BaseURL: "http://smdp.example", HTTP: &http.Client{Transport: handler{func() http.Handler { return f.es9 }}}}, nil
	}}
	f.esipa = esipa.NewHandler(f.eim, &esipa.Options{Relay: relay})
}

func (f *fleet) hear(_ context.Context, ev eim.Event) error {
	if f.misses() {
		return errDeaf
	}
	f.news[ev.Job.ID] = append(f.news[ev.Job.ID], ev)
	return nil
}

// handler is a RoundTripper without a network.
type handler struct{ to func() http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	h.to().ServeHTTP(w, r)
	return w.Result(), nil
}

// unit is a device.
type unit struct {
	f        *fleet
	cfg      euicc.ChipConfig
	sealing  hpke.PrivateKey
	chip     *euicc.Chip
	card     *euicc.Card
	indirect bool
	ipa      *esipa.IPA
	trouble  trouble
	ordered  []mno.Receipt
	given    map[string]bool // up: ICCIDs of orders that were cancelled, and IDs of jobs
}

func newUnit(f *fleet, n int, indirect bool) *unit {
	id, err := eid.New(rsptest.EIN + strings.Repeat("0", 21) + string(rune('0'+n)))
	require.NoError(f.t, err)
	identity, err := f.pki.EUICC(id.String())
	require.NoError(f.t, err)
	sealing, err := hpke.DHKEM(ecdh.P256()).GenerateKey()
	require.NoError(f.t, err)
	manager, err := f.eim.Configuration()
	require.NoError(f.t, err)
	roots := x509.NewCertPool()
	roots.AddCert(f.authority.Root())
	u := &unit{f: f, sealing: sealing, indirect: indirect, given: map[string]bool{}, cfg: euicc.ChipConfig{
		EID: id, Certificate: identity.DER, EUM: f.pki.EUM.DER, Key: identity.Key, CIs: [][]byte{f.pki.CI.DER},
		DefaultSMDP: "smdp.example", Issuer: smdp.DefaultIssuer, Now: f.clock, EIMs: [][]byte{manager}, MaxProfiles: 64,
		Trust: profile.TrustRoots(x509.VerifyOptions{Roots: roots, CurrentTime: f.now}),
	}}
	u.insert(nil)
	return u
}

// insert makes the eUICC of a state; nil is a new one.
func (u *unit) insert(state []byte) {
	var err error
	u.card, err = euicc.New(euicc.Config{ID: u.cfg.EID, Key: u.sealing, Registry: downloadRegistry})
	require.NoError(u.f.t, err)
	cfg := u.cfg
	cfg.Card, cfg.State = u.card, state
	u.chip, err = euicc.NewChip(cfg)
	require.NoError(u.f.t, err)
	u.boot()
}

// boot starts the device's program.
func (u *unit) boot() {
	client := func(to func() http.Handler) *http.Client { return &http.Client{Transport: way{u, handler{to}}} }
	manager := &esipa.Client{
		BaseURL: "http://eim.example", Retry: es9.Retry{Attempts: 1},
		HTTP: client(func() http.Handler { return u.f.esipa }),
	}
	u.ipa = &esipa.IPA{EIM: manager, Attempts: 1000, Packages: 1 + u.f.dice.IntN(3), LPA: &es9.LPA{Card: u, Chunk: 255, Dial: func(address string) (es9.Backend, error) {
		require.Equal(u.f.t, "smdp.example", address)
		return &es9.Client{
			BaseURL: "http://smdp.example", Retry: es9.Retry{Attempts: 1},
			HTTP: client(func() http.Handler { return u.f.es9 }),
		}, nil
	}}}
	if u.indirect {
		u.ipa.Indirect = manager
		u.ipa.LPA.Dial = nil
	}
}

// trouble comes with the at-th command or request of a poll; at 0 is none.
type trouble struct {
	kind      kind
	at, count int
	off       bool   // the device has no power
	before    []byte // state from before the command that took the power
}

type kind int

const (
	powerBefore kind = iota // goes before the command is carried out
	powerAfter              // goes with its answer
	noCommand               // one command is lost
	noAnswer                // one answer of the eUICC is lost
	noRequest
	noResponse
	twice
	restartSMDP // before a request
	restartEIM
	cancelJob   // before a request
	lateRequest // comes when the device has given up
	lateAgain   // is carried out, and once more some time
	kinds
)

var errGone = errors.New("gone")

func (x *trouble) now(kinds ...kind) bool {
	for _, k := range kinds {
		if x.kind == k {
			x.count++
			return x.count == x.at
		}
	}
	return false
}

// Transmit is the eUICC's, with trouble.
func (u *unit) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	x := &u.trouble
	if x.off {
		return nil, errGone
	}
	if !x.now(powerBefore, powerAfter, noCommand, noAnswer) {
		return u.chip.Transmit(ctx, command)
	}
	x.off = x.kind == powerBefore || x.kind == powerAfter
	if x.kind == powerBefore || x.kind == noCommand {
		return nil, errGone
	}
	var err error
	x.before, err = u.chip.Snapshot()
	require.NoError(u.f.t, err)
	_, _ = u.chip.Transmit(ctx, command)
	return nil, errGone
}

// way is from a device to a server.
type way struct {
	u *unit
	handler
}

func (w way) RoundTrip(r *http.Request) (*http.Response, error) {
	x, f := &w.u.trouble, w.u.f
	if x.off {
		return nil, errGone
	}
	if !x.now(noRequest, noResponse, twice, restartSMDP, restartEIM, cancelJob, lateRequest, lateAgain) {
		return w.handler.RoundTrip(r)
	}
	switch x.kind {
	case noRequest:
		return nil, errGone
	case noResponse:
		_, _ = w.handler.RoundTrip(r)
		return nil, errGone
	case lateRequest, lateAgain:
		body, err := io.ReadAll(r.Body)
		require.NoError(f.t, err)
		f.late = append(f.late, func() {
			r := r.Clone(context.Background())
			r.Body = io.NopCloser(bytes.NewReader(body))
			_, _ = w.handler.RoundTrip(r)
		})
		if x.kind == lateRequest {
			return nil, errGone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	case twice:
		body, err := io.ReadAll(r.Body)
		require.NoError(f.t, err)
		for range 2 {
			r.Body = io.NopCloser(bytes.NewReader(body))
			if _, err := w.handler.RoundTrip(r); err != nil {
				return nil, err
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	case restartSMDP:
		f.startSMDP()
	case restartEIM:
		f.startEIM()
	case cancelJob:
		w.u.cancelJob()
	}
	return w.handler.RoundTrip(r)
}
