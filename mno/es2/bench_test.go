package es2_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnotest"
)

const sealedSize = 3000

// BenchmarkOrder is one whole order, DownloadOrder and ConfirmOrder with a
// sealed profile of 3 kB, over HTTPS with mutual TLS on a kept connection.
// Compare with BenchmarkBareRequests.
func BenchmarkOrder(b *testing.B) {
	c := dial(b, es2.NewHandler(engine(b), nil))
	n := 0
	for b.Loop() {
		o := mnotest.Order(b, n, 1)
		o.Sealed = make([]byte, sealedSize)
		if _, err := c.Order(b.Context(), o); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkBareRequests is what an order cannot do without: two HTTPS requests
// of the same size over the same kind of connection.
func BenchmarkBareRequests(b *testing.B) {
	c := dial(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(make([]byte, 150))
	}))
	bodies := [][]byte{make([]byte, sealedSize*4/3+300), make([]byte, 250)}
	for b.Loop() {
		for _, body := range bodies {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, c.BaseURL, bytes.NewReader(body))
			require.NoError(b, err)
			res, err := c.HTTP.Do(r)
			require.NoError(b, err)
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
}

// BenchmarkOrderParallel is BenchmarkOrder by 16 callers at once.
func BenchmarkOrderParallel(b *testing.B) {
	c := dial(b, es2.NewHandler(engine(b), nil))
	next := make(chan int, 1)
	next <- 0
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := <-next
			next <- n + 1
			o := mnotest.Order(b, n, 1)
			o.Sealed = make([]byte, sealedSize)
			if _, err := c.Order(b.Context(), o); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
