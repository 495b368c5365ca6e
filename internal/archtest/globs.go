package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// emptyGlobs returns one line for each pattern of a filepath.Glob call that is
// written out in the source and matches nothing in dir: seeds and vectors that
// were moved away would otherwise go untested without a word. Patterns that
// lead out of root are left to the tests' own skip.
func (s *source) emptyGlobs(dir, root string) []string {
	var empty []string
	for _, f := range s.files {
		imports := importNames(f)
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || callee(call, imports) != "filepath.Glob" || len(call.Args) != 1 {
				return true
			}
			pattern, ok := constant(call.Args[0], imports)
			if !ok || filepath.IsAbs(pattern) {
				return true
			}
			full := filepath.Join(dir, pattern)
			if inside, err := filepath.Rel(root, full); err != nil || strings.HasPrefix(inside, "..") {
				return true
			}
			if found, err := filepath.Glob(full); err != nil || len(found) == 0 {
				empty = append(empty, fmt.Sprintf("%s: %q matches nothing (%v)", s.at(call), pattern, err))
			}
			return true
		})
	}
	return empty
}

func callee(call *ast.CallExpr, imports map[string]string) string {
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
		return qualified(sel, imports)
	}
	return ""
}

// constant evaluates string literals and filepath.Join of them.
func constant(expr ast.Expr, imports map[string]string) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.CallExpr:
		if callee(e, imports) != "filepath.Join" || e.Ellipsis.IsValid() {
			return "", false
		}
		var parts []string
		for _, arg := range e.Args {
			part, ok := constant(arg, imports)
			if !ok {
				return "", false
			}
			parts = append(parts, part)
		}
		return filepath.Join(parts...), true
	}
	return "", false
}
