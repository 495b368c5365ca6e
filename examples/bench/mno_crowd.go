package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/profile/euicc"
)

// crowdMemory is what Go's collector is told to keep to (GOMEMLIMIT), in octets, as
// a server's settings would: without it, it collects when it thinks fit.
const crowdMemory = 160 << 20

// many measures downloads over HTTPS of which all are under way at once: each
// waits with its consent until every other has been offered its profile. The
// devices are in this process too, and their memory counts.
func (b *mnoRun) many(ctx context.Context, r *report) error {
	s := r.section("crowd", fmt.Sprintf("%d downloads at once over HTTPS, SM-DP+ and devices in one process", b.crowd))
	op, err := mnosim.New(mnosim.Config{Address: smdpAddress})
	if err != nil {
		return err
	}
	chips := make([]*euicc.Chip, b.crowd)
	for n := range chips {
		if chips[n], err = newChip(op, n); err != nil {
			return err
		}
		if err := b.order(ctx, op, chips[n].EID()); err != nil {
			return err
		}
	}
	web := httptest.NewTLSServer(op.DeviceHandler())
	defer web.Close()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(crowdMemory))
	peak := watchMemory()
	begin := time.Now()
	failed, first := crowd(ctx, web, chips)
	took := time.Since(begin)
	s.goal("errors", float64(failed), "", 0, errorText(first))
	s.goal("memory", peak()/(1<<20), "MiB", 200, "held from the system, the most at any time, under GOMEMLIMIT=160MiB")
	s.add("seconds", took.Seconds(), "s", "")
	s.add("rate", float64(b.crowd)/took.Seconds(), "downloads/s", "")
	return nil
}

// crowd has all chips download, and returns how many could not, and one reason.
func crowd(ctx context.Context, web *httptest.Server, chips []*euicc.Chip) (failed int, first error) {
	var mu sync.Mutex
	var wg, offered sync.WaitGroup
	offered.Add(len(chips))
	for _, chip := range chips {
		wg.Go(func() {
			once := sync.OnceFunc(offered.Done)
			defer once() // one that fails must not keep the others waiting
			client := deviceClient(web)
			defer client.CloseIdleConnections()
			lpa := es9.LPA{Card: chip, Chunk: 255, Dial: func(string) (es9.Backend, error) {
				return &es9.Client{BaseURL: web.URL, HTTP: client}, nil
			}}
			result, err := lpa.Download(ctx, es9.ActivationCode{Address: smdpAddress}, func(es9.Metadata) (string, error) {
				once()
				offered.Wait()
				return "", nil
			})
			if err = errors.Join(err, result.Unsent); err != nil {
				mu.Lock()
				failed, first = failed+1, err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed, first
}

// deviceClient is a device's own connection, as no other device shares it.
func deviceClient(web *httptest.Server) *http.Client {
	base := web.Client().Transport.(*http.Transport).TLSClientConfig
	return &http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: base.RootCAs, ServerName: "example.com"},
			MaxIdleConnsPerHost: 1, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10,
		},
	}
}

// watchMemory looks at what this process has of the system's memory until the
// function it returns is called, which returns the most that it saw, in octets.
func watchMemory() func() float64 {
	debug.FreeOSMemory()
	stop, most := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		peak := held()
		for {
			select {
			case <-tick.C:
				peak = max(peak, held())
			case <-stop:
				most <- max(peak, held())
				return
			}
		}
	}()
	return func() float64 { close(stop); return <-most }
}

func held() float64 {
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return float64(m[0].Value.Uint64() - m[1].Value.Uint64())
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
