package archtest

import (
	"os"
	"path/filepath"
	"strings"
)

// topLevel is all that the root of the repository may hold. Everything else has
// a room, or needs a line here.
var topLevel = map[string]string{
	"registry": "room", "profile": "room", "dane": "room", "mno": "room", "transfer": "room",
	"examples": "programs", "internal": "shared and not for users",
	"doc.go": "the story", "go.mod": "module", "go.sum": "module",
	"README.md": "first screen", "CHANGELOG.md": "what changed", "LICENSE": "Apache-2.0",
	"CONTRIBUTING.md": "how to work on it", "SECURITY.md": "how to report",
	"docs": "longer texts", ".ci": "the checks", ".gitignore": "git", ".gitattributes": "git", ".git": "git",
	"staticcheck.conf": "linter",
	"ci-out":           "ignored by git: what .ci/run leaves",
}

// strangers returns the entries of the root that have no place there. Tests of
// the root package (README snippets, examples) do.
func strangers(names []string) []string {
	var odd []string
	for _, name := range names {
		if topLevel[name] == "" && !strings.HasSuffix(name, "_test.go") {
			odd = append(odd, name)
		}
	}
	return odd
}

// links returns the packages that a doc comment links by their whole import
// path, as in [github.com/iotregistry/sdk/dane] or [github.com/iotregistry/sdk/dane.Verifier].
func links(text string) map[string]bool {
	found := map[string]bool{}
	for _, part := range strings.Split(text, "["+Module+"/")[1:] {
		link, _, closed := strings.Cut(part, "]")
		if !closed {
			continue
		}
		dir, last := link[:strings.LastIndexByte(link, '/')+1], link[strings.LastIndexByte(link, '/')+1:]
		last, _, _ = strings.Cut(last, ".")
		found[dir+last] = true
	}
	return found
}

// touch reads the names of all folders and opens all Go files below root. The
// go command notes what a test opens and runs it again when that changes; what
// "go list" opens it cannot see.
func touch(root string) error {
	return filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != root:
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") || entry.Name() == "go.mod":
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			return f.Close()
		}
		return nil
	})
}
