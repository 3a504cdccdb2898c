// The program report makes a page of what BenchmarkTable of package bench printed:
//
//	go test -run '^$' -bench '^BenchmarkTable$' ./bench | go run ./bench/report -out docs/benchmarks.md
//
// which `make bench` does. It fails, and writes nothing, where a row of the table is
// missing or the output holds a failure.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	in := flag.String("in", "", "what the benchmark printed (default stdin)")
	out := flag.String("out", "", "the page (default stdout)")
	flag.Parse()
	if err := run(*in, *out, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(in, out string, stdin io.Reader, stdout io.Writer) error {
	if in != "" {
		f, err := os.Open(in)
		if err != nil {
			return err
		}
		defer f.Close()
		stdin = f
	}
	r, err := parse(stdin)
	if err != nil {
		return err
	}
	page, err := r.page()
	if err != nil {
		return err
	}
	if out == "" {
		_, err = stdout.Write(page)
		return err
	}
	return os.WriteFile(out, page, 0o644)
}
