//go:build faults

package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"
)

// totals is what came of all campaigns.
type totals struct {
	mu      sync.Mutex
	of      map[*fault]*tally
	reads   int
	stale   []time.Duration // reads that were older than what another process had been told
	delays  []time.Duration // longest appends of rounds in which a leader was killed
	repeats map[string]int  // of events that groups were given again
	dead    int
	lived   int
}

// tally is what came of one kind of fault.
type tally struct {
	rounds, operations, lost, duplicated, unknown int
	unavailable                                   []time.Duration
}

func newTotals() *totals {
	t := &totals{of: make(map[*fault]*tally), repeats: make(map[string]int)}
	for _, f := range faultKinds {
		t.of[f] = new(tally)
	}
	return t
}

func (t *totals) round(e *episode, unavailable time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	y := t.of[e.fault]
	y.rounds++
	y.unavailable = append(y.unavailable, unavailable)
}

func (t *totals) operation(f *fault, op *operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	y := t.of[f]
	y.operations++
	if op.Outcome == unknown && op.Kind == opAppend {
		y.unknown++
	}
}

func (t *totals) lost(op *operation, episodes []*episode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := episodes[op.Round]; e != nil {
		t.of[e.fault].lost++
	}
}

func (t *totals) duplicated(appends []*operation, name string, episodes []*episode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range appends {
		if e := episodes[op.Round]; e != nil && strings.HasPrefix(name, op.Name+"/") {
			t.of[e.fault].duplicated++
			return
		}
	}
}

func (t *totals) read(*operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads++
}

func (t *totals) staleRead(age time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = append(t.stale, age)
}

// again notes the events that a group was given again.
func (t *totals) again(group string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.repeats[group] += n
}

func (t *totals) killed(longest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delays = append(t.delays, longest)
}

// settled notes how appends of unknown outcome were settled.
func (t *totals) settled(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o == stored {
		t.lived++
	} else {
		t.dead++
	}
}

// quantile returns the least value that a share of the values does not exceed.
func quantile(values []time.Duration, share float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// write writes the table to the file that reportVariable names, if it names one.
func (t *totals) write(tb testing.TB) {
	if path := os.Getenv(reportVariable); path != "" {
		require.NoError(tb, os.WriteFile(path, []byte(t.markdown()), 0o600))
	}
}

// markdown is the table of what came of the faults.
func (t *totals) markdown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := table.NewWriter()
	w.AppendHeader(table.Row{"fault", "rounds", "operations", "lost", "duplicated", "unknown", "unavailable p50", "p99"})
	var sum tally
	row := func(name string, y *tally) {
		w.AppendRow(table.Row{
			name, y.rounds, y.operations, y.lost, y.duplicated, y.unknown,
			seconds(quantile(y.unavailable, 0.5)), seconds(quantile(y.unavailable, 0.99)),
		})
	}
	for _, f := range faultKinds {
		y := t.of[f]
		row(f.name, y)
		if f.name != stepDown {
			sum.rounds += y.rounds
		}
		sum.operations, sum.lost, sum.duplicated, sum.unknown = sum.operations+y.operations, sum.lost+y.lost, sum.duplicated+y.duplicated, sum.unknown+y.unknown
		sum.unavailable = append(sum.unavailable, y.unavailable...)
	}
	row("**all; rounds without step-downs**", &sum)
	text := w.RenderMarkdown() + "\n\n"
	text += fmt.Sprintf("Appends of unknown outcome: %d, of which %d were settled as stored and %d as never stored. ", sum.unknown, t.lived, t.dead)
	text += fmt.Sprintf("Reads and lists that were checked: %d. Reads older than what another process had been told, none of which had asked for more: %d", t.reads, len(t.stale))
	if len(t.stale) > 0 {
		text += fmt.Sprintf(", the oldest by %s", seconds(slices.Max(t.stale)))
	}
	text += fmt.Sprintf(". Leaders killed: no error for an append that left its time-out to the store; the longest append of a round p50 %s, p99 %s",
		seconds(quantile(t.delays, 0.5)), seconds(quantile(t.delays, 0.99)))
	return text + fmt.Sprintf(". Events that the ordered group was given again: %d; the parallel group: %d.\n", t.repeats[subOrdered], t.repeats[subParallel])
}
