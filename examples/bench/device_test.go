package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDevice: what is counted is the same on every machine.
func TestDevice(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"device", "-json", "-rtt", "5ms", "-trials", "1", "-program=false"}, &stdout, &stderr), stderr.String())
	var r report
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &r))
	figures := map[string]measure{}
	for _, m := range r.Measures {
		figures[m.Name] = m
	}
	require.Equal(t, 1.0, figures["cold_signatures_made"].Value)
	require.Equal(t, 1.0, figures["warm_signatures_made"].Value)
	require.LessOrEqual(t, figures["warm_queries"].Value, 4.0)
	require.Less(t, figures["warm_apdus"].Value, figures["cold_apdus"].Value)
	for _, name := range []string{"cold_rounds", "cold_queries", "warm_rounds", "warm_queries", "cold_signatures_verified"} {
		require.Positive(t, figures[name].Value, name)
	}
}

func TestHighWater(t *testing.T) {
	t.Parallel()
	mb, err := highWater("Name:\tdevice\nVmHWM:\t   20000 kB\n")
	require.NoError(t, err)
	require.InDelta(t, 20.48, mb, 0.001)
	for _, status := range []string{"", "VmHWM:\tx kB\n"} {
		_, err = highWater(status)
		require.Error(t, err)
	}
	_, err = peakAfter(bytes.NewReader([]byte("{\"event\":\"no profile\"}\n")), 0)
	require.ErrorContains(t, err, "no profile")
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"device", "-trials", "0"}, &stdout, &stderr))
}
