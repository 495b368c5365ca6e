package smdp_test

import (
	"testing"

	"github.com/iotregistry/sdk/mno/mnotest"
)

// BenchmarkOrder is one whole order in the process, without HTTPS.
func BenchmarkOrder(b *testing.B) {
	local := newEngine(b).Operator("registry")
	n := 0
	for b.Loop() {
		o := mnotest.Order(b, n, 1)
		o.Sealed = make([]byte, 3000)
		if _, err := local.Order(b.Context(), o); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
