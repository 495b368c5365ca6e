package registry

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadCSVLimits(t *testing.T) {
	t.Parallel()
	const list = "Device ID,Model,Version\n1,M,1\nx,M,1\n2,M,1\n"
	for name, c := range map[string]struct {
		limits    csvLimits
		rows, bad int
		err       error
	}{
		"enough": {csvLimits{int64(len(list)), 2, 1}, 2, 1, nil},
		"bytes":  {csvLimits{int64(len(list)) - 1, 9, 9}, 1, 1, ErrTooLarge},
		"rows":   {csvLimits{1000, 1, 9}, 1, 1, ErrTooLarge},
		"wrong":  {csvLimits{1000, 9, 0}, 1, 0, ErrTooLarge},
	} {
		rows, bad, err := readCSV(strings.NewReader(list), csvColumns, ErrHeader, c.limits)
		require.ErrorIs(t, err, c.err, name)
		require.Len(t, rows, c.rows, name)
		require.Len(t, bad, c.bad, name)
	}
}
