package registry_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/sqlite"
	"github.com/iotregistry/sdk/transfer"
)

// onDisk gives a bench the store and the zone that a small registry has.
func onDisk(b *testing.B) func(*registry.Config) {
	db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "registry.db"))
	require.NoError(b, err)
	store, err := sqlite.Open(b.Context(), db)
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, store.Close())
		require.NoError(b, db.Close())
	})
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: zone + ".", Keys: []publish.Key{{Signer: signer(b), Flags: publish.KSK, Algorithm: 13}},
	})
	require.NoError(b, err)
	return func(c *registry.Config) { c.Store, c.Publisher = store, z }
}

// BenchmarkActivate activates n devices at a time, SQLite and signed zone
// included; ns/device should be flat.
func BenchmarkActivate(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var bare time.Duration
			for b.Loop() {
				b.StopTimer()
				t := newBench(b, onDisk(b))
				ids := t.imported(n)
				bare += primitives(b, n)
				b.StartTimer()
				results, err := t.reg.Activate(b.Context(), parko, registry.Options{}, ids...)
				t.allDone(results, err)
			}
			reportDevices(b, n, bare)
		})
	}
}

// BenchmarkTransferJob has a job transfer devices by their codes, from the
// submission until the operator has the new profiles.
func BenchmarkTransferJob(b *testing.B) {
	const n = 1000
	var bare time.Duration
	for b.Loop() {
		b.StopTimer()
		t := newBench(b, onDisk(b))
		e := &estate{Devices: t.active(n)}
		codes, err := t.reg.IssueCodes(b.Context(), city, e.Devices...)
		require.NoError(b, err)
		for _, c := range codes {
			e.Codes = append(e.Codes, c.Code.Reveal())
		}
		transfer.New(t.reg, transfer.Policy{})
		bare += primitives(b, n)
		b.StartTimer()
		j, err := t.reg.Submit(b.Context(), carPark, registry.Batch{Op: registry.OpTransfer}, e.items())
		require.NoError(b, err)
		_, err = t.reg.Work(b.Context(), root)
		require.NoError(b, err)
		b.StopTimer()
		j, err = t.reg.Job(b.Context(), carPark, j.ID)
		require.NoError(b, err)
		require.Equal(b, []int{n, 0}, []int{j.Done, j.Failed})
		b.StartTimer()
	}
	reportDevices(b, n, bare)
}

// primitives is how long the cryptography of n profiles takes alone, on as many
// goroutines as the registry uses: for each a key, the signatures on
// certificate, seal and CERT record, and the encryption.
func primitives(b *testing.B, n int) time.Duration {
	key := signer(b)
	secret, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(b, err)
	to, err := hpke.NewDHKEMPublicKey(secret.PublicKey())
	require.NoError(b, err)
	plain := make([]byte, 2500) // as an encoded profile
	digest := sha256.Sum256(plain)
	one := func() (err error) {
		_, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		for range 3 {
			_, signErr := ecdsa.SignASN1(rand.Reader, key, digest[:])
			err = errors.Join(err, signErr)
		}
		_, sealErr := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES128GCM(), nil, plain)
		return errors.Join(err, sealErr)
	}
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var all sync.WaitGroup
	begin := time.Now()
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				errs[w] = errors.Join(errs[w], one())
			}
		})
	}
	all.Wait()
	took := time.Since(begin)
	require.NoError(b, errors.Join(errs...))
	return took
}

func reportDevices(b *testing.B, n int, bare time.Duration) {
	took := b.Elapsed()
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*n), "ns/device")
	b.ReportMetric(float64(b.N*n)/took.Seconds(), "devices/s")
	b.ReportMetric(float64(took)/float64(bare), "x-primitives")
}

func BenchmarkMove(b *testing.B) {
	const n = 1000
	for b.Loop() {
		b.StopTimer()
		t := newBench(b, onDisk(b))
		ids := t.active(n)
		codes, err := t.reg.IssueCodes(b.Context(), city, ids...)
		require.NoError(b, err)
		moves := make([]registry.Move, n)
		for i, c := range codes {
			moves[i] = registry.Move{Device: c.Device, Code: c.Code}
		}
		b.StartTimer()
		results, err := t.reg.Move(b.Context(), carPark, moves, registry.MoveOptions{})
		t.allDone(results, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/device")
}
