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
	t.AppendHeader(table.Row{"place", "operation", "beside", "beside takes", "enact takes", "ratio", "asked"})
	return results{t}
}

// times adds two times and their ratio, ours to the other.
func (r results) times(place, what, beside string, other, ours time.Duration, asked string) {
	r.AppendRow(table.Row{place, what, beside, short(other), short(ours), fmt.Sprintf("%.2fx time", float64(ours)/float64(other)), asked})
}

// speeds adds the two times in which the same was done and the ratio of the speeds, ours
// to the other.
func (r results) speeds(place, what, beside string, other, ours time.Duration, asked string) {
	r.AppendRow(table.Row{place, what, beside, short(other), short(ours), fmt.Sprintf("%.2fx speed", float64(other)/float64(ours)), asked})
}
