package smdpsql_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
)

// BenchmarkOrder orders and confirms a profile for a device each time, in the
// process, by one requester and by eight at once.
func BenchmarkOrder(b *testing.B) {
	stores := map[string]func(b *testing.B) smdp.Store{"Memory": func(*testing.B) smdp.Store { return new(smdp.Memory) }}
	for name, empty := range databases {
		stores[name] = func(b *testing.B) smdp.Store { return open(b, empty(b)(b)) }
	}
	for name, make := range stores {
		for callers, label := range map[int]string{1: "1 caller", 8: "8 callers"} {
			b.Run(name+"/"+label, func(b *testing.B) { benchmark(b, make(b), callers) })
		}
	}
}

func benchmark(b *testing.B, s smdp.Store, callers int) {
	e, err := smdp.New(smdp.Config{Address: "smdp.example", Store: s})
	require.NoError(b, err)
	operator := e.Operator("registry")
	sealed := make([]byte, 3000)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				o := mnotest.Order(b, int(n), 1)
				o.Sealed = sealed
				if _, err := operator.Order(b.Context(), o); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
