// Package doccheck_test holds the documentation of the public packages against their code.
package doccheck_test

import (
	"go/ast"
	"go/doc"
	"go/types"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/enactlog/enact"

// public are the packages that programs import.
var public = []string{
	"", "/replay", "/memstore", "/codec", "/fsck", "/jetstore", "/jetstore/backup", "/jetstore/embedded", "/consumer", "/storetest",
}

// aside are methods that programs reach through errors, fmt or encoding, not by name.
var aside = []string{"Error", "Unwrap", "Is", "As", "String", "Format", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText"}

// Every entry point of every public package is shown: the code of an Example of the package
// names it, and that Example's output is checked.
//
// An entry point is an exported function, or an exported method of an exported type, but for
//   - the methods named in aside;
//   - getters: methods without parameters that are one return statement;
//   - methods of interfaces. What an interface of the same package names is one entry point,
//     shown by a call through it or of any type that has it.
//
// What takes a *testing.T, or the TB that stands for one, cannot be run by an Example: there
// an Example that is only compiled will do.
//
// Only what stands between an Example's own braces counts, since that is what its reader sees.
func TestEveryEntryPointIsShown(t *testing.T) {
	from := newChecker()
	points := make(map[string]bool) // of all packages, by name; true: for tests
	seen := make(map[string]bool)
	for _, path := range public {
		p, err := from.check(module + path)
		require.NoError(t, err)
		n := len(points)
		entryPoints(p, points)
		require.Greater(t, len(points), n, "%s has no entry points", path)
		tests, err := from.checkTests(module + path)
		require.NoError(t, err)
		for _, use := range shown(tests) {
			forTests, ok := points[use.of]
			if ok && strings.HasPrefix(use.of, module+path+".") && (use.checked || forTests) {
				seen[use.of] = true
			}
		}
	}
	require.Greater(t, len(points), 200)

	var missing []string
	for name := range points {
		if !seen[name] {
			missing = append(missing, strings.TrimPrefix(name, module))
		}
	}
	slices.Sort(missing)
	require.Empty(t, missing, "no Example with checked output shows them:\n%s", strings.Join(missing, "\n"))
}

// entryPoints adds the entry points of a package.
func entryPoints(p *checked, to map[string]bool) {
	for _, file := range p.files {
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() || slices.Contains(aside, fn.Name.Name) {
				continue
			}
			obj := p.info.Defs[fn.Name].(*types.Func)
			if fn.Recv != nil && (!receiver(obj).Exported() || isGetter(fn)) {
				continue
			}
			to[pointOf(obj)] = isForTests(fn)
		}
	}
}

func isGetter(fn *ast.FuncDecl) bool {
	if fn.Type.Params.NumFields() > 0 || len(fn.Body.List) != 1 {
		return false
	}
	_, ok := fn.Body.List[0].(*ast.ReturnStmt)
	return ok
}

func isForTests(fn *ast.FuncDecl) bool {
	for _, p := range fn.Type.Params.List {
		switch types.ExprString(p.Type) {
		case "*testing.T", "TB":
			return true
		}
	}
	return false
}

// receiver returns the type that a method belongs to.
func receiver(fn *types.Func) *types.TypeName {
	t := types.Unalias(fn.Signature().Recv().Type())
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	if n, ok := t.(*types.Named); ok {
		return n.Obj()
	}
	return types.NewTypeName(0, nil, "", nil)
}

// pointOf names a function, or the method of a type or of the interface that asks for it.
func pointOf(fn *types.Func) string {
	fn = fn.Origin()
	in := fn.Pkg().Path() + "."
	if fn.Signature().Recv() == nil {
		return in + fn.Name()
	}
	of := receiver(fn)
	if types.IsInterface(of.Type()) {
		return in + of.Name() + "." + fn.Name()
	}
	scope := fn.Pkg().Scope()
	for _, name := range scope.Names() {
		tn, ok := scope.Lookup(name).(*types.TypeName)
		if !ok || !tn.Exported() {
			continue
		}
		i, ok := tn.Type().Underlying().(*types.Interface)
		if !ok || !(types.Implements(of.Type(), i) || types.Implements(types.NewPointer(of.Type()), i)) {
			continue
		}
		for m := range i.ExplicitMethods() {
			if m.Name() == fn.Name() {
				return in + name + "." + fn.Name()
			}
		}
	}
	return in + of.Name() + "." + fn.Name()
}

// use is a place in an Example that names a function.
type use struct {
	of      string
	checked bool // the Example is run, and its output compared
}

// shown returns what the Examples among the tests of a package name.
func shown(tests *checked) (uses []use) {
	for _, example := range doc.Examples(tests.files...) {
		ast.Inspect(example.Code, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			if fn, ok := tests.info.Uses[id].(*types.Func); ok && fn.Pkg() != nil {
				uses = append(uses, use{pointOf(fn), example.Output != "" || example.EmptyOutput})
			}
			return true
		})
	}
	return uses
}
