package doccheck_test

import (
	"errors"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
)

// known are the packages of the standard library whose types are looked at: those through
// which the types of the module pass.
var known = []string{"context", "errors", "iter", "maps", "slices", "sync", "time"}

// checker finds the types of the module's packages from their source alone, in about a
// second: of packages outside it knows nothing but their names, and what needs more has no
// type. The compiler has the last word on what is right; here only names are resolved.
type checker struct {
	set      *token.FileSet
	std      types.Importer
	packages map[string]*checked
}

// checked is a package with what its names mean.
type checked struct {
	files []*ast.File
	types *types.Package
	info  *types.Info
}

func newChecker() *checker {
	set := token.NewFileSet()
	return &checker{set: set, std: importer.ForCompiler(set, "source", nil), packages: make(map[string]*checked)}
}

// Import implements types.Importer.
func (c *checker) Import(path string) (*types.Package, error) {
	switch {
	case path == module || strings.HasPrefix(path, module+"/"):
		p, err := c.check(path)
		if err != nil {
			return nil, err
		}
		return p.types, nil
	case slices.Contains(known, path):
		return c.std.Import(path)
	}
	return nil, errors.New("not known here")
}

func (c *checker) check(path string) (*checked, error) {
	if p := c.packages[path]; p != nil {
		return p, nil
	}
	dir, err := c.dir(path)
	if err != nil {
		return nil, err
	}
	p, err := c.load(path, dir.Dir, dir.GoFiles)
	if err == nil {
		c.packages[path] = p
	}
	return p, err
}

// checkTests returns the tests of a package that are outside of it, as Examples are.
func (c *checker) checkTests(path string) (*checked, error) {
	dir, err := c.dir(path)
	if err != nil {
		return nil, err
	}
	return c.load(path+"_test", dir.Dir, dir.XTestGoFiles)
}

func (c *checker) dir(path string) (*build.Package, error) {
	return build.ImportDir(filepath.Join("..", "..", filepath.FromSlash(strings.TrimPrefix(path, module))), 0)
}

func (c *checker) load(path, dir string, names []string) (*checked, error) {
	p := &checked{info: &types.Info{Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object)}}
	for _, name := range names {
		file, err := parser.ParseFile(c.set, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, file)
	}
	config := types.Config{Importer: c, Error: func(error) {}}
	p.types, _ = config.Check(path, c.set, p.files, p.info) // the errors are of what is not known here
	return p, nil
}
