// Package api keeps the exported API of every public package as text, so that a
// change of it shows as a diff to be looked at and never happens by accident.
//
// The texts lie beside this file, one for each package: dane/dnssec is
// dane_dnssec.txt. After a change that is meant:
//
//	go test ./internal/api -update
//
// and a line in CHANGELOG.md. They hold declarations only, without comments,
// bodies and layout, so that neither a better sentence nor another gofmt
// changes them. They do not notice a change of behaviour.
package api

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"strings"
)

// Render returns the exported declarations of the package whose named files lie
// in dir, one after the other in the order of "go doc".
func Render(importPath, dir string, names []string) (string, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, 0) // no comments
		if err != nil {
			return "", fmt.Errorf("api: %w", err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, importPath, doc.PreserveAST)
	if err != nil {
		return "", fmt.Errorf("api: %s: %w", importPath, err)
	}
	r := renderer{fset: fset}
	r.printf("package %s // import %q\n", p.Name, importPath)
	r.values(p.Consts)
	r.values(p.Vars)
	r.funcs(p.Funcs)
	for _, t := range p.Types {
		r.decl(t.Decl)
		r.values(t.Consts)
		r.values(t.Vars)
		r.funcs(t.Funcs)
		r.funcs(t.Methods)
	}
	return r.out.String(), r.err
}

// renderer collects the text and the first error.
type renderer struct {
	fset *token.FileSet
	out  bytes.Buffer
	err  error
}

func (r *renderer) printf(format string, args ...any) { fmt.Fprintf(&r.out, format, args...) }

func (r *renderer) values(values []*doc.Value) {
	for _, v := range values {
		r.decl(v.Decl)
	}
}

func (r *renderer) funcs(funcs []*doc.Func) {
	for _, f := range funcs {
		head := *f.Decl
		head.Body = nil
		r.decl(&head)
	}
}

// decl prints one declaration with single spaces and no empty lines: where the
// source breaks and aligns its lines is no part of the API.
func (r *renderer) decl(node ast.Node) {
	var text bytes.Buffer
	config := printer.Config{Mode: printer.RawFormat, Tabwidth: 8}
	if err := config.Fprint(&text, r.fset, node); err != nil && r.err == nil {
		r.err = fmt.Errorf("api: %w", err)
	}
	r.out.WriteByte('\n')
	for line := range strings.Lines(text.String()) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		depth := len(line) - len(strings.TrimLeft(line, "\t"))
		r.printf("%s%s\n", strings.Repeat("\t", depth), strings.Join(words, " "))
	}
}
