package mnosim_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

// world is an operator on two HTTPS servers, and a registry that takes news.
type world struct {
	op     *mnosim.Operator
	orders *es2.Client
	url    string
	eim    string
	http   *http.Client
	mu     sync.Mutex
	news   []mno.Progress
	away   atomic.Bool // the registry takes no news
	log    bytes.Buffer
}

func newWorld(t testing.TB, change ...func(*mnosim.Config)) *world {
	x, w := mnotest.NewTLS(t), &world{}
	registry := x.Serve(t, es2.NewProgressHandler(func(_ context.Context, p mno.Progress) error {
		if w.away.Load() {
			return errors.New("away")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.news = append(w.news, p)
		return nil
	}, nil))
	w.http = x.HTTP(t)
	retry := es2.Retry{Attempts: 3, Min: time.Microsecond}
	back := &es2.Client{BaseURL: registry, HTTP: w.http, Requester: "smdp", Retry: retry}
	var err error
	cfg := mnosim.Config{
		Notify: back.HandleDownloadProgressInfo, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		SMDP: smdp.Config{EUICC: func(_ context.Context, device eid.ID) (eid.ID, error) { return eidOf(device) }},
	}
	for _, f := range change {
		f(&cfg)
	}
	w.op, err = mnosim.New(cfg)
	require.NoError(t, err)
	w.orders = &es2.Client{BaseURL: x.Serve(t, w.op.Handler()), HTTP: w.http, Requester: "registry", Retry: retry}
	w.url = x.Serve(t, w.op.DeviceHandler())
	w.eim = x.Serve(t, w.op.EIMHandler())
	return w
}

// eidOf returns the EID of the suite's devices, whose own IDs are none.
func eidOf(device eid.ID) (eid.ID, error) {
	if len(device.String()) != 16 {
		return eid.ID{}, nil
	}
	return eid.New("8904903212" + "0000" + device.String())
}

// device puts an eUICC into the n-th device.
func (w *world) device(t testing.TB, n int) *device {
	id, err := eidOf(mnotest.Order(t, n, 0).Device)
	require.NoError(t, err)
	own, err := w.op.EUICC(id)
	require.NoError(t, err)
	chip, err := euicc.NewChip(euicc.ChipConfig{EID: own.EID, Certificate: own.Certificate, EUM: own.EUM, Key: own.Key, CIs: own.CIs, EIMs: own.EIMs})
	require.NoError(t, err)
	return &device{chip, &es9.LPA{Card: chip, Chunk: 255, Dial: func(address string) (es9.Backend, error) {
		require.Equal(t, "smdp.example", address)
		return &es9.Client{BaseURL: w.url, HTTP: w.http, Retry: es9.Retry{Attempts: 1}}, nil
	}}}
}

type device struct {
	chip *euicc.Chip
	lpa  *es9.LPA
}

// update downloads what waits for the device.
func (d *device) update(ctx context.Context) error {
	r, err := d.lpa.Download(ctx, es9.ActivationCode{Address: "smdp.example"}, nil)
	return errors.Join(err, r.Unsent)
}

func (w *world) order(t testing.TB, n int, profileID uint64) mno.Receipt {
	r, err := w.orders.Order(t.Context(), mnotest.Order(t, n, profileID))
	require.NoError(t, err)
	return r
}

func (w *world) state(t testing.TB, iccid string) mno.State {
	p, err := w.op.Engine().Profile(t.Context(), iccid)
	require.NoError(t, err)
	return p.State
}

func TestOperatorSuite(t *testing.T) {
	t.Parallel()
	mnotest.TestOperator(t, func(t *testing.T) mno.Operator { return newWorld(t).orders })
}

func TestFromOrderToInstalled(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	d := w.device(t, 1)
	require.ErrorContains(t, d.update(ctx), "no such order")
	r := w.order(t, 1, 11)
	require.NoError(t, d.update(ctx))
	require.Equal(t, mno.Installed, w.state(t, r.ICCID))
	require.ErrorIs(t, w.orders.Cancel(ctx, r), mno.ErrICCIDNotAvailable)
	require.Len(t, w.news, 1)
	require.Equal(t, r.ICCID, w.news[0].ICCID)
	require.Equal(t, mnotest.Order(t, 1, 0).Device, w.news[0].Device, "not the EID")
	require.Equal(t, mno.PointInstall, w.news[0].Point)
	require.Nil(t, w.news[0].Failure)

	w.order(t, 1, 16) // the transfer
	d.chip.SetFaults(euicc.Faults{Install: &euicc.InstallFault{Reason: 10}})
	require.Error(t, d.update(ctx))
	require.Equal(t, "8.1", w.news[1].Failure.Subject)
	require.ErrorContains(t, d.update(ctx), "no such order", "it has ended")
}

// With nobody at the device, the operator's eIM has it download what was ordered,
// and enable it.
func TestZeroTouch(t *testing.T) {
	t.Parallel()
	for name, indirect := range map[string]bool{"direct": false, "through the eIM": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, ctx := newWorld(t), t.Context()
			r, d := w.order(t, 1, 11), w.device(t, 1)
			client := &esipa.Client{BaseURL: w.eim, HTTP: w.http}
			ipa := esipa.IPA{LPA: d.lpa, EIM: client, EIMID: mnosim.EIMID}
			if indirect {
				ipa.Indirect = client
				d.lpa.Dial = func(string) (es9.Backend, error) { return nil, errors.New("no way to SM-DP+s") }
			}
			report, err := ipa.Poll(ctx)
			require.NoError(t, err, "%s", report)
			require.Equal(t, mno.Installed, w.state(t, r.ICCID))
			require.True(t, d.chip.Profiles()[0].Enabled)
			var points []mno.Point
			for _, p := range w.news {
				points = append(points, p.Point)
			}
			require.Equal(t, []mno.Point{mno.PointInstall, smdp.PointEnabled}, points)

			next := w.order(t, 1, 16) // the transfer
			report, err = ipa.Poll(ctx)
			require.NoError(t, err, "%s", report)
			profiles := d.chip.Profiles()
			require.Equal(t, []string{r.ICCID, next.ICCID}, []string{profiles[0].ICCID, profiles[1].ICCID})
			require.Equal(t, []bool{false, true}, []bool{profiles[0].Enabled, profiles[1].Enabled})
			status, err := w.op.EIM().Status(ctx, d.chip.EID())
			require.NoError(t, err)
			require.Empty(t, status.Waiting)
			require.Len(t, status.Done, 4)
		})
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *mnosim.Config) { c.Wait = true })
	r, d := w.order(t, 1, 11), w.device(t, 1)
	_, err := (&esipa.IPA{LPA: d.lpa, EIM: &esipa.Client{BaseURL: w.eim, HTTP: w.http}}).Poll(t.Context())
	require.NoError(t, err)
	require.Equal(t, mno.Installed, w.state(t, r.ICCID))
	require.False(t, d.chip.Profiles()[0].Enabled)
}

func TestNewsAreRepeatedByTheDevice(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	r := w.order(t, 1, 11)
	d := w.device(t, 1)
	w.away.Store(true)
	require.Error(t, d.update(ctx), "installed, but nobody knows")
	require.Contains(t, w.log.String(), "did not take the news")
	w.away.Store(false)
	for want := range 2 {
		sent, err := d.lpa.ProcessNotifications(ctx)
		require.NoError(t, err)
		require.Equal(t, 1-want, sent)
	}
	require.Equal(t, mno.Installed, w.state(t, r.ICCID))
	require.Len(t, w.news, 1)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]mnosim.Fault{"drop": mnosim.Drop, "drop reply": mnosim.DropReply,
		"fail": mnosim.Fail, "duplicate": mnosim.Duplicate, "delay": mnosim.Delay} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, ctx := newWorld(t), t.Context()
			w.op.Inject(fault, 2, time.Millisecond)
			r := w.order(t, 1, 11)
			require.Equal(t, r, w.order(t, 1, 11), "one order, whatever happened on the way")

			d := w.device(t, 1)
			w.op.Inject(fault, 1, time.Millisecond)
			err := d.update(ctx)
			lost := fault != mnosim.Duplicate && fault != mnosim.Delay
			require.Equal(t, lost, err != nil, "%v", err)
			if lost {
				require.NoError(t, d.update(ctx), "coming again helps")
			}
			require.Len(t, w.news, 1)
			require.Equal(t, mno.Installed, w.state(t, r.ICCID))
		})
	}
}

func TestInjectCanBeEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.op.Inject(mnosim.Fail, 1000, 0)
	w.op.Inject(mnosim.Fault(99), 1000, 0) // no such fault: nothing
	_, err := w.orders.Order(t.Context(), mnotest.Order(t, 1, 11))
	require.True(t, mno.Retryable(err))
	w.op.Inject(mnosim.Fail, 0, 0)
	w.order(t, 1, 11)
}

func TestEUICC(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.op.EUICC(mnotest.ID(t, "1000000000000001"))
	require.ErrorContains(t, err, "no EID")
	for _, maker := range []string{"89049032", "89033023"} { // EIDs of several makers, one PKI
		id, err := eid.New(maker + "0000000000000000000001")
		require.NoError(t, err)
		own, err := w.op.EUICC(id)
		require.NoError(t, err)
		card, err := (&cert.Verifier{CIs: own.CIs}).EUICC(own.Certificate, own.EUM, nil)
		require.NoError(t, err)
		require.Equal(t, id.String(), card.EID.String())
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	t.Parallel()
	var cfg mnosim.Config
	cfg.SMDP.IIN = "x"
	_, err := mnosim.New(cfg)
	require.ErrorContains(t, err, "IIN")
}

func TestManyDevicesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	devices := make([]*device, 64)
	for n := range devices {
		devices[n] = w.device(t, n)
	}
	var wg sync.WaitGroup
	for n := range devices {
		wg.Go(func() {
			_, err := w.orders.Order(t.Context(), mnotest.Order(t, n, uint64(n+1)))
			if err == nil {
				err = devices[n].update(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, w.news, 64)
}
