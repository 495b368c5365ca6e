package api_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iotregistry/sdk/internal/api"
	"github.com/iotregistry/sdk/internal/archtest"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the texts anew")

func TestAPIIsTheOneWrittenDown(t *testing.T) {
	root, err := archtest.Root()
	require.NoError(t, err)
	packages, err := archtest.List(t.Context(), root)
	require.NoError(t, err)
	public := map[string]bool{}
	for _, p := range packages {
		if !p.Public() || p.Rel() == "." {
			continue
		}
		file := strings.ReplaceAll(p.Rel(), "/", "_") + ".txt"
		public[file] = true
		t.Run(p.Rel(), func(t *testing.T) {
			got, err := api.Render(p.ImportPath, p.Dir, p.GoFiles)
			require.NoError(t, err)
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "a new package: run go test ./internal/api -update")
			require.Equal(t, string(want), got, "the API of %s changed: if it is meant, run go test ./internal/api -update and tell it in CHANGELOG.md", p.Rel())
		})
	}
	require.NotEmpty(t, public)
	texts, err := filepath.Glob("*.txt")
	require.NoError(t, err)
	for _, text := range texts {
		if public[text] {
			continue
		}
		if *update {
			require.NoError(t, os.Remove(text))
			continue
		}
		t.Errorf("%s is the API of no package: run go test ./internal/api -update", text)
	}
}

func render(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte(text), 0o600))
	got, err := api.Render("example.com/x", dir, []string{"x.go"})
	require.NoError(t, err)
	return got
}

const source = `// Package x is tried.
package x

import "io"

// Limit bounds.
const (
	Limit = 1 << iota // first

	More
	hidden
)

// Err is returned.
var Err = io.EOF

// T holds.
type T[P any] struct {
	// Name of it.
	Name string ` + "`json:\"name\"`" + `

	Longer   io.Reader // aligned
	secret int
}

// Do does.
func (t *T[P]) Do(a, b int) (err error) { return nil }

func (t *T[P]) do() {}

// I is sealed.
type I interface {
	io.Reader
	Get() int // it
	sealed()
}

// New makes.
func New[P any](name string,
	rest ...P) *T[P] { return nil }

// Free is a function.
func Free() {}

func unseen() {}
`

func TestRender(t *testing.T) {
	t.Parallel()
	require.Equal(t, `package x // import "example.com/x"

const (
	Limit = 1 << iota
	More
)

var Err = io.EOF

func Free()

type I interface {
	io.Reader
	Get() int
	// contains filtered or unexported methods
}

type T[P any] struct {
	Name string `+"`json:\"name\"`"+`
	Longer io.Reader
	// contains filtered or unexported fields
}

func New[P any](name string,
	rest ...P) *T[P]

func (t *T[P]) Do(a, b int) (err error)
`, render(t, source))
}

func TestRenderSeesAPIChangesOnly(t *testing.T) {
	t.Parallel()
	before := render(t, source)
	same := strings.NewReplacer(
		"// Name of it.\n", "// Name is the name.\n// On two lines.\n\n",
		"Longer   io.Reader // aligned", "Longer io.Reader",
		"secret int", "secret, other int",
		"return nil", "panic(1)",
	).Replace(source)
	require.NotEqual(t, source, same)
	require.Equal(t, before, render(t, same))
	for old, changed := range map[string]string{
		"Get() int":      "Get() int64",
		"(a, b int)":     "(a, b, c int)",
		`json:"name"`:    `json:"n"`,
		"func Free() {}": "func Free() error { return nil }",
		"1 << iota":      "2 << iota",
	} {
		require.NotEqual(t, before, render(t, strings.Replace(source, old, changed, 1)), old)
	}
}
