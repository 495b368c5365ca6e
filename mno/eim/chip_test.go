package eim_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

// lossy is the way to an eIM that loses the nth call, or its answer.
type lossy struct {
	esipa.Backend
	n, count int
	answer   bool
}

var errLost = errors.New("lost on the way")

func (l *lossy) call(f func() error) error {
	l.count++
	if l.count == l.n && !l.answer {
		return errLost
	}
	n := l.count
	if err := f(); err != nil || n != l.n {
		return err
	}
	return errLost
}

func (l *lossy) GetEIMPackage(ctx context.Context, p esipa.Poll) (b []byte, err error) {
	err = l.call(func() (err error) { b, err = l.Backend.GetEIMPackage(ctx, p); return err })
	return b, err
}

func (l *lossy) ProvideEIMPackageResult(ctx context.Context, r esipa.Result) (done []int64, err error) {
	err = l.call(func() (err error) { done, err = l.Backend.ProvideEIMPackageResult(ctx, r); return err })
	return done, err
}

// wholeWay is all that this module has between an operator and an eUICC.
type wholeWay struct {
	*world
	chip *euicc.Chip
	book *smdp.Engine
	ipa  *esipa.IPA
	way  *lossy
}

func newWholeWay(t *testing.T) *wholeWay {
	w := &wholeWay{world: newWorld(t, func(c *eim.Config) { c.Open = true })}
	own, err := w.pki.EUICC(rsptest.EID)
	require.NoError(t, err)
	config, err := w.eim.Configuration()
	require.NoError(t, err)
	w.chip, err = euicc.NewChip(euicc.ChipConfig{
		EID: eid.MustParse(rsptest.EID), Certificate: own.DER, EUM: w.pki.EUM.DER, Key: own.Key,
		CIs: [][]byte{w.pki.CI.DER}, Now: w.clock, EIMs: [][]byte{config},
	})
	require.NoError(t, err)
	w.book, err = smdp.New(smdp.Config{Address: "smdp.example", Now: w.clock, Released: w.released})
	require.NoError(t, err)
	server, err := smdp.NewServer(w.book, smdp.ServerConfig{
		Auth:    smdp.Credential{Certificate: w.pki.DPAuth.DER, Key: w.pki.DPAuth.Key},
		Binding: smdp.Credential{Certificate: w.pki.DPPB.DER, Key: w.pki.DPPB.Key}, CIs: [][]byte{w.pki.CI.DER},
	})
	require.NoError(t, err)
	site := httptest.NewTLSServer(esipa.NewHandler(w.eim, nil))
	t.Cleanup(site.Close)
	w.way = &lossy{Backend: &esipa.Client{BaseURL: site.URL, HTTP: site.Client()}}
	w.ipa = &esipa.IPA{EIM: w.way, EIMID: eimID, LPA: &es9.LPA{
		Card: w.chip, Dial: func(string) (es9.Backend, error) { return server, nil },
	}}
	return w
}

// released has the device come for an order.
func (w *wholeWay) released(ctx context.Context, p smdp.Profile) error {
	code, err := es9.ActivationCode{Address: "smdp.example", MatchingID: p.MatchingID}.Text()
	if err == nil {
		_, err = w.eim.Trigger(ctx, p.EUICC, eim.Download{ActivationCode: code, ICCID: p.ICCID, Enable: true})
	}
	return err
}

// order has a profile made ready and returns its ICCID.
func (w *wholeWay) order(number uint64) string {
	r, err := w.book.Operator("registry").Order(w.t.Context(), mno.Order{
		Device: eid.MustParse(rsptest.EID), ProfileID: number, Sealed: []byte("sealed"), ProfileType: "iot",
	})
	require.NoError(w.t, err)
	return r.ICCID
}

// An order makes an eUICC download, install and enable its profile, whatever is
// lost between device and eIM.
func TestFromOrderToProfile(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		clean := true
		for _, answer := range []bool{false, true} {
			w := newWholeWay(t)
			w.way.n, w.way.answer = n, answer
			iccid := w.order(11)
			for range 4 {
				_, err := w.ipa.Poll(t.Context())
				clean = clean && err == nil
			}
			require.Len(t, w.chip.Profiles(), 1, "call %d, answer %t", n, answer)
			require.True(t, w.chip.Profiles()[0].Enabled, "call %d, answer %t", n, answer)
			news := w.news()
			require.Len(t, news, 2, "call %d, answer %t", n, answer)
			for _, ev := range news {
				require.Equal(t, eim.Succeeded, ev.Job.State, ev.Job.Failure)
			}
			p, err := w.book.Profile(t.Context(), iccid)
			require.NoError(t, err)
			require.Equal(t, mno.Installed, p.State)
		}
		if clean && n > 0 {
			require.Greater(t, n, 8, "there is more to lose")
			return
		}
	}
}

// What the simulated eUICC makes of each operation is understood here.
func TestOperationsOfAChip(t *testing.T) {
	t.Parallel()
	w := newWholeWay(t)
	id := eid.MustParse(rsptest.EID)
	first := w.order(11)
	_, err := w.ipa.Poll(t.Context())
	require.NoError(t, err)
	second := w.order(12) // enabled in place of the first
	_, err = w.ipa.Poll(t.Context())
	require.NoError(t, err)
	require.Len(t, w.news(), 4)
	for _, c := range []struct {
		rule   string
		ops    []eim.Operation
		failed string
		codes  []int
	}{
		{"all at once", []eim.Operation{eim.List{}, eim.Enable{ICCID: first, Rollback: true}, eim.SetDefaultSMDP{Address: "smdp.example"}}, "", []int{0, 0, 0}},
		{"one is enabled", []eim.Operation{eim.Delete{ICCID: first}, eim.List{}}, "delete", []int{2, 0}},
		{"no list after a change", []eim.Operation{eim.Disable{ICCID: first}, eim.List{}}, "list: code 11", []int{0, 11}},
		{"no way back", []eim.Operation{eim.Enable{ICCID: first, Rollback: true}}, "enable: ", []int{20}},
		{"deleted", []eim.Operation{eim.Delete{ICCID: second}}, "", []int{0}},
		{"listed", []eim.Operation{eim.List{}}, "", []int{0}},
	} {
		_, err := w.eim.Manage(t.Context(), id, c.ops...)
		require.NoError(t, err, c.rule)
		_, err = w.ipa.Poll(t.Context())
		require.NoError(t, err, c.rule)
		news := w.news()
		require.Len(t, news, 1, c.rule)
		job := news[0].Job
		require.Equal(t, c.failed == "", job.State == eim.Succeeded, "%s: %s", c.rule, job.Failure)
		require.Contains(t, job.Failure, c.failed, c.rule)
		for i, s := range job.Steps {
			require.Equal(t, c.codes[i], s.Code, c.rule)
		}
	}
	s, err := w.eim.Status(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, s.Profiles, 1)
	require.Equal(t, first, s.Profiles[0].ICCID)
	require.False(t, s.Profiles[0].Enabled)
}
