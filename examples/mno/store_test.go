package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/es9"
)

// TestOrdersOutliveTheProgram: what was ordered before a restart is downloaded
// after it, and nobody else can read it.
func TestOrdersOutliveTheProgram(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	r := start(t, data)
	card, chip := r.euicc()
	iccid := r.order(card.EID.String(), "METER-1", "")
	require.Zero(t, r.stop(), "%s", r.log)

	info, err := os.Stat(filepath.Join(data, "orders.db"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	r = start(t, data)
	result, err := r.lpa(chip).Download(t.Context(), es9.ActivationCode{Address: "smdp.example", MatchingID: "METER-1"}, nil)
	require.NoError(t, err)
	require.NoError(t, result.Unsent)
	require.Equal(t, iccid, result.Metadata.ICCID)
}

func TestStoresThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]string{
		"folder": t.TempDir(), "no such folder": filepath.Join(t.TempDir(), "none", "orders.db"), "DSN": "postgres://u:secret@%zz/",
	} {
		code, _, stderr := once(t, "-data", filepath.Join(t.TempDir(), "data"), "-store", store)
		require.Equal(t, 1, code, name)
		require.Contains(t, stderr, "store: ", name)
		require.NotContains(t, stderr, "secret", name)
	}
}
