package doccheck_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the module's directory.
const root = "../.."

// sources returns the module's files with their contents, by their paths from its root: Go,
// Markdown, and what else the documents name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a test beside this one has removed it
		}
		if err != nil {
			return err
		}
		at, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		at = filepath.ToSlash(at)
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "data", "dist", "deploy/certificates", "bench/results"}, at) {
				return fs.SkipDir
			}
			return nil
		}
		files[at] = ""
		if slices.Contains([]string{".go", ".md"}, path.Ext(at)) || at == "Makefile" {
			text, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				delete(files, at)
				return nil
			}
			files[at] = string(text)
			return err
		}
		return nil
	}))
	return files
}

// documents returns the paths of the documents.
func documents(files map[string]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(at string) bool { return path.Ext(at) != ".md" })
}

// The tests and benchmarks that documents name are there.
func TestDocumentsNameTestsThatThereAre(t *testing.T) {
	files := sources(t)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	there := make(map[string]bool)
	for at, text := range files {
		if strings.HasSuffix(at, "_test.go") {
			for _, m := range function.FindAllStringSubmatch(text, -1) {
				there[m[1]] = true
			}
		}
	}
	named := 0
	name := regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w*`)
	for _, at := range documents(files) {
		for _, n := range name.FindAllString(files[at], -1) {
			require.True(t, there[n], "%s names %s", at, n)
			named++
		}
	}
	require.Greater(t, named, 50)
}

// So are the targets of make.
func TestDocumentsNameTargetsThatThereAre(t *testing.T) {
	files := sources(t)
	named := 0
	target := regexp.MustCompile("`make ([a-z-]+)|(?m:^make ([a-z-]+) +#)")
	for _, at := range documents(files) {
		for _, m := range target.FindAllStringSubmatch(files[at], -1) {
			require.True(t, regexp.MustCompile(`(?m)^`+m[1]+m[2]+`:`).MatchString(files["Makefile"]), "%s names %s", at, m[0])
			named++
		}
	}
	require.Greater(t, named, 20)
}

// Links within the module lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	files := sources(t)
	followed := 0
	link := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	for _, at := range documents(files) {
		for _, m := range link.FindAllStringSubmatch(files[at], -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := at
			if m[1] != "" {
				to = path.Join(path.Dir(at), m[1])
			}
			text, ok := files[to]
			require.True(t, ok, "%s links to %s", at, m[1])
			followed++
			if m[2] == "" {
				continue
			}
			var anchors []string
			for _, h := range heading.FindAllStringSubmatch(text, -1) {
				plain := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(h[1]), "")
				anchors = append(anchors, strings.ReplaceAll(plain, " ", "-"))
			}
			require.Contains(t, anchors, m[2], "%s links to %s", at, m[0])
		}
	}
	require.Greater(t, followed, 10)
}

// The file map of docs/architecture.md names files that there are, and every folder of Go.
func TestFileMap(t *testing.T) {
	files := sources(t)
	_, text, ok := strings.Cut(files["docs/architecture.md"], "\n## File map\n")
	require.True(t, ok)
	text, _, _ = strings.Cut(text, "\n## ")
	var named []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		if n := m[1]; strings.HasSuffix(n, "/") || path.Ext(n) != "" {
			named = append(named, n)
		}
	}
	require.Greater(t, len(named), 100)
	for _, n := range named {
		require.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(at string) bool {
			if folder, ok := strings.CutSuffix(n, "/"); ok {
				return strings.Contains("/"+at, "/"+folder+"/")
			}
			same, err := path.Match(path.Base(n), path.Base(at))
			return err == nil && same && (path.Dir(n) == "." || path.Dir(n) == path.Dir(at))
		}), "the file map names %s", n)
	}
	for at := range files {
		folder := path.Dir(at) + "/"
		if path.Ext(at) != ".go" || folder == "./" {
			continue
		}
		require.True(t, slices.ContainsFunc(named, func(n string) bool {
			return strings.HasPrefix(folder, n) || strings.HasPrefix(n, folder) || strings.HasSuffix(folder, "/"+n)
		}), "the file map has nothing of %s", folder)
	}
}

// Each module that is required has its reason in docs/architecture.md.
func TestDependenciesHaveReasons(t *testing.T) {
	files := sources(t)
	_, text, ok := strings.Cut(files["docs/architecture.md"], "\n## Dependencies\n")
	require.True(t, ok)
	required := 0
	for _, at := range []string{"go.mod", "examples/sqlite/go.mod", "integration/power/go.mod"} {
		mod, err := os.ReadFile(filepath.Join(root, at))
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^(?:require )?\t?(\S+\.\S+/\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
			if m[1] == module {
				continue
			}
			name := strings.TrimPrefix(m[1], "github.com/")
			if strings.HasPrefix(name, "go.opentelemetry.io/otel") {
				name = "go.opentelemetry.io/otel"
			}
			require.Contains(t, text, name, "%s requires %s", at, m[1])
			required++
		}
	}
	require.Greater(t, required, 30)
}
