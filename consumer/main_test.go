package consumer_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// tests stops the examples' server at the end, before it is looked for leaks.
type tests struct{ *testing.M }

var (
	running  *exampleServer
	examples = sync.OnceValue(func() *exampleServer {
		running = startExamples()
		return running
	})
)

// Run implements goleak.TestingM.
func (t tests) Run() int {
	code := t.M.Run()
	if running != nil {
		running.stop()
	}
	return code
}

// Every function of the package, which are its options and where it is entered, has an
// example.
func TestEveryFunctionHasAnExample(t *testing.T) {
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	functions, examples := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch name := ""; {
			case !ok || fn.Recv != nil:
			case strings.HasSuffix(f.Name(), "_test.go"):
				if name, ok = strings.CutPrefix(fn.Name.Name, "Example"); ok {
					examples[name] = true
				}
			case fn.Name.IsExported():
				functions[fn.Name.Name] = true
			}
		}
	}
	require.Greater(t, len(functions), 30)
	for name := range functions {
		require.True(t, examples[name], "%s has no example", name)
	}
}
