package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRegistry runs everything small and checks what was counted. Times are left
// to the real run.
func TestRegistry(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"registry", "-fleet", "120", "-trials", "1", "-devices", "100", "-kills", "3", "-json"}
	require.Equal(t, 0, run(t.Context(), args, &stdout, &stderr), stderr.String())
	require.Empty(t, stderr.String())
	var r report
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &r))
	require.Equal(t, "registry", r.Bench)
	figures := map[string]measure{}
	for _, m := range r.Measures {
		require.NotContains(t, figures, m.Name)
		require.NotEmpty(t, m.Unit)
		require.Equal(t, m.Goal == nil, m.Met == nil)
		figures[m.Name] = m
	}
	for _, name := range []string{
		"import_and_activate", "activate_ratio", "transfer_job", "transfer_ratio", "import_raw_ratio", "activate_raw_ratio",
		"writers1_rate", "writers8_rate", "growth_tenth_1", "growth_tenth_10", "growth_disk",
	} {
		require.Positive(t, figures[name].Value, name)
	}
	for name, goal := range map[string]float64{"import_and_activate": 0.36, "transfer_job": 0.36, "writers8_time_ratio": 1 / 0.9, "growth_ratio": 1.5} {
		require.InDelta(t, goal, *figures[name].Goal, 1e-9, name)
	}
	require.Zero(t, figures["writers8_errors"].Value)
	require.EqualValues(t, 3, figures["kills"].Value)
	require.GreaterOrEqual(t, figures["kills_transfers"].Value, 2.0)
	for _, name := range findings {
		require.Contains(t, figures, "kills_"+name)
		require.Zero(t, figures["kills_"+name].Value, name)
	}
}

// TestCheckFinds: what has not been transferred at all is wrong in every way in
// which it can be.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	const n = 3
	k := &killing{pristine: filepath.Join(t.TempDir(), "pristine")}
	require.NoError(t, k.prepare(t.Context(), n))
	s, err := newSurvivors(t.Context(), k.records[1:]) // and one name is missing
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	found, err := check(t.Context(), k.pristine, s, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]int{
		"sponsors": n, "live_profiles": n, "zone_names": n - 1, "results": 1, "messages": 2*n + 1,
		"audit_entries": 3*n + 2, "audit_unverified": 1, "work_owed": found["work_owed"],
	}, found)
	require.Greater(t, found["work_owed"], n, "codes, and entries without a place in the trail")
}

// TestMortal: a registry without its estate says so.
func TestMortal(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no estate": {t.TempDir(), "http://127.0.0.1:1", "0"}, "no number": {t.TempDir(), "http://127.0.0.1:1", "one"},
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 1, run(t.Context(), append([]string{mortalCommand}, args...), &stdout, &stderr), name)
		require.NotEmpty(t, stderr.String(), name)
		require.Empty(t, stdout.String(), name)
	}
	// One whose zone cannot be reached does not say that it has finished.
	folder := filepath.Join(t.TempDir(), "pristine")
	require.NoError(t, (&killing{pristine: folder}).prepare(t.Context(), 1))
	var stdout, stderr bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{mortalCommand, folder, "http://127.0.0.1:1", strconv.Itoa(0)}, &stdout, &stderr))
	require.Equal(t, mortalReady+"\n", stdout.String())
	_, err := os.Stat(filepath.Join(folder, "registry.db"))
	require.NoError(t, err)
}
