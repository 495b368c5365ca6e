// Package archtest holds the rules of this repository that no compiler checks:
// which package may import which, what the top level holds, that everything
// exported is documented, and what library code never does. The rules are data
// (rules.go), each with its reason; the tests of this package apply them.
//
// A new dependency enters by a line in rules.go that says why. [List] and
// [Root] are also used by the golden API test. The rules look at imports and
// syntax only; they do not prove what a package does at run time.
package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the import path of this repository's root.
const Module = "github.com/iotregistry/sdk"

// Package is what the go command knows of one package; see "go help list".
type Package struct {
	ImportPath, Dir, Name              string
	Standard, DepOnly                  bool
	Module                             *struct{ Path string }
	GoFiles, CgoFiles, IgnoredGoFiles  []string
	TestGoFiles, XTestGoFiles          []string
	Imports, TestImports, XTestImports []string
	Deps                               []string
	Error                              *struct{ Err string }
}

// Rel is the path of p below the module, such as "dane/dnssec"; "." is the root.
// A package of another module keeps its import path.
func (p *Package) Rel() string { return rel(p.ImportPath) }

// Public reports whether other modules can import p: it is no program, no
// example and not internal.
func (p *Package) Public() bool {
	r := p.Rel()
	return !p.DepOnly && p.Name != "main" && !matches("examples/...", r) &&
		!slices.Contains(strings.Split(r, "/"), "internal")
}

// Library reports whether p is shipped to users, publicly or below a public
// package: all but programs, examples and the packages that only check.
func (p *Package) Library() bool {
	r := p.Rel()
	return !p.DepOnly && p.Name != "main" &&
		!matches("examples/...", r) && !matches("internal/archtest/...", r) && !matches("internal/api/...", r)
}

func rel(importPath string) string {
	if importPath == Module {
		return "."
	}
	return strings.TrimPrefix(importPath, Module+"/")
}

// Root is the folder of this repository's go.mod, looked for from the working
// folder upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("archtest: no go.mod above the working folder: run go test inside the repository")
		}
		dir = up
	}
	return "", fmt.Errorf("archtest: %w", err)
}

// List returns every package of the repository and every package they depend
// on, tests' own dependencies left out, from one run of "go list".
func List(ctx context.Context, root string) ([]*Package, error) {
	if err := touch(root); err != nil {
		return nil, fmt.Errorf("archtest: %w", err)
	}
	fields := "ImportPath,Dir,Name,Standard,DepOnly,Module,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Deps,Error"
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-json="+fields, "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("archtest: go list: %w: %s", err, stderr.String())
	}
	var all []*Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(Package)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("archtest: read go list: %w", err)
		}
		all = append(all, p)
	}
}

// matches reports whether path is pattern, or below it where pattern ends in
// "/...". The pattern "..." matches everything.
func matches(pattern, path string) bool {
	base, deep := strings.CutSuffix(pattern, "...")
	if !deep {
		return pattern == path
	}
	return base == "" || path == strings.TrimSuffix(base, "/") || strings.HasPrefix(path, base)
}

func anyMatches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}
