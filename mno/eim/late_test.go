package eim_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/eim"
)

// A list that comes late is news of its job, and not what the profiles are now.
func TestLateList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.registered(1)
	c.enabled[iccid] = false
	first := c.manage(eim.List{})
	late := c.do(c.poll())
	require.NoError(t, w.eim.Cancel(t.Context(), c.eid, first))
	c.manage(eim.Enable{ICCID: iccid})
	c.manage(eim.List{})
	c.work()
	require.True(t, c.status().Profiles[0].Enabled)
	before := c.status()
	w.news()

	_, err := c.provide(late)
	require.NoError(t, err)
	news := w.news()
	require.Equal(t, first, news[0].Job.ID)
	require.False(t, news[0].Listed[0].Enabled)
	require.Equal(t, before.Profiles, c.status().Profiles)
	require.Equal(t, before.Listed, c.status().Listed)
}

// A download that was taken for failed and is put right is not enabled in place
// of a newer one, which nobody wants back.
func TestLateDownloadIsNotEnabled(t *testing.T) {
	t.Parallel()
	const other = "89000123456789012341"
	w := newWorld(t, func(c *eim.Config) { c.Attempts = 1 })
	c := w.registered(1)
	first := ids(t, c.trigger(eim.Download{ActivationCode: code, Enable: true}))
	c.poll()
	_, err := c.provide(c.encode(noDownload(first)))
	require.NoError(t, err)
	late := c.encode(c.receipt(first, nil))

	second := ids(t, c.trigger(eim.Download{ActivationCode: code + "2", Enable: true}))
	c.poll()
	_, err = c.provide(c.encode(c.receipt(second, func(d *rsp.ProfileInstallationResultData) { d.Notification.ICCID = ptr(rsp.ICCID(other)) })))
	require.NoError(t, err)
	c.work()
	require.True(t, c.enabled[other])
	w.news()

	_, err = c.provide(late)
	require.NoError(t, err)
	news := w.news()
	require.Equal(t, eim.Succeeded, news[0].Job.State)
	require.Contains(t, news[0].Job.Failure, "not enabled")
	require.Nil(t, c.poll())
}

// The last news of a job is what became of it, however its results meet.
func TestNewsInOrder(t *testing.T) {
	t.Parallel()
	var (
		w    *world
		c    *card
		good []byte
		wait sync.WaitGroup
		mu   sync.Mutex
		last eim.Event
	)
	w = newWorld(t, func(cfg *eim.Config) {
		cfg.Attempts = 1
		cfg.Notify = func(ctx context.Context, ev eim.Event) error {
			if ev.Job.State == eim.Failed {
				wait.Go(func() { _, _ = c.provide(good) })
				for range 100_000 { // would be enough for it to overtake
					runtime.Gosched()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			last = ev
			return nil
		}
	})
	c = w.registered(1)
	c.manage(eim.List{})
	good = c.do(c.poll())
	_, err := c.provide(failure(nil, rsp.ResultUndefined))
	require.NoError(t, err)
	wait.Wait()
	require.Equal(t, eim.Succeeded, c.status().Done[0].State)
	require.Equal(t, eim.Succeeded, last.Job.State)
}
