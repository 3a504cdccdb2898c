package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// diffFlags are the flags of diff.
type diffFlags struct {
	tenant  tenantFlag
	tenantB tenantFlag
	file    string
	strict  bool
}

func (a *app) diffCommand() *cobra.Command {
	var flags diffFlags
	cmd := &cobra.Command{
		Use:   "diff A [B]",
		Short: "Find the first event in which two executions differ",
		Long: `Compare two executions event by event and show the first that differs: two of the log,
or, with --file, one of the log with one of a file that export wrote ("-": standard
input), where B is A unless it is named.

Events are compared by value: the order of keys and white space do not count. Of two
executions, times and metadata hardly ever are equal, so they are compared with --strict
only.

The exit code is 0 if the executions are equal, else 1.`,
		Example: `  jetstore-admin execution diff --store ./data exec_2yB8… exec_3CKy…
  jetstore-admin execution diff --store ./data exec_2yB8… --file backup.jsonl --strict`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 || len(args) == 1 && flags.file != "" {
				return nil
			}
			return usagef("name two executions, or one and --file")
		},
		RunE: a.doLong(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return a.withExecution(ctx, &flags.tenant, args[0], func(run jetstore.Execution, _ enact.Head) error {
				sideB, err := a.otherSide(ctx, run, args[1:], &flags)
				if err != nil {
					return err
				}
				d, err := firstDifference(run.Events(ctx, 0), sideB, flags.strict)
				if err != nil {
					return err
				}
				return a.printDifference(d)
			})
		}),
	}
	flags.tenant.add(cmd, tenantOfOne)
	cmd.Flags().StringVar(&flags.tenantB.id, "tenant-b", "", "tenant of B (default as --tenant, else looked up; in a file: any)")
	cmd.Flags().StringVar(&flags.file, "file", "", "B is in this `file` of JSON lines")
	cmd.Flags().BoolVar(&flags.strict, "strict", false, "compare times and metadata too")
	return cmd
}

// otherSide returns the events of B, which must have some.
func (a *app) otherSide(ctx context.Context, run jetstore.Execution, args []string, flags *diffFlags) (iter.Seq2[enact.StoredEvent, error], error) {
	id := run.ID()
	if len(args) > 0 {
		var err error
		if id, err = executionArg(args[0]); err != nil {
			return nil, err
		}
	}
	tenant := flags.tenantB
	if tenant.id == "" {
		tenant = flags.tenant
	}
	if flags.file != "" {
		return a.executionInFile(ctx, flags.file, tenant.id, id), nil
	}
	head, err := tenant.existing(ctx, run.Store(), id)
	if err != nil {
		return nil, err
	}
	return run.Store().Execution(head.TenantID, id).Events(ctx, 0), nil
}

// executionInFile yields the events of one execution among the lines of a file, which must
// have some; of one tenant, unless that is "".
func (a *app) executionInFile(ctx context.Context, file, tenant string, id enact.ExecutionID) iter.Seq2[enact.StoredEvent, error] {
	return func(yield func(enact.StoredEvent, error) bool) {
		fail := func(err error) { yield(enact.StoredEvent{}, err) }
		in, err := a.openInput(ctx, file)
		if err != nil {
			fail(err)
			return
		}
		defer in.Close()
		found := false
		for lines := newLineReader(file, in); ; {
			at, line, err := lines.next()
			switch {
			case errors.Is(err, io.EOF) && !found:
				fail(fmt.Errorf("%s has no event of execution %q", file, id))
				return
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				fail(err)
				return
			}
			var ev enact.StoredEvent
			if err := ev.UnmarshalJSON(line); err != nil {
				fail(&lineError{at, err})
				return
			}
			if ev.ExecutionID != id || tenant != "" && string(ev.TenantID) != tenant {
				continue
			}
			found = true
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// difference is the first in which two executions differ.
type difference struct {
	Equal    bool            `json:"equal"`
	Events   uint64          `json:"events"`             // that are equal, from the first on
	Sequence uint64          `json:"sequence,omitempty"` // of the first that differs
	In       string          `json:"in,omitempty"`       // event, timestamp, metadata, sequence, or end
	A        json.RawMessage `json:"a,omitempty"`        // the event of A; none: A ends before
	B        json.RawMessage `json:"b,omitempty"`
}

// firstDifference compares two histories; strict with times and metadata.
func firstDifference(a, b iter.Seq2[enact.StoredEvent, error], strict bool) (difference, error) {
	var d difference
	nextB, stop := iter.Pull2(b)
	defer stop()
	for x, err := range a {
		if err != nil {
			return d, fmt.Errorf("execution A: %w", err)
		}
		y, err, ok := nextB()
		if err != nil {
			return d, fmt.Errorf("execution B: %w", err)
		}
		if !ok {
			d.Sequence, d.In = x.Sequence, "end"
			d.A, err = showEvent(x)
			return d, err
		}
		if d.In = differs(x, y, strict); d.In != "" {
			d.Sequence = x.Sequence
			if d.A, err = showEvent(x); err == nil {
				d.B, err = showEvent(y)
			}
			return d, err
		}
		d.Events++
	}
	y, err, ok := nextB()
	if err != nil {
		return d, fmt.Errorf("execution B: %w", err)
	}
	if ok {
		d.Sequence, d.In = y.Sequence, "end"
		d.B, err = showEvent(y)
		return d, err
	}
	d.Equal = true
	return d, nil
}

// differs says in what two events differ, "" if in nothing that counts.
func differs(x, y enact.StoredEvent, strict bool) string {
	switch {
	case x.Sequence != y.Sequence:
		return "sequence"
	case !sameEvents(x.Event, y.Event):
		return "event"
	case strict && !x.Timestamp.Equal(y.Timestamp):
		return "timestamp"
	case strict && !maps.Equal(x.Metadata, y.Metadata):
		return "metadata"
	}
	return ""
}

func showEvent(ev enact.StoredEvent) (json.RawMessage, error) {
	ev.Position = 0 // says nothing about the event
	return ev.AppendJSON(nil)
}

func (a *app) printDifference(d difference) error {
	var err error
	switch {
	case a.format != formatTable:
		err = writeJSON(a.stdout, a.format, d)
	case d.Equal:
		_, err = fmt.Fprintf(a.stdout, "equal: %s\n", counted(int(d.Events), "event"))
	case d.A == nil:
		_, err = fmt.Fprintf(a.stdout, "A ends after %s, B goes on\n  B: %s\n", counted(int(d.Events), "event"), inline(string(d.B), diffWidth))
	case d.B == nil:
		_, err = fmt.Fprintf(a.stdout, "B ends after %s, A goes on\n  A: %s\n", counted(int(d.Events), "event"), inline(string(d.A), diffWidth))
	default:
		_, err = fmt.Fprintf(a.stdout, "event %d differs in its %s\n  A: %s\n  B: %s\n", d.Sequence, d.In, inline(string(d.A), diffWidth), inline(string(d.B), diffWidth))
	}
	if d.Equal {
		return err
	}
	return exitCode(exitError).orGone(err)
}

// diffWidth bounds an event that is shown, in columns.
const diffWidth = 1000
