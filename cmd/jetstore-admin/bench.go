package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact/internal/scratch"
	"github.com/enactlog/enact/jetstore"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	Events     int `json:"events"`
	Size       int `json:"size"`
	Writers    int `json:"writers"`
	Executions int `json:"executions"`
	Batch      int `json:"batch"`
	Replicas   int `json:"replicas"`
}

func (a *app) benchCommand() *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure appends, batches, loads and tails",
		Long: `Measure appends, batches, loads and tails in a scratch log on the same servers, which
has streams of its own and is removed afterwards, also after an interrupt.

  appends  single events, by --writers at a time, to --executions in turn
  batches  the same, --batch events at a time
  loads    whole executions of the appends, by as many readers
  tails    from before an event is appended until a live tail has it, one at a time

Each is given with its number, its rate over the time that it took in all, and the
percentiles of the single ones. All goes over one connection. On --store, the server
runs in this program and syncs before each acknowledgement. The log itself is not
touched, but the servers are busy meanwhile.`,
		Example: `  jetstore-admin bench --server nats://localhost:4222
  jetstore-admin bench --store ./data --events 1000 --writers 1 --executions 1
  jetstore-admin bench --context staging --replicas 3 --size 2048 -o json`,
		Args: takes(0, 0),
		RunE: a.doLong(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			return a.withSession(ctx, reads, func(s *session) error {
				results, err := a.bench(ctx, s, &flags)
				if err != nil {
					return err
				}
				return a.printBench(&flags, results)
			})
		}),
	}
	f := cmd.Flags()
	f.IntVar(&flags.Events, "events", 10_000, "`number` of events of the appends, and of the batches")
	f.IntVar(&flags.Size, "size", 256, "`bytes` of each event, about")
	f.IntVar(&flags.Writers, "writers", 8, "`number` of appends, or loads, at a time")
	f.IntVar(&flags.Executions, "executions", 100, "`number` of executions")
	f.IntVar(&flags.Batch, "batch", 10, "`number` of events of a batch")
	f.IntVar(&flags.Replicas, "replicas", 0, "`number` of replicas of the scratch log (default as of a new log)")
	return cmd
}

// Bounds of the flags. All times are kept, and an event must fit a record.
const (
	maxBenchEvents = 10_000_000
	maxBenchSize   = 100_000
	maxBenchBatch  = 1000
)

func (f *benchFlags) check() error {
	for _, n := range []struct {
		flag             string
		value, low, high int
	}{
		{"events", f.Events, 1, maxBenchEvents},
		{"size", f.Size, 1, maxBenchSize},
		{"executions", f.Executions, 1, f.Events},
		{"writers", f.Writers, 1, f.Executions},
		{"batch", f.Batch, 1, maxBenchBatch},
		{"replicas", f.Replicas, 0, 5},
	} {
		if n.value < n.low || n.value > n.high {
			why := ""
			switch n.flag {
			case "executions":
				why = ": each gets an event at least"
			case "writers":
				why = ": more than there are executions would wait for each other"
			}
			return usagef("--%s %d is not within %d to %d%s", n.flag, n.value, n.low, n.high, why)
		}
	}
	return nil
}

// bench measures in a scratch log.
func (a *app) bench(ctx context.Context, s *session, flags *benchFlags) (results []benchResult, err error) {
	beside, err := jetstore.LayoutOf("", s.options...)
	if err != nil {
		return nil, err
	}
	opening, cancel := a.bounded(ctx)
	defer cancel()
	log, err := scratch.Open(opening, s.nc, beside, flags.Replicas, jetstore.WithTimeout(a.timeout))
	if err != nil {
		return nil, fmt.Errorf("scratch log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close(ctx)) }()
	b := newBench(log.Store, flags)
	for _, phase := range []struct {
		name string
		run  func(context.Context, *bar) (benchResult, error)
	}{
		{"appends", b.appends}, {"batches", b.batches}, {"loads", b.loads}, {"tails", b.tails},
	} {
		bar := a.progress(phase.name, int64(b.operations(phase.name)), countUnit)
		start := time.Now()
		r, err := phase.run(ctx, bar)
		bar.end()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", phase.name, err)
		}
		r.Phase = phase.name
		results = append(results, r.over(time.Since(start)))
	}
	return results, nil
}

func (a *app) printBench(flags *benchFlags, results []benchResult) error {
	if a.format == formatJSON {
		return writeJSON(a.stdout, a.format, struct {
			Settings *benchFlags   `json:"settings"`
			Results  []benchResult `json:"results"`
		}{flags, results})
	}
	right := func(names ...string) (columns []table.ColumnConfig) {
		for _, name := range names {
			columns = append(columns, table.ColumnConfig{Name: name, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
		return columns
	}
	micros := func(us int64) string { return span(time.Duration(us) * time.Microsecond) }
	return printList(a, results, "", table.Row{"Phase", "Number", "Events", "Events/s", "Bytes/s", "p50", "p90", "p99", "Max"},
		func(r benchResult) table.Row {
			return table.Row{
				r.Phase, humanize.Comma(int64(r.Number)), humanize.Comma(int64(r.Events)), humanize.Comma(int64(r.EventsPerSecond)),
				strings.ReplaceAll(humanize.IBytes(uint64(r.BytesPerSecond)), " ", ""), micros(r.P50), micros(r.P90), micros(r.P99), micros(r.Max),
			}
		}, right("Number", "Events", "Events/s", "Bytes/s", "p50", "p90", "p99", "Max")...)
}
