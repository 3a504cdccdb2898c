// Package bench measures the log beside the raw NATS operation that does the same
// without its promises, in one run: `make bench-all`, or the table of it that
// docs/benchmarks.md has: `make bench`. A benchmark alternates the two and
// reports the median of each in microseconds and their ratio, which says more than
// either, since both suffer the same machine.
package bench
