package eim_test

import (
	"context"
	"crypto"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// gate is a Memory whose first look-ups wait for each other.
type gate struct {
	eim.Memory
	left atomic.Int64
	open chan struct{}
}

func (g *gate) Find(ctx context.Context, id eid.ID) (eim.Record, error) {
	r, err := g.Memory.Find(ctx, id)
	switch n := g.left.Add(-1); {
	case n == 0:
		close(g.open)
	case n > 0:
		<-g.open
	}
	return r, err
}

// signer counts signatures.
type signer struct {
	crypto.Signer
	n atomic.Int64
}

func (s *signer) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.n.Add(1)
	for range 1000 {
		runtime.Gosched()
	}
	return s.Signer.Sign(r, digest, o)
}

// Many polls of one device sign one package.
func TestPollsOfOneDevice(t *testing.T) {
	t.Parallel()
	var key *signer
	store := &gate{open: make(chan struct{})}
	w := newWorld(t, func(c *eim.Config) { key = &signer{Signer: c.Key}; c.Key, c.Store = key, store })
	c := w.registered(1)
	c.manage(eim.List{})
	var wait sync.WaitGroup
	got := make([][]byte, 32)
	store.left.Store(int64(len(got)))
	for i := range got {
		wait.Go(func() {
			got[i], _ = w.eim.GetEIMPackage(context.Background(), esipa.Poll{EID: c.eid.String(), StateChanged: i%2 == 0})
		})
	}
	wait.Wait()
	for _, pkg := range got {
		require.Equal(t, got[0], pkg)
	}
	require.Equal(t, int64(1), key.n.Load())

	object := c.do(got[0])
	for range 16 {
		wait.Go(func() {
			done, err := w.eim.ProvideEIMPackageResult(context.Background(), esipa.Result{EID: c.eid.String(), Object: object})
			if err != nil || len(done) != 1 {
				t.Errorf("%v %v", done, err)
			}
		})
	}
	wait.Wait()
	require.NotEmpty(t, w.news())
	require.Len(t, c.status().Done, 1)
}

// Many devices, each with its operator at the same time.
func TestManyDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *eim.Config) { c.Open = true })
	cards := make([]*card, 24)
	for i := range cards {
		cards[i] = w.card(i)
	}
	var wait sync.WaitGroup
	for _, c := range cards {
		for _, f := range []func(context.Context, eid.ID) error{
			func(ctx context.Context, id eid.ID) error {
				_, err := w.eim.Trigger(ctx, id, eim.Download{ActivationCode: code, Enable: true})
				return err
			},
			func(ctx context.Context, id eid.ID) error {
				_, err := w.eim.Manage(ctx, id, eim.List{})
				return err
			},
			func(ctx context.Context, id eid.ID) error {
				return w.eim.Register(ctx, eim.EUICC{EID: id, Certificate: c.id.DER, EUM: c.eum})
			},
		} {
			wait.Go(func() {
				if err := f(context.Background(), c.eid); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wait.Wait()
	for _, c := range cards {
		wait.Go(c.work)
	}
	wait.Wait()
	require.Len(t, w.news(), 3*len(cards))
	for _, c := range cards {
		require.True(t, c.enabled[iccid])
		require.Equal(t, int64(2), c.counter)
	}
}
