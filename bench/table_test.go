//go:build biglog

package bench

import (
	"fmt"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// results is a table of what was measured beside something else, with what is asked of
// the ratio.
type results struct{ table.Writer }

func newResults(title string) results {
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.SetTitle("%s", title)
	t.AppendHeader(table.Row{"place", "operation", "beside", "beside takes", "enact takes", "ratio", "asked", "met"})
	return results{t}
}

// times adds two times and their ratio, ours to the other; asked is what the ratio is to be
// at most, 0: nothing is asked.
func (r results) times(place, what, beside string, other, ours time.Duration, asked float64) {
	ratio := float64(ours) / float64(other)
	r.add(place, what, beside, other, ours, fmt.Sprintf("%.2fx time", ratio), "<=", asked, ratio <= asked)
}

// speeds adds the two times in which the same was done and the ratio of the speeds, ours
// to the other; asked is what the ratio is to be at least, 0: nothing is asked.
func (r results) speeds(place, what, beside string, other, ours time.Duration, asked float64) {
	ratio := float64(other) / float64(ours)
	r.add(place, what, beside, other, ours, fmt.Sprintf("%.2fx speed", ratio), ">=", asked, ratio >= asked)
}

func (r results) add(place, what, beside string, other, ours time.Duration, ratio, than string, asked float64, met bool) {
	goal, verdict := "", ""
	if asked > 0 {
		goal, verdict = fmt.Sprintf("%s %.4g", than, asked), "no"
		if met {
			verdict = "yes"
		}
	}
	r.AppendRow(table.Row{place, what, beside, short(other), short(ours), ratio, goal, verdict})
}
