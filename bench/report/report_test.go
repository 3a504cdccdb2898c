package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file")

// sample is what a benchmark prints.
func sample() string {
	var b strings.Builder
	b.WriteString("kernel: 6.1\nload: 0.10 0.20 0.30\ncores: 2\ngo: go1.26\nnats-server: 2.15.2\nnats.go: 1.55.0\ndate: 2026-02-23\nfsync: 480µs\n")
	b.WriteString("goos: linux\ngoarch: amd64\npkg: github.com/enactlog/enact/bench\ncpu: Test CPU\n")
	for i, p := range places {
		for j, row := range table {
			if row.speed {
				fmt.Fprintf(&b, "BenchmarkTable/%s/%s-2 \t 1\t %d enact-op/s\t 0.95 enact/raw-throughput\t 10000 raw-op/s\n", p.name, row.operation, 9500)
				continue
			}
			fmt.Fprintf(&b, "BenchmarkTable/%s/%s-2 \t 100\t 57.2 enact-allocs\t %d enact-p50-µs\t 123456 enact-p99-µs\t %.4g enact/raw\t 1.05 floor/raw\t 40 raw-allocs\t 39 raw-p50-µs\t 99.5 raw-p99-µs\t 100 B/op\n",
				p.name, row.operation, 40+j, float64(i+1)/2)
		}
	}
	return b.String() + "PASS\nok  \tgithub.com/enactlog/enact/bench\t1.2s\n"
}

func TestPage(t *testing.T) {
	golden := filepath.Join("testdata", "page.md")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "results.txt"), filepath.Join(dir, "page.md")
	require.NoError(t, os.WriteFile(in, []byte(sample()), 0o600))
	require.NoError(t, run(in, out, nil, nil))
	page, err := os.ReadFile(out)
	require.NoError(t, err)
	if *rewrite {
		require.NoError(t, os.WriteFile(golden, page, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(page))

	var piped bytes.Buffer
	require.NoError(t, run("", "", strings.NewReader(sample()), &piped))
	require.Equal(t, string(want), piped.String())
	// Of a machine with one processor the names say nothing.
	piped.Reset()
	require.NoError(t, run("", "", strings.NewReader(strings.ReplaceAll(sample(), "-2 \t", " \t")), &piped))
	require.Equal(t, string(want), piped.String())
	require.NoError(t, run("", "", strings.NewReader("smoke: true\n"+sample()), &piped))
	require.Contains(t, piped.String(), "smoke test")
}

func TestRefused(t *testing.T) {
	whole := sample()
	for name, tt := range map[string]struct{ text, err string }{
		"nothing":          {"PASS\n", "append/256B of R1-memory is missing"},
		"a row missing":    {strings.Replace(whole, "BenchmarkTable/R3-disk/fsck-2", "BenchmarkOther/R3-disk/fsck-2", 1), "fsck of R3-disk is missing"},
		"a figure missing": {strings.Replace(whole, "39 raw-p50-µs", "39 raw-p51-µs", 1), "append/256B of R1-memory has no raw-p50-µs"},
		"a failure":        {whole + "--- FAIL: BenchmarkTable\n", "the benchmark failed: --- FAIL: BenchmarkTable"},
		"two runs":         {whole + whole, "is there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "page.md")
			require.ErrorContains(t, run("", out, strings.NewReader(tt.text), nil), tt.err)
			require.NoFileExists(t, out)
		})
	}
	require.Error(t, run(filepath.Join(t.TempDir(), "none"), "", nil, nil))
}
