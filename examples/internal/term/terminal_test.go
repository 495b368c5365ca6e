package term

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestLocaleDecidesTheBar(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule string
		env  map[string]string
		want bool
	}{
		{"nothing set", nil, false},
		{"LANG", map[string]string{"LANG": "en_CA.UTF-8"}, true},
		{"other spelling", map[string]string{"LANG": "C.utf8"}, true},
		{"LC_ALL comes first", map[string]string{"LC_ALL": "C", "LANG": "en_CA.UTF-8"}, false},
		{"LC_CTYPE before LANG", map[string]string{"LC_CTYPE": "fr_CA.UTF-8", "LANG": "C"}, true},
	}
	for _, c := range cases {
		require.Equal(t, c.want, utf8Locale(env(c.env)), c.rule)
	}
}

func TestFilesAndBuffersAreNoTerminals(t *testing.T) {
	t.Parallel()
	require.Nil(t, terminalWidth(new(bytes.Buffer), env(nil)))
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer file.Close()
	require.Nil(t, terminalWidth(file, env(nil)))
}
