package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/jetstore"
)

// Exit codes of fsck beside 0.
const (
	exitFaults    exitCode = 1
	exitUnchecked exitCode = 2
)

// fsckFlags are the flags of fsck.
type fsckFlags struct {
	tenant      tenantFlag
	head        string
	state       string
	memory      string
	limit       int
	eachReplica bool
	repair, yes bool
}

func (a *app) fsckCommand() *cobra.Command {
	var f fsckFlags
	cmd := &cobra.Command{
		Use:   "fsck [EXECUTION]",
		Short: "Check the log as a whole, a tenant or an execution",
		Long: `Check the log as a whole, a tenant or an execution, up to where it ends when the check
begins: sequences, counts, chains, links, staged batches, payloads, and the index against
the executions. It goes on behind whatever it finds, and may run beside writers.

What only a comparison finds is compared where it is asked for: a missing or rewritten end
with --head, against heads kept elsewhere ("execution head --all" prints them); copies of
the log that differ with --each-replica, which makes each server the leader in turn.

--repair adds the index entries that executions lack, and nothing else: nothing in a log is
changed or deleted. It lists them first and asks.

Exit codes:
  0    nothing is wrong; there may be notices
  1    faults were found
  2    no faults, but not everything could be checked; also errors, and an interrupt`,
		Example: `  jetstore-admin fsck --store ./data
  jetstore-admin fsck --tenant acme --head heads.jsonl -o json
  jetstore-admin fsck --each-replica --state fsck.state --memory 256MiB
  jetstore-admin fsck --repair`,
		Args: takes(0, 1),
		RunE: a.doLong(func(ctx context.Context, _ *cobra.Command, args []string) error {
			opts, err := f.options(args)
			if err != nil {
				return err
			}
			if err := f.checkRepair(a, args); err != nil {
				return err
			}
			err = a.withStore(ctx, reads, func(store *jetstore.Store) error { return a.fsck(ctx, store, &f, opts) })
			return a.uncheckable(ctx, &f, err)
		}),
	}
	f.tenant.add(cmd, "check this tenant only")
	flags := cmd.Flags()
	flags.StringVar(&f.head, "head", "", "compare with the heads in this `file`")
	flags.BoolVar(&f.eachReplica, "each-replica", false, "make each server the leader in turn and compare what they hold")
	flags.StringVar(&f.state, "state", "", "`file` that a check which is broken off leaves behind, to go on from")
	flags.StringVar(&f.memory, "memory", "64MiB", "`size` of what is kept of executions; more of them take more passes")
	flags.IntVarP(&f.limit, "limit", "n", fsck.DefaultFindings, "list at most so many findings; all are counted")
	flags.BoolVar(&f.repair, "repair", false, "add the index entries that are missing")
	flags.BoolVar(&f.yes, "yes", false, "repair without asking")
	return cmd
}

func (f *fsckFlags) options(args []string) (fsck.Options, error) {
	o := fsck.Options{Findings: f.limit, State: f.state, EachReplica: f.eachReplica}
	memory, err := humanize.ParseBytes(f.memory)
	if err != nil || memory < 1<<10 || memory > 1<<50 {
		return o, usagef("--memory %s is not a size from 1 KiB, as in 64MiB", f.memory)
	}
	o.Memory = int64(memory)
	if f.limit < 1 {
		return o, usagef("--limit %d is below 1", f.limit)
	}
	if f.tenant.id != "" {
		if o.Tenant, err = f.tenant.required(); err != nil {
			return o, err
		}
	}
	if len(args) > 0 {
		if o.Execution, err = executionArg(args[0]); err != nil {
			return o, err
		}
	}
	if f.head != "" {
		o.Heads = func() iter.Seq2[enact.Head, error] { return headsOf(f.head) }
	}
	return o, nil
}

// headsOf yields the heads in a file.
func headsOf(name string) iter.Seq2[enact.Head, error] {
	return func(yield func(enact.Head, error) bool) {
		file, err := os.Open(name)
		if err != nil {
			yield(enact.Head{}, err)
			return
		}
		defer func() { _ = file.Close() }() // it was only read
		for h, err := range fsck.ReadHeads(file) {
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			if !yield(h, err) {
				return
			}
		}
	}
}

// checkRepair refuses a repair that could not be done in the end, before the check.
func (f *fsckFlags) checkRepair(a *app, args []string) error {
	switch {
	case f.yes && !f.repair:
		return usagef("--yes is for --repair")
	case !f.repair:
		return nil
	case len(args) > 0 || f.tenant.id != "" && !a.connection.perTenant:
		return usagef("--repair is for whole streams, not for a tenant or an execution of one")
	case !f.yes && !(isTerminal(a.stdin) && isTerminal(a.stderr)):
		return usagef("a repair has to be confirmed, and there is no terminal to ask on: give --yes")
	}
	return nil
}

// uncheckable tells of an error that kept the log from being checked.
func (a *app) uncheckable(ctx context.Context, f *fsckFlags, err error) error {
	if _, ended := errors.AsType[exitCode](err); err == nil || ended || isUsage(err) || errors.Is(err, errReaderGone) {
		return err
	}
	if ctx.Err() != nil {
		a.notice("%s: interrupted", programName)
		if f.state != "" {
			a.notice("The same command goes on from %s.", f.state)
		}
		return exitUnchecked
	}
	cause, next := a.explain(err)
	a.notice("%s: %s", programName, cause)
	if next != "" {
		a.notice("%s", next)
	}
	return exitUnchecked
}

func (a *app) fsck(ctx context.Context, store *jetstore.Store, f *fsckFlags, opts fsck.Options) error {
	show := &fsckBar{a: a}
	opts.Progress = show.set
	report, err := fsck.Check(ctx, store, opts)
	show.end()
	if errors.Is(err, enact.ErrInvalidOption) {
		return asUsage(err)
	}
	if err != nil {
		return err
	}
	if opts.Execution != "" && report.Executions+report.Heads == 0 && len(report.Findings) == 0 {
		return f.tenant.notFound(opts.Execution) // a name that was mistyped is not clean
	}
	printErr := a.printFsck(report, f)
	left := report.Faults
	if f.repair && printErr == nil {
		added, err := a.repair(ctx, store, f, opts.Tenant, report)
		if err != nil {
			return err
		}
		left -= min(left, report.Counts[fsck.Unlisted], added)
	}
	code := exitCode(exitOK)
	switch {
	case left > 0:
		code = exitFaults
	case report.Unchecked > 0:
		code = exitUnchecked
	}
	return code.orGone(printErr)
}

// repair adds what the report says is missing.
func (a *app) repair(ctx context.Context, store *jetstore.Store, f *fsckFlags, tenant enact.TenantID, report *fsck.Report) (added uint64, err error) {
	missing := report.Counts[fsck.Unlisted]
	if missing == 0 {
		a.notice("nothing to repair: no index entry is missing")
		return 0, nil
	}
	if !f.yes {
		if err := a.stdout.Flush(); err != nil {
			return 0, err
		}
		question := fmt.Sprintf("%s will be added to the index. Everything else stays as it is.", plural(missing, "entry", "entries"))
		if err := a.confirm(ctx, question, "add", "yes"); err != nil {
			return 0, err
		}
	}
	show := a.progress("add entries", 0, countUnit)
	added, err = fsck.Repair(ctx, store, tenant, func(p jetstore.RebuildProgress) { show.set(int64(p.Added)) })
	show.end()
	a.notice("%s added to the index, the rest kept as it is", plural(added, "entry", "entries"))
	return added, err
}

func plural(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + more
}

// fsckBar shows how far a check is, with a bar for each stage.
type fsckBar struct {
	a     *app
	stage fsck.Progress // whose bar it is, without its place
	bar   *bar
}

func (b *fsckBar) set(p fsck.Progress) {
	stage := fsck.Progress{Stage: p.Stage, Stream: p.Stream, Replica: p.Replica, Pass: p.Pass, Passes: p.Passes}
	if stage != b.stage {
		b.end()
		title := p.Stream
		if p.Replica != "" {
			title += " on " + p.Replica
		}
		if p.Passes > 1 {
			title += fmt.Sprintf(", pass %d of %d", p.Pass, p.Passes)
		}
		b.stage, b.bar = stage, b.a.progress(title, int64(p.Last-p.First+1), countUnit)
	}
	b.bar.set(int64(p.Position - p.First + 1))
}

func (b *fsckBar) end() {
	b.bar.end()
	b.bar, b.stage = nil, fsck.Progress{}
}

func (a *app) printFsck(r *fsck.Report, f *fsckFlags) error {
	switch a.format {
	case formatJSON:
		if r.Findings == nil {
			r.Findings = []fsck.Finding{}
		}
		return writeJSON(a.stdout, a.format, r)
	case formatJSONL:
		for i := range r.Findings {
			if err := writeJSON(a.stdout, a.format, &r.Findings[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(r.Findings) > 0 {
		if _, err := a.stdout.WriteString(a.fsckTable(r.Findings) + "\n\n"); err != nil {
			return err
		}
	}
	return writePairs(a.stdout, a.fsckSummary(r, f))
}

func (a *app) fsckTable(findings []fsck.Finding) string {
	t := newTable()
	t.AppendHeader(table.Row{"", "Finding", "Stream", "Position", "Tenant", "Execution", "Event", "Reason"})
	t.SetColumnConfigs([]table.ColumnConfig{{Name: "Event", Align: text.AlignRight}})
	for _, f := range findings {
		position := strconv.FormatUint(f.Position, 10)
		if f.Last > 0 {
			position += "-" + strconv.FormatUint(f.Last, 10)
		}
		event, tenant, execution := "", "", ""
		if f.Sequence > 0 {
			event = strconv.FormatUint(f.Sequence, 10)
		}
		if f.TenantID != "" {
			tenant = name(f.TenantID)
		}
		if f.ExecutionID != "" {
			execution = name(f.ExecutionID)
		}
		reason := f.Reason
		if f.Records > 1 {
			reason = humanize.Comma(int64(f.Records)) + " records: " + reason
		}
		t.AppendRow(table.Row{
			a.colours.paint(severityColour(f.Severity), string(f.Severity)), string(f.Kind), f.Stream, position, tenant, execution, event, inline(reason, 160),
		})
	}
	return t.Render()
}

func severityColour(s fsck.Severity) text.Color {
	switch s {
	case fsck.Fault:
		return text.FgRed
	case fsck.Unchecked:
		return text.FgYellow
	}
	return text.FgCyan
}

func (a *app) fsckSummary(r *fsck.Report, f *fsckFlags) [][2]string {
	scope := "everything"
	switch {
	case r.Scope.ExecutionID != "" && r.Scope.TenantID != "":
		scope = "execution " + name(r.Scope.ExecutionID) + " of tenant " + name(r.Scope.TenantID)
	case r.Scope.ExecutionID != "":
		scope = "execution " + name(r.Scope.ExecutionID)
	case r.Scope.TenantID != "":
		scope = "tenant " + name(r.Scope.TenantID)
	}
	ends := "not checked: no heads to compare with, see --head"
	if f.head != "" {
		ends = plural(r.Heads, "head", "heads") + " compared"
	}
	var replicas []string
	for _, s := range r.Streams {
		replicas = append(replicas, s.Replicas...)
	}
	copies := "not checked: one was read, see --each-replica"
	if f.eachReplica {
		copies = cmp.Or(strings.Join(replicas, ", "), "there is one")
	}
	result := a.colours.paint(text.FgGreen, "clean")
	if !r.Clean() {
		result = a.colours.paint(text.FgRed, plural(r.Faults, "fault", "faults")) + ", " + humanize.Comma(int64(r.Unchecked)) + " unchecked"
	}
	if r.Notices > 0 {
		result += ", " + plural(r.Notices, "notice", "notices")
	}
	listed := ""
	if all := r.Faults + r.Unchecked + r.Notices; all > uint64(len(r.Findings)) {
		listed = fmt.Sprintf("%s of %s findings", humanize.Comma(int64(len(r.Findings))), humanize.Comma(int64(all)))
	}
	repair := ""
	if n := r.Counts[fsck.Unlisted]; n > 0 {
		repair = plural(n, "index entry", "index entries") + " can be added, see --repair; everything else is kept as it is"
	}
	unreadable := ""
	if r.Unreadable > 0 {
		unreadable = plural(r.Unreadable, "event", "events") + " whose keys are gone"
	}
	count := func(n uint64) string { return humanize.Comma(int64(n)) }
	return [][2]string{
		{"Checked", scope},
		{"Messages", count(r.Messages)},
		{"Records", count(r.Records)},
		{"Events", count(r.Events)},
		{"Executions", count(r.Executions)},
		{"Index entries", count(r.Entries)},
		{"Unreadable", unreadable},
		{"Ends", ends},
		{"Replicas", copies},
		{"Listed", listed},
		{"Repair", repair},
		{"Result", result},
	}
}
