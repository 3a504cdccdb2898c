package main

import (
	"bytes"
	"fmt"
	"time"
)

// Units of package bench.
const (
	rawP50     = "raw-p50-µs"
	rawP99     = "raw-p99-µs"
	ourP50     = "enact-p50-µs"
	ourP99     = "enact-p99-µs"
	ratio      = "enact/raw"
	floor      = "floor/raw"
	rawAllocs  = "raw-allocs"
	ourAllocs  = "enact-allocs"
	rawSpeed   = "raw-op/s"
	ourSpeed   = "enact-op/s"
	speedRatio = "enact/raw-throughput"
)

// places are in the order of the page.
var places = []struct{ name, title string }{
	{"R1-memory", "One node, in memory"},
	{"R1-disk", "One node, on disk"},
	{"R1-disk-sync", "One node, on disk, sync always"},
	{"R3-disk", "Three nodes, on disk"},
	{"R3-disk-sync", "Three nodes, on disk, sync always"},
}

// row is an operation, what it is measured beside, and the ratio that is asked of it:
// times unless it says speed; of places that are not in the map nothing is asked.
type row struct {
	operation, title, beside string
	asked                    map[string]float64
	speed                    bool
}

func everywhere(most float64) map[string]float64 {
	m := make(map[string]float64)
	for _, p := range places {
		m[p.name] = most
	}
	return m
}

var batches = map[string]float64{"R1-disk": 0.1, "R1-disk-sync": 0.2, "R3-disk": 0.5, "R3-disk-sync": 0.5}

var table = []row{
	{operation: "append/256B", title: "append, 256 B", beside: "publish with the same check", asked: everywhere(1.15)},
	{operation: "append-by-hand/256B", title: "its record by hand", beside: "publish with the same check"},
	{operation: "append/4KiB", title: "append, 4 KiB", beside: "publish with the same check", asked: everywhere(1.15)},
	{operation: "append-by-hand/4KiB", title: "its record by hand", beside: "publish with the same check"},
	{operation: "first-append", title: "first append of an execution", beside: "publish with a check", asked: everywhere(3)},
	{operation: "batch/10", title: "batch of 10 × 256 B", beside: "atomic batch of the same", asked: batches},
	{operation: "batch/100", title: "batch of 100 × 256 B", beside: "atomic batch of the same", asked: batches},
	{operation: "writers", title: "64 writers, 64 executions", beside: "publishes with the same check", asked: everywhere(0.9), speed: true},
	{operation: "writers-by-hand", title: "their records by hand", beside: "publishes with the same check", speed: true},
	{operation: "load/dense", title: "load of 20 events", beside: "leader get and batch get", asked: everywhere(1.5)},
	{operation: "load/dense-consumer", title: "load of 20 events", beside: "ordered consumer", asked: map[string]float64{"R3-disk": 1. / 3, "R3-disk-sync": 1. / 3}},
	{operation: "load/sparse", title: "load of 10 events, far apart", beside: "leader get and batch get"},
	{operation: "load/long", title: "load of a long execution", beside: "ordered consumer", asked: everywhere(1 / 0.7)},
	{operation: "load/after", title: "its events after the last but 20", beside: "load of 20 events", asked: everywhere(3)},
	{operation: "load/last", title: "its last 20 events, backwards", beside: "load of 20 events", asked: everywhere(3)},
	{operation: "list", title: "newest 50 executions", beside: "batch get of their last records", asked: everywhere(3)},
	{operation: "list-details", title: "newest 50, with details", beside: "batch get of their last records", asked: everywhere(4)},
	{operation: "tail-latency", title: "append until a tail has it", beside: "publish until an ordered consumer has it", asked: everywhere(1.3)},
	{operation: "tail-latency-by-hand", title: "its record by hand", beside: "publish until an ordered consumer has it"},
	{operation: "fsck", title: "fsck of the log", beside: "ordered consumer that reads it"},
}

// page writes the page.
func (r *results) page() ([]byte, error) {
	var b bytes.Buffer
	m := r.machine
	fmt.Fprintf(&b, `# Benchmarks

Written by `+"`make bench`"+`: each operation beside the raw NATS operation that does the same
without the log's promises, alternating in one run. Both suffer the same machine, so the ratio
of the medians says more than either. *Asked* is the goal for the ratio, ✗ where it is missed.
*Floor* is the ratio of the least that the log has to ask of the server for what it promises,
without work of the client's: of an append its record, ready-made. *By hand* is the record of an
event made as an append makes it, published as a raw message and, for a tail, checked and decoded
by a raw consumer, with nothing else that the log does. Allocations are of the whole process, the
servers included.

%s, %s cores, kernel %s, %s/%s; %s, nats-server %s, nats.go %s; an fsync of 512 B takes %s;
load when it began: %s; %s. Servers and client share the machine and the process; three nodes
are three servers there, without a network between them.
`, m["cpu"], m["cores"], m["kernel"], m["goos"], m["goarch"], m["go"], m["nats-server"], m["nats.go"], m["fsync"], m["load"], m["date"])
	if m["smoke"] != "" {
		b.WriteString("\n**This is a smoke test: it ran each operation a few times. Its figures say nothing.**\n")
	}
	missed := 0
	for _, p := range places {
		fmt.Fprintf(&b, "\n## %s\n\n", p.title)
		b.WriteString("| operation | beside | beside p50 / p99 | enact p50 / p99 | ratio | asked | floor | allocations, beside / enact |\n")
		b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
		for _, row := range table {
			v, ok := r.rows[p.name][row.operation]
			if !ok {
				return nil, fmt.Errorf("%s of %s is missing", row.operation, p.name)
			}
			line, miss, err := row.line(p.name, v)
			if err != nil {
				return nil, err
			}
			if miss {
				missed++
			}
			b.WriteString(line)
		}
	}
	fmt.Fprintf(&b, "\n%d of the ratios asked for are missed.\n", missed)
	return b.Bytes(), nil
}

// line writes one row; miss reports that it is not what is asked.
func (row *row) line(place string, v figures) (line string, miss bool, err error) {
	need := func(unit string) float64 {
		n, ok := v[unit]
		if !ok && err == nil {
			err = fmt.Errorf("%s of %s has no %s", row.operation, place, unit)
		}
		return n
	}
	var beside, ours, measured string
	var of float64
	if row.speed {
		beside, ours = fmt.Sprintf("%.0f/s", need(rawSpeed)), fmt.Sprintf("%.0f/s", need(ourSpeed))
		of = need(speedRatio)
		measured = fmt.Sprintf("%.2f of the speed", of)
	} else {
		beside = micros(need(rawP50)) + " / " + micros(need(rawP99))
		ours = micros(need(ourP50)) + " / " + micros(need(ourP99))
		of = need(ratio)
		measured = fmt.Sprintf("%.2f", of)
	}
	asked := "–"
	if goal, ok := row.asked[place]; ok {
		asked = fmt.Sprintf("at most %.2f", goal)
		miss = of > goal
		if row.speed {
			asked, miss = fmt.Sprintf("at least %.2f", goal), of < goal
		}
		if miss {
			asked += " ✗"
		}
	}
	least, allocs := "–", "–"
	if n, ok := v[floor]; ok {
		least = fmt.Sprintf("%.2f", n)
	}
	if n, ok := v[ourAllocs]; ok {
		allocs = fmt.Sprintf("%.0f / %.0f", v[rawAllocs], n)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", row.title, row.beside, beside, ours, measured, asked, least, allocs), miss, err
}

// micros writes a time of microseconds with three digits.
func micros(n float64) string {
	d := time.Duration(n * 1000)
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
