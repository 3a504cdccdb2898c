package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) verifyCommand() *cobra.Command {
	var (
		tenant tenantFlag
		file   string
	)
	cmd := &cobra.Command{
		Use:   "verify EXECUTION",
		Short: "Read an execution with every check, and say what is proven",
		Long: `Read all events of an execution and check that each record continues the one before:
its number, its sequence, its place, its links, and the hash chain over all of it. A
change, a swap or a loss inside the history shows.

A history whose end was cut off, or that was rewritten from some event on by one who can
write to the log, is a sound one by itself. That shows against a head that was kept
elsewhere: with --head, the file is one that "execution head" wrote, "-" is standard
input, and each of its heads of the execution is compared.

The exit code is 0 if nothing speaks against the history, else 1.`,
		Example: `  jetstore-admin execution verify --store ./data exec_2yB8…
  jetstore-admin execution verify --store ./data --head heads.jsonl exec_2yB8…`,
		Args: takes(1, 1),
		RunE: a.doLong(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return a.withExecution(ctx, &tenant, args[0], func(run jetstore.Execution, head enact.Head) error {
				v, err := a.verify(ctx, run, head)
				if err == nil && cmd.Flags().Changed("head") {
					err = a.compareHeads(ctx, run, file, v)
				}
				if err != nil {
					return err
				}
				err = a.printVerified(v)
				if v.Wrong == "" {
					return err
				}
				a.notice("%s: %s", programName, v.Wrong)
				return exitCode(exitError).orGone(err)
			})
		}),
	}
	tenant.add(cmd, tenantOfOne)
	cmd.Flags().StringVar(&file, "head", "", "compare with the execution's heads in this `file`")
	return cmd
}

// verified is what a verification found.
type verified struct {
	Verified   bool         `json:"verified"`
	Head       enact.Head   `json:"head"`       // of what was read
	Unreadable uint64       `json:"unreadable"` // events whose key is gone; they are in the chain all the same
	Heads      []enact.Head `json:"heads"`      // kept elsewhere, that the history agrees with
	Wrong      string       `json:"wrong,omitempty"`
}

// verify reads the history up to the head and beyond.
func (a *app) verify(ctx context.Context, run jetstore.Execution, head enact.Head) (*verified, error) {
	v := &verified{Head: head, Heads: []enact.Head{}}
	bar := a.progress("events", int64(head.Sequence), countUnit)
	defer bar.end()
	last := uint64(0)
	for ev, err := range run.Events(ctx, 0, enact.AtLeast(head.Sequence)) {
		if errors.Is(err, enact.ErrCorrupt) {
			v.Wrong = err.Error()
			v.Head.Sequence, v.Head.Position, v.Head.Chain = last, 0, enact.Chain{}
			return v, nil
		}
		if err != nil {
			return nil, err
		}
		if _, ok := ev.Event.(enact.Unreadable); ok {
			v.Unreadable++
		}
		last = ev.Sequence
		bar.add(1)
	}
	// What was appended meanwhile was read too.
	v.Verified = true
	var err error
	v.Head, err = run.HeadAt(ctx, last)
	return v, err
}

// compareHeads holds the history against the execution's heads in a file.
func (a *app) compareHeads(ctx context.Context, run jetstore.Execution, file string, v *verified) error {
	in, err := a.openInput(ctx, file)
	if err != nil {
		return err
	}
	defer in.Close()
	found := false
	for kept, err := range fsck.ReadHeads(in) {
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if kept.ExecutionID != run.ID() || kept.TenantID != run.Tenant() {
			continue
		}
		found = true
		if v.Wrong != "" {
			continue // an end that cannot be read proves nothing
		}
		at, err := run.HeadAt(ctx, kept.Sequence)
		switch {
		case err != nil:
			return err
		case at.Sequence == 0:
			v.Wrong = fmt.Sprintf("the end is missing: the head that was kept is of %s, the log has %d", counted(int(kept.Sequence), "event"), v.Head.Sequence)
		case at.Sequence != kept.Sequence || at.Chain != kept.Chain:
			v.Wrong = fmt.Sprintf("the history was rewritten: event %d is not the one whose head was kept", kept.Sequence)
		default:
			v.Heads = append(v.Heads, kept)
		}
		v.Verified = v.Verified && v.Wrong == ""
	}
	if !found {
		return fmt.Errorf("%s has no head of execution %q of tenant %q", file, run.ID(), run.Tenant())
	}
	return nil
}

func (a *app) printVerified(v *verified) error {
	if a.format != formatTable {
		return writeJSON(a.stdout, a.format, v)
	}
	pairs := [][2]string{
		{"Execution", name(v.Head.ExecutionID)},
		{"Tenant", name(v.Head.TenantID)},
		{"Events", humanize.Comma(int64(v.Head.Sequence)) + ", each record continues the one before"},
	}
	if v.Unreadable > 0 {
		pairs = append(pairs, [2]string{"Unreadable", humanize.Comma(int64(v.Unreadable)) + ", their key is gone; the chain holds all the same"})
	}
	if v.Head.Position > 0 {
		pairs = append(pairs, [2]string{"Position", strconv.FormatUint(v.Head.Position, 10)}, [2]string{"Chain", v.Head.Chain.String()})
	}
	for _, h := range v.Heads {
		pairs = append(pairs, [2]string{"Kept head", fmt.Sprintf("of %s: agrees", counted(int(h.Sequence), "event"))})
	}
	switch {
	case v.Wrong != "":
	case len(v.Heads) == 0:
		pairs = append(pairs, [2]string{"Proven", "nothing inside was changed, swapped or lost; the end only against a head kept elsewhere (--head)"})
	default:
		through := uint64(0)
		for _, h := range v.Heads {
			through = max(through, h.Sequence)
		}
		text := "the history is the one whose head was kept"
		if more := v.Head.Sequence - through; more > 0 {
			text = fmt.Sprintf("the first %s are those whose head was kept; %s since", humanize.Comma(int64(through)), counted(int(more), "event"))
		}
		pairs = append(pairs, [2]string{"Proven", text})
	}
	return writePairs(a.stdout, pairs)
}
