package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tryModule runs the real go command on a module with the files and returns
// what testcount makes of it.
func tryModule(t *testing.T, files map[string]string, skips string) (ok bool, out, counts string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.com/x\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir = dir
	events, _ := cmd.CombinedOutput() // its exit status is testcount's matter
	skipsFile, countFile := "", filepath.Join(dir, "counts")
	if skips != "" {
		skipsFile = filepath.Join(dir, "skips")
		if err := os.WriteFile(skipsFile, []byte(skips), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	ok, err := run(bytes.NewReader(events), &text, skipsFile, countFile)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(countFile)
	if err != nil {
		t.Fatal(err)
	}
	return ok, text.String(), strings.TrimSpace(string(written))
}

const head = "package a\n\nimport \"testing\"\n\n"

func TestOutcomes(t *testing.T) {
	cases := []struct {
		rule, code, skips string
		ok                bool
		counts, says      string
	}{
		{"all pass", head + `func TestA(t *testing.T) { t.Run("sub", func(*testing.T) {}) }`, "", true, "2 0", "2 passed, 0 failed"},
		{"one fails", head + `func TestA(*testing.T) {}
func TestB(t *testing.T) { t.Error("because of this") }`, "", false, "1 1", "because of this"},
		{"does not build", head + `func TestA(t *testing.T) { undefinedThing() }`, "", false, "0 1", "undefinedThing"},
		{"panics", head + `func TestA(*testing.T) { panic("boom") }`, "", false, "0 1", "boom"},
		{"exits", head + `import "os"
func TestA(*testing.T) {}
func TestMain(m *testing.M) { m.Run(); os.Exit(3) }`, "", false, "1 1", "=== failed: example.com/x"},
		{"skip allowed by default", head + `func TestA(*testing.T) {}
func TestB(t *testing.T) { t.Skip("no drill here") }`, "", true, "1 0", "no drill here"},
		{"skip allowed by the list", head + `func TestA(*testing.T) {}
func TestB(t *testing.T) { t.Skip("no shared data") }`, "# why\nno shared data\n", true, "1 0", "no shared data"},
		{"skip not allowed", head + `func TestA(*testing.T) {}
func TestB(t *testing.T) { t.Skip("no drill here") }`, "no shared data\n", false, "1 1", "SKIP NOT ALLOWED: example.com/x.TestB"},
		{"no test at all", "package a\n", "", false, "0 0", "0 passed"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			code := strings.Replace(c.code, "import \"testing\"\n\nimport \"os\"", "import (\"testing\"; \"os\")", 1)
			ok, out, counts := tryModule(t, map[string]string{"a_test.go": code}, c.skips)
			if ok != c.ok || counts != c.counts || !strings.Contains(out, c.says) {
				t.Errorf("ok %v, counts %q, output:\n%s", ok, counts, out)
			}
		})
	}
}

func TestGoComplaintIsAFailure(t *testing.T) {
	t.Parallel()
	ok, out, _ := tryModule(t, map[string]string{"a_test.go": "package a\nimport \"example.org/nowhere\"\n"}, "")
	if ok {
		t.Errorf("passed:\n%s", out)
	}
}

func TestBadSkipsFile(t *testing.T) {
	t.Parallel()
	if _, err := run(strings.NewReader(""), &bytes.Buffer{}, filepath.Join(t.TempDir(), "no"), ""); err == nil {
		t.Error("a missing file of skips is no error")
	}
}
