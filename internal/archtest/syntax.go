package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// source is the parsed text of one package.
type source struct {
	fset  *token.FileSet
	files []*ast.File
}

// parse reads the named files of dir with their comments.
func parse(dir string, names []string) (*source, error) {
	s := &source{fset: token.NewFileSet()}
	for _, name := range names {
		f, err := parser.ParseFile(s.fset, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("archtest: %w", err)
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

// at is the place of n for a message.
func (s *source) at(n ast.Node) string {
	pos := s.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", filepath.Base(pos.Filename), pos.Line)
}

// packageComment returns the package's comment, empty where there is none.
func (s *source) packageComment() string {
	for _, f := range s.files {
		if text := f.Doc.Text(); text != "" {
			return text
		}
	}
	return ""
}

// undocumented returns one line for each exported name without a comment, or
// whose comment does not start with its name.
func (s *source) undocumented() []string {
	var missing []string
	report := func(n ast.Node, format string, args ...any) {
		missing = append(missing, s.at(n)+": "+fmt.Sprintf(format, args...))
	}
	for _, f := range s.files {
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && !startsWith(d.Doc, d.Name.Name) {
					report(d, "%s needs a comment that starts with its name", d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					checkSpec(d, spec, report)
				}
			}
		}
	}
	return missing
}

func checkSpec(d *ast.GenDecl, spec ast.Spec, report func(ast.Node, string, ...any)) {
	switch spec := spec.(type) {
	case *ast.ValueSpec: // a group's comment is enough
		for _, name := range spec.Names {
			if name.IsExported() && d.Doc.Text()+spec.Doc.Text()+spec.Comment.Text() == "" {
				report(name, "%s needs a comment, its own or its group's", name.Name)
			}
		}
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		doc := spec.Doc
		if doc == nil && len(d.Specs) == 1 {
			doc = d.Doc
		}
		if !startsWith(doc, spec.Name.Name) {
			report(spec, "%s needs a comment that starts with its name", spec.Name.Name)
		}
		checkMethods(spec, doc.Text(), report)
	}
}

// checkMethods wants a comment for each method of an interface: its own, or its
// name in the comment of the type. Struct fields are left to the reviewer: a
// field that says all with its name and type needs no second line.
func checkMethods(spec *ast.TypeSpec, typeDoc string, report func(ast.Node, string, ...any)) {
	iface, ok := spec.Type.(*ast.InterfaceType)
	if !ok {
		return
	}
	for _, method := range iface.Methods.List {
		for _, name := range method.Names {
			if name.IsExported() && method.Doc.Text()+method.Comment.Text() == "" && !strings.Contains(typeDoc, name.Name) {
				report(name, "%s.%s needs a comment", spec.Name.Name, name.Name)
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	expr := d.Recv.List[0].Type
	for {
		switch t := expr.(type) {
		case *ast.StarExpr:
			expr = t.X
		case *ast.IndexExpr:
			expr = t.X
		case *ast.IndexListExpr:
			expr = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

func startsWith(doc *ast.CommentGroup, name string) bool {
	text := doc.Text()
	for _, article := range []string{"", "A ", "An ", "The "} {
		if rest, ok := strings.CutPrefix(text, article+name); ok && (rest == "" || !isNameByte(rest[0])) {
			return true
		}
	}
	return false
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// manners returns one line for each thing that library code does not do:
// printing, logging to the global logger, ending the process, panicking without
// a reason, init functions, contexts in exported structs.
func (s *source) manners() []string {
	var bad []string
	report := func(n ast.Node, what string) { bad = append(bad, s.at(n)+": "+what) }
	for _, f := range s.files {
		imports, comments := importNames(f), s.commentLines(f)
		kit := strings.HasSuffix(f.Name.Name, "test") // its values live as long as one test
		for _, decl := range f.Decls {
			fn, _ := decl.(*ast.FuncDecl)
			if fn != nil && fn.Recv == nil && fn.Name.Name == "init" {
				report(fn, "init function: importing a package must do nothing")
			}
			must := fn != nil && strings.HasPrefix(strings.ToLower(fn.Name.Name), "must")
			ast.Inspect(decl, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if why := s.forbiddenCall(n, imports, comments); why != "" && !must {
						report(n, why)
					}
				case *ast.SelectorExpr:
					if why := forbiddenUse(n, imports); why != "" {
						report(n, why)
					}
				case *ast.TypeSpec:
					if !kit && holdsContext(n, imports) {
						report(n, "context in a struct: pass it as the first argument")
					}
				}
				return true
			})
		}
	}
	return bad
}

// commentLines is the set of lines of f on which a comment ends.
func (s *source) commentLines(f *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.Comments {
		lines[s.fset.Position(group.End()).Line] = true
	}
	return lines
}

// forbiddenCall finds the built-in functions that libraries do not call. A panic
// passes with a comment on its line or the one above that says why it cannot
// be reached or must be raised, and where net/http asks for it.
func (s *source) forbiddenCall(call *ast.CallExpr, imports map[string]string, comments map[int]bool) string {
	id, ok := call.Fun.(*ast.Ident)
	switch {
	case !ok:
		return ""
	case id.Name == "print" || id.Name == "println":
		return id.Name + ": take an io.Writer"
	case id.Name != "panic" || len(call.Args) != 1:
		return ""
	}
	if sel, ok := call.Args[0].(*ast.SelectorExpr); ok && qualified(sel, imports) == "http.ErrAbortHandler" {
		return ""
	}
	if line := s.fset.Position(call.Pos()).Line; comments[line] || comments[line-1] {
		return ""
	}
	return "panic: return an error, or say in a comment beside it why it must be"
}

// holdsContext reports an exported struct with a context among its fields. A
// queue's own entries may carry the context of the call that waits for them.
func holdsContext(spec *ast.TypeSpec, imports map[string]string) bool {
	t, ok := spec.Type.(*ast.StructType)
	if !ok || !spec.Name.IsExported() {
		return false
	}
	return slices.ContainsFunc(t.Fields.List, func(field *ast.Field) bool {
		sel, ok := field.Type.(*ast.SelectorExpr)
		return ok && qualified(sel, imports) == "context.Context"
	})
}

// forbidden maps uses of the standard library to what a library does instead.
var forbidden = map[string]string{
	"fmt.Print": "take an io.Writer", "fmt.Printf": "take an io.Writer", "fmt.Println": "take an io.Writer",
	"os.Stdout": "take an io.Writer", "os.Stderr": "take an io.Writer or a *slog.Logger", "os.Stdin": "take an io.Reader",
	"os.Exit": "return an error", "log.*": "take a *slog.Logger", "flag.*": "take fields",
	"slog.SetDefault": "take a *slog.Logger", "slog.Default": "take a *slog.Logger, nil discards",
	"context.TODO": "take a context",
}

func forbiddenUse(sel *ast.SelectorExpr, imports map[string]string) string {
	name := qualified(sel, imports)
	pkg, _, _ := strings.Cut(name, ".")
	for _, key := range []string{name, pkg + ".*"} {
		if instead, ok := forbidden[key]; ok {
			return name + ": " + instead
		}
	}
	return ""
}

// qualified is sel as "path.Name", empty where it names no imported package.
func qualified(sel *ast.SelectorExpr, imports map[string]string) string {
	id, ok := sel.X.(*ast.Ident)
	if !ok || imports[id.Name] == "" {
		return ""
	}
	return imports[id.Name] + "." + sel.Sel.Name
}

// importNames maps the names of f's imports to the last element of their paths,
// for the standard library only.
func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		if strings.Contains(path, ".") {
			continue
		}
		base := path[strings.LastIndexByte(path, '/')+1:]
		name := base
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = base
	}
	return names
}
