package web_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

// BenchmarkDevice reads one device over a connection kept open, credential and
// access log included.
func BenchmarkDevice(b *testing.B) {
	x := newBench(b)
	id := x.active(1)[0]
	c := &web.Client{BaseURL: x.front.URL, Token: x.tokens[parko.Account], HTTP: x.front.Client()}
	for b.Loop() {
		_, err := c.Device(b.Context(), id)
		require.NoError(b, err)
	}
}

// BenchmarkSubmitCSV submits a list of 1,000 devices; ns/op for all of them.
func BenchmarkSubmitCSV(b *testing.B) {
	x := newBench(b)
	var list strings.Builder
	list.WriteString("Device ID,Model,Version\n")
	for i := range 1000 {
		fmt.Fprintf(&list, "%d,Meter,1.0\n", i+1)
	}
	c := &web.Client{BaseURL: x.front.URL, Token: x.tokens[parko.Account], HTTP: x.front.Client()}
	for b.Loop() {
		_, err := c.SubmitCSV(b.Context(), registry.Batch{Op: registry.OpImport, Owner: city.Account, MNO: telco.Account}, strings.NewReader(list.String()))
		require.NoError(b, err)
	}
}
