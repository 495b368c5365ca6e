package esipa_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	engine "github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// With a real eIM: the device loses its power at any moment, and every job
// succeeds all the same, proven by the eUICC, with news of it once.
func TestPowerLostWithEIM(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		w := newWorld(t, true)
		news := w.manage()
		w.power = &power{Transport: w.chip, at: n}
		w.ipa.LPA.Card, w.ipa.LPA.Chunk, w.way.power = w.power, 255, w.power
		w.oneAttempt()
		code, id := w.order(11)
		device := eid.MustParse(rsptest.EID)
		_, err := news.eim.Trigger(t.Context(), device, engine.Download{ActivationCode: code, Enable: true})
		require.NoError(t, err)
		_, err = news.eim.Manage(t.Context(), device, engine.List{})
		require.NoError(t, err)
		for range 3 {
			_, _ = w.ipa.Poll(t.Context())
			w.chip.Reset()
			w.power.off = false
		}
		w.power.at = 0
		_, err = w.ipa.Poll(t.Context())
		require.NoError(t, err, "APDU %d", n)
		require.Equal(t, mno.Installed, w.state(id), "APDU %d", n)
		require.True(t, w.chip.Profiles()[0].Enabled, "APDU %d", n)
		require.Len(t, news.got, 3, "APDU %d: download, enabling, list", n)
		for _, ev := range news.got {
			require.Equal(t, engine.Succeeded, ev.Job.State, "APDU %d", n)
			require.True(t, ev.Job.Proven, "APDU %d", n)
		}
		if w.power.count < n {
			require.Greater(t, n, 50)
			return
		}
	}
}

// heard is an eIM and the news from it.
type heard struct {
	eim *engine.EIM
	got []engine.Event
}

// manage puts a real eIM in the place of the test's.
func (w *world) manage() *heard {
	h := &heard{}
	var err error
	h.eim, err = engine.New(engine.Config{
		ID: eimID, Key: w.key, CIs: [][]byte{w.ci}, Now: func() time.Time { return w.now },
		Notify: func(_ context.Context, ev engine.Event) error { h.got = append(h.got, ev); return nil },
	})
	require.NoError(w.t, err)
	require.NoError(w.t, h.eim.Register(w.t.Context(), engine.EUICC{EID: eid.MustParse(rsptest.EID), AssociationToken: 7}))
	w.way.next = direct{esipa.NewHandler(h.eim, &esipa.Options{Relay: w.relay})}
	return h
}
