package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// prefix is how the names of the table's benchmarks begin.
const prefix = "Table/"

// processors ends the name of a benchmark, unless there is one processor only.
var processors = regexp.MustCompile(`-\d+$`)

// results is what the benchmark printed.
type results struct {
	machine map[string]string             // by key
	rows    map[string]map[string]figures // by place and operation
}

// figures are those of one operation in one place, by unit.
type figures map[string]float64

// parse reads the output of go test.
func parse(r io.Reader) (*results, error) {
	res := &results{machine: make(map[string]string), rows: make(map[string]map[string]figures)}
	failed := ""
	in := benchfmt.NewReader(io.TeeReader(r, &failures{into: &failed}), "results")
	for in.Scan() {
		switch rec := in.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, rec
		case *benchfmt.Result:
			for _, c := range rec.Config {
				res.machine[c.Key] = string(c.Value)
			}
			name := processors.ReplaceAllString(string(rec.Name.Full()), "")
			place, operation, ok := strings.Cut(strings.TrimPrefix(name, prefix), "/")
			if !ok || !strings.HasPrefix(name, prefix) {
				continue
			}
			values := make(figures)
			for _, v := range rec.Values {
				values[v.Unit] = v.Value
			}
			if res.rows[place] == nil {
				res.rows[place] = make(map[string]figures)
			}
			if _, twice := res.rows[place][operation]; twice {
				return nil, fmt.Errorf("%s of %s is there twice: one run makes a page", operation, place)
			}
			res.rows[place][operation] = maps.Clone(values)
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if failed != "" {
		return nil, fmt.Errorf("the benchmark failed: %s", failed)
	}
	return res, nil
}

// failures notes the first line by which go test says that something failed.
type failures struct {
	into *string
	line []byte
}

func (f *failures) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' {
			f.line = append(f.line, c)
			continue
		}
		if line := string(f.line); *f.into == "" && (strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "panic:")) {
			*f.into = line
		}
		f.line = f.line[:0]
	}
	return len(p), nil
}
