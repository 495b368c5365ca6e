package eim_test

import (
	"context"
	"crypto"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/registry/eid"
)

// signer counts signatures.
type signer struct {
	crypto.Signer
	n atomic.Int64
}

func (s *signer) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.n.Add(1)
	return s.Signer.Sign(r, digest, o)
}

// Many polls of one device sign one package.
func TestPollsOfOneDevice(t *testing.T) {
	t.Parallel()
	var key *signer
	w := newWorld(t, func(c *eim.Config) { key = &signer{Signer: c.Key}; c.Key = key })
	c := w.registered(1)
	c.manage(eim.List{})
	var wait sync.WaitGroup
	got := make([][]byte, 32)
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
