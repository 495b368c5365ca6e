package mnosim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/mno/mnotest"
)

// world is an operator on two HTTPS servers, and a registry that takes news.
type world struct {
	op     *mnosim.Operator
	orders *es2.Client
	url    string
	http   *http.Client
	mu     sync.Mutex
	news   []mno.Progress
	away   atomic.Bool // the registry takes no news
	log    bytes.Buffer
}

func newWorld(t testing.TB) *world {
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
	w.op, err = mnosim.New(mnosim.Config{Notify: back.HandleDownloadProgressInfo, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	require.NoError(t, err)
	w.orders = &es2.Client{BaseURL: x.Serve(t, w.op.Handler()), HTTP: w.http, Requester: "registry", Retry: retry}
	w.url = x.Serve(t, w.op.DeviceHandler())
	return w
}

func (w *world) device(t testing.TB, n int) *mnosim.Device {
	return &mnosim.Device{BaseURL: w.url, HTTP: w.http, Device: mnotest.Order(t, n, 0).Device}
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
	_, _, err := d.Fetch(ctx, 0)
	require.ErrorIs(t, err, mnosim.ErrNothing)
	r := w.order(t, 1, 11)
	sealed, id, err := d.Fetch(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, mnotest.Order(t, 1, 11).Sealed, sealed)
	require.Equal(t, uint64(11), id)
	require.Equal(t, mno.Downloaded, w.state(t, r.ICCID))
	require.ErrorIs(t, w.orders.Cancel(ctx, r), mno.ErrICCIDNotAvailable)
	require.NoError(t, d.Installed(ctx, 11, nil))
	require.Equal(t, mno.Installed, w.state(t, r.ICCID))
	require.Len(t, w.news, 1)
	require.Equal(t, r.ICCID, w.news[0].ICCID)
	require.Equal(t, d.Device, w.news[0].Device)
	require.Equal(t, mno.PointInstall, w.news[0].Point)
	require.Nil(t, w.news[0].Failure)

	w.order(t, 1, 16) // the transfer
	_, id, err = d.Fetch(ctx, 11)
	require.NoError(t, err)
	require.Equal(t, uint64(16), id)
	long := errors.New("out of memory " + strings.Repeat("!", 1000))
	require.NoError(t, d.Installed(ctx, 16, long))
	require.Equal(t, "8.2.10", w.news[1].Failure.Subject)
	require.Contains(t, w.news[1].Failure.Message, "out of memory")
	require.LessOrEqual(t, len(w.news[1].Failure.Message), 200)
	_, _, err = d.Fetch(ctx, 11)
	require.ErrorIs(t, err, mnosim.ErrNothing)
}

func TestNewsAreRepeatedByTheDevice(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	w.order(t, 1, 11)
	d := w.device(t, 1)
	_, _, err := d.Fetch(ctx, 0)
	require.NoError(t, err)
	w.away.Store(true)
	err = d.Installed(ctx, 11, nil)
	require.True(t, mno.Retryable(err), "%v", err)
	require.Contains(t, w.log.String(), "did not take the news")
	w.away.Store(false)
	require.NoError(t, d.Installed(ctx, 11, nil))
	require.NoError(t, d.Installed(ctx, 11, nil))
	require.Len(t, w.news, 1)
}

func TestReportsThatDoNotFit(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	w.order(t, 1, 11)
	var ce *mnosim.CallError
	require.ErrorAs(t, w.device(t, 2).Installed(ctx, 11, nil), &ce)
	require.Equal(t, 404, ce.Status)
	err := w.device(t, 1).Installed(ctx, 11, nil)
	require.ErrorAs(t, err, &ce)
	require.Equal(t, 409, ce.Status, "not downloaded")
	require.False(t, mno.Retryable(err))
	require.Empty(t, w.news)
	for body, code := range map[string]int{
		"": 400, "{": 400, `{"deviceId":"a b"}`: 400, `{"deviceId":1}`: 400, `{}`: 400,
		`{"deviceId":"1","x":"` + strings.Repeat("x", 10000) + `"}`: 400, `{"deviceId":"77"}`: 204,
	} {
		res, err := w.http.Post(w.url+mnosim.PathDownload, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, code, res.StatusCode, "%.40s", body)
	}
	res, err := w.http.Get(w.url + mnosim.PathDownload)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 405, res.StatusCode)
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
			_, _, err := d.Fetch(ctx, 0)
			lost := fault != mnosim.Duplicate && fault != mnosim.Delay
			require.Equal(t, lost, mno.Retryable(err), "%v", err)
			sealed, _, err := d.Fetch(ctx, 0)
			require.NoError(t, err, "fetching again helps")
			require.Equal(t, mnotest.Order(t, 1, 11).Sealed, sealed)

			w.op.Inject(fault, 1, time.Millisecond)
			require.Equal(t, lost, d.Installed(ctx, 11, nil) != nil)
			require.NoError(t, d.Installed(ctx, 11, nil), "reporting again helps")
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

func TestDeviceDoubtsTheOperator(t *testing.T) {
	t.Parallel()
	x := mnotest.NewTLS(t)
	for name, answer := range map[string]string{
		"no JSON": "hello", "old profile": `{"profileId":11,"sealed":"AAAA"}`, "nothing in it": `{"profileId":12}`,
		"endless": `{"profileId":12,"sealed":"` + strings.Repeat("A", 1<<20) + `"}`,
	} {
		url := x.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		d := &mnosim.Device{BaseURL: url, HTTP: x.HTTP(t), Device: mnotest.Order(t, 1, 0).Device}
		_, _, err := d.Fetch(t.Context(), 11)
		var ce *mnosim.CallError
		require.ErrorAs(t, err, &ce, name)
		require.Contains(t, err.Error(), "mnosim: operator answered HTTP 200", name)
	}
	_, _, err := (&mnosim.Device{}).Fetch(t.Context(), 0)
	require.ErrorContains(t, err, "set BaseURL and Device")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	d := &mnosim.Device{BaseURL: "https://127.0.0.1:1", HTTP: x.HTTP(t), Device: mnotest.Order(t, 1, 0).Device}
	_, _, err = d.Fetch(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, mno.Retryable(err))
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
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			_, err := w.orders.Order(t.Context(), mnotest.Order(t, n, uint64(n+1)))
			d := w.device(t, n)
			if err == nil {
				_, _, err = d.Fetch(t.Context(), 0)
			}
			if err == nil {
				err = d.Installed(t.Context(), uint64(n+1), nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, w.news, 64)
}
