package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopLevelHoldsOnlyRooms(t *testing.T) {
	t.Parallel()
	root, err := Root()
	require.NoError(t, err)
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	require.Empty(t, strangers(names), "give it a room, or a line in topLevel")
	for name, what := range topLevel {
		if !slices.Contains(names, name) {
			t.Logf("not there (yet): %s (%s)", name, what)
		}
	}
	require.Equal(t, []string{"utils", "main.go"}, strangers([]string{"dane", "utils", "main.go", "readme_test.go"}))
}

func TestPackageComments(t *testing.T) {
	t.Parallel()
	own, _ := load(t)
	for _, p := range own {
		src, err := parse(p.Dir, p.GoFiles)
		require.NoError(t, err)
		switch text := src.packageComment(); {
		case len(p.GoFiles) == 0: // tests only
		case p.Name == "main" && !strings.HasPrefix(text, "Command "+filepath.Base(p.Dir)+" "):
			t.Errorf("%s: the comment must start with \"Command %s \"", p.Rel(), filepath.Base(p.Dir))
		case p.Name != "main" && !strings.HasPrefix(text, "Package "+p.Name+" "):
			t.Errorf("%s: the comment must start with \"Package %s \"", p.Rel(), p.Name)
		}
	}
}

func TestRootDocLinksEveryPublicPackage(t *testing.T) {
	t.Parallel()
	own, _ := load(t)
	var linked map[string]bool
	for _, p := range own {
		if p.Rel() == "." {
			src, err := parse(p.Dir, p.GoFiles)
			require.NoError(t, err)
			linked = links(src.packageComment())
		}
	}
	for _, p := range own {
		if p.Public() && p.Rel() != "." && !linked[p.Rel()] {
			t.Errorf("doc.go does not link [%s]", p.ImportPath)
		}
		delete(linked, p.Rel())
	}
	for gone := range linked {
		t.Errorf("doc.go links %s, which is no package", gone)
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	own, _ := load(t)
	for _, p := range own {
		if !p.Public() {
			continue
		}
		src, err := parse(p.Dir, p.GoFiles)
		require.NoError(t, err)
		for _, line := range src.undocumented() {
			t.Errorf("%s/%s", p.Rel(), line)
		}
	}
}

func TestLibrariesHaveManners(t *testing.T) {
	t.Parallel()
	own, _ := load(t)
	for _, p := range own {
		if !p.Library() {
			continue
		}
		src, err := parse(p.Dir, p.GoFiles)
		require.NoError(t, err)
		for _, line := range src.manners() {
			t.Errorf("%s/%s", p.Rel(), line)
		}
	}
}

func TestGlobsInTestsMatch(t *testing.T) {
	t.Parallel()
	root, err := Root()
	require.NoError(t, err)
	own, _ := load(t)
	for _, p := range own {
		src, err := parse(p.Dir, slices.Concat(p.TestGoFiles, p.XTestGoFiles))
		require.NoError(t, err)
		for _, line := range src.emptyGlobs(p.Dir, root) {
			t.Errorf("%s/%s", p.Rel(), line)
		}
	}
}

// What follows tries the checks on code that breaks them.

func fixture(t *testing.T, text string) *source {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte("package x\n"+text), 0o600))
	src, err := parse(dir, []string{"x.go"})
	require.NoError(t, err)
	return src
}

func TestUndocumentedFindsEachKind(t *testing.T) {
	t.Parallel()
	bad := fixture(t, `
func F() {}
// Wrong start.
func G() {}
const C = 1
var V int
type T struct{}
func (T) M() {}
// I is documented.
type I interface{ Do() }
`)
	require.Equal(t, []string{
		"x.go:3: F needs a comment that starts with its name",
		"x.go:5: G needs a comment that starts with its name",
		"x.go:6: C needs a comment, its own or its group's",
		"x.go:7: V needs a comment, its own or its group's",
		"x.go:8: T needs a comment that starts with its name",
		"x.go:9: M needs a comment that starts with its name",
		"x.go:11: I.Do needs a comment",
	}, bad.undocumented())
	good := fixture(t, `
// F does.
func F() {}
// The kinds.
const ( A = 1; B = 2 )
type (
	// T is.
	T struct {
		N int // how many
		hidden int
	}
)
// A U holds its Size.
type U[P any] struct { Size int }
// M does.
func (u *U[P]) M() {}
type hidden struct{}
func (hidden) M() {}
`)
	require.Empty(t, good.undocumented())
}

func TestMannersFindEachKind(t *testing.T) {
	t.Parallel()
	bad := fixture(t, `
import ("fmt"; "log"; "os"; stdctx "context"; "log/slog")
func init() {}
func f() { fmt.Println(); log.Fatal(); os.Exit(1); panic(1); println() }
type T struct{ ctx stdctx.Context }
var l = slog.Default()
func MustF() { panic("documented") }
`)
	var what []string
	for _, line := range bad.manners() {
		_, text, _ := strings.Cut(line, ": ")
		what = append(what, strings.SplitN(text, ":", 2)[0])
	}
	require.Equal(t, []string{
		"init function", "fmt.Println", "log.Fatal", "os.Exit", "panic", "println",
		"context in a struct", "slog.Default",
	}, what)
	good := fixture(t, `
import ("fmt"; "log/slog"; "context"; "net/http")
type call struct { ctx context.Context }
func g(broken bool) {
	if broken {
		// json carries every type of this package
		panic("x: cannot happen")
	}
	panic(http.ErrAbortHandler)
}
func f(ctx context.Context, log *slog.Logger) error { log.Info("x"); return fmt.Errorf("x: %w", ctx.Err()) }
`)
	require.Empty(t, good.manners())
}

func TestEmptyGlobsAreFound(t *testing.T) {
	t.Parallel()
	src := fixture(t, `
import "path/filepath"
func f() {
	filepath.Glob("testdata/*.none")
	filepath.Glob(filepath.Join("testdata", "*.none"))
	filepath.Glob("*.go")
	filepath.Glob("../shared/*")
}
`)
	dir := filepath.Dir(src.fset.Position(src.files[0].Pos()).Filename)
	require.Len(t, src.emptyGlobs(dir, dir), 2)
}

func TestLinks(t *testing.T) {
	t.Parallel()
	got := links("See [" + Module + "/dane.Verifier.Service], [" + Module + "/dane/dnssec] and " + Module + "/mno.")
	require.Equal(t, map[string]bool{"dane": true, "dane/dnssec": true}, got)
}
