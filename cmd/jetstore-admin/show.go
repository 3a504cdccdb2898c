package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/replay"
)

func (a *app) showCommand() *cobra.Command {
	var tenant tenantFlag
	cmd := &cobra.Command{
		Use:   "show EXECUTION",
		Short: "Show the state of an execution: its status and the tree of its steps",
		Long: `Show the state of an execution, as replaying all its events gives it: where it
stands, and the tree of its steps with their attempts, tool calls, artifacts,
checkpoints and goals.`,
		Example: `  jetstore-admin execution show --store ./data exec_2yB8…
  jetstore-admin execution show --store ./data exec_2yB8… -o json`,
		Args: takes(1, 1),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return a.withExecution(ctx, &tenant, args[0], func(run jetstore.Execution, _ enact.Head) error {
				state, err := replay.Collect(run.Events(ctx, 0))
				if err != nil {
					return err
				}
				return a.printState(state)
			})
		}),
	}
	tenant.add(cmd, tenantOfOne)
	return cmd
}

func (a *app) printState(state *replay.State) error {
	if a.format != formatTable {
		return writeJSON(a.stdout, a.format, state)
	}
	if err := writePairs(a.stdout, a.statePairs(state)); err != nil {
		return err
	}
	v := &stateView{state: state, colours: a.colours}
	for _, s := range []struct {
		title string
		lines []string
	}{
		{"Steps", v.steps()},
		{"Outside of steps", v.outside()},
		{"Open tool calls", v.openCalls()},
		{"Goals", v.goals()},
		{"Pauses", v.pauses()},
		{"Errors", v.errors()},
	} {
		if len(s.lines) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(a.stdout, "\n%s\n%s\n", s.title, strings.Join(s.lines, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// statePairs is what is true of the execution as a whole.
func (a *app) statePairs(s *replay.State) [][2]string {
	pairs := [][2]string{
		{"Execution", name(s.ExecutionID)},
		{"Tenant", name(s.TenantID)},
		{"Status", a.colours.paint(statusColour(s.Status), string(s.Status))},
		{"Started", stamp(s.StartedAt, clock)},
		{"Ended", stamp(s.EndedAt, clock)},
		{"Duration", durationText(s)},
		{"Events", humanize.Comma(int64(s.Events))},
		{"Parent", join(parentText(s.Parent))},
		{"Metadata", join(string(s.Metadata))},
		{"Output", join(optional(s.Output))},
		{"Reason", join(s.Reason)},
	}
	if s.Error != nil {
		pairs = append(pairs, [2]string{"Error", failureText(s.Error, summaryWidth)})
	}
	if s.Unreadable > 0 {
		pairs = append(pairs, [2]string{"Unreadable", fmt.Sprintf("%d events, their key is gone", s.Unreadable)})
	}
	return append(pairs,
		[2]string{"Custom", countsText(s.CustomEvents)},
		[2]string{"Unknown", countsText(s.UnknownEvents)})
}

// durationText is the time between start and end by the events' times, and what the
// execution says itself where that differs.
func durationText(s *replay.State) string {
	if s.StartedAt.IsZero() || s.EndedAt.IsZero() {
		return ""
	}
	text := span(s.EndedAt.Sub(s.StartedAt))
	if s.DurationMS != nil && millis(*s.DurationMS) != text {
		text += ", reported as " + millis(*s.DurationMS)
	}
	return text
}

func countsText(counts map[string]uint64) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s ×%d", kind, counts[kind]))
	}
	return join(strings.Join(parts, ", "))
}
