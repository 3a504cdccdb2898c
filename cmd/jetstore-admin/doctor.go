package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/doctor"
	"github.com/enactlog/enact/jetstore"
)

// Exit codes of doctor.
const (
	exitWarn = 1
	exitFail = 2
)

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	tenant        tenantFlag
	systemContext string
	systemCreds   string
	monitors      []string
	role          string
	lag           uint64
	noProbes      bool
}

func (a *app) doctorCommand() *cobra.Command {
	var flags doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine what the log's guarantees rest on",
		Long: `Examine what the log's guarantees rest on: the servers' versions, whether they sync
before they acknowledge, the streams' settings and replicas, what the connection may
do, the clocks, how long a round trip and an append take, whether anything stores
events twice, consumers that fall behind, and storage.

The log is only read. Appends are tried in a scratch log, which has streams of its own
and is removed afterwards, also after an interrupt. What the connection may do is asked
of the server, or tried with requests that no server carries out.

How servers sync, what they store and what their clocks say, only the system account
and the servers' monitoring tell: give --system-context, --system-creds or --monitor.

Each check says ok, unknown, warn or fail; docs/operations.md has more on each.

Exit codes:
  0    all is well, as far as it could be found out
  1    a warning at worst, or an interrupt
  2    something fails, or the log cannot be reached`,
		Example: `  jetstore-admin doctor --context production --system-context production-system
  jetstore-admin doctor --server nats://localhost:4222 --monitor http://localhost:8222 -o json
  jetstore-admin doctor --server nats://localhost:4222 --creds writer.creds --role writer`,
		Args: takes(0, 0),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			report, err := a.examine(ctx, &flags)
			if err != nil {
				return err
			}
			code := exitCode(exitOK)
			switch report.Worst {
			case doctor.Warn:
				code = exitWarn
			case doctor.Fail:
				code = exitFail
			}
			return code.orGone(a.printReport(report))
		}),
	}
	flags.tenant.add(cmd, "with --per-tenant: examine this tenant's streams only")
	f := cmd.Flags()
	f.StringVar(&flags.systemContext, "system-context", "", "`context` of the nats CLI for the system account")
	f.StringVar(&flags.systemCreds, "system-creds", "", "credentials `file` of the system account, for the same servers")
	f.StringArrayVar(&flags.monitors, "monitor", nil, "`URL` of a server's monitoring, as in http://n1:8222; may be repeated")
	f.StringVar(&flags.role, "role", "", "whose connection this is: operator, writer or reader")
	f.Uint64Var(&flags.lag, "lag", doctor.DefaultLag, "records that a consumer may be behind")
	f.BoolVar(&flags.noProbes, "no-probes", false, "make no scratch log")
	exclusive(cmd, "system-context", "system-creds")
	// The error is for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"operator", "writer", "reader"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *doctorFlags) check() error {
	for _, m := range f.monitors {
		if u, err := url.Parse(m); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return usagef("--monitor %q is no URL, as in http://n1:8222", m)
		}
	}
	return checkRole(f.role)
}

// examine connects and has the log examined. A log that cannot be reached is a report too.
func (a *app) examine(ctx context.Context, flags *doctorFlags) (doctor.Report, error) {
	var report doctor.Report
	reached := false
	err := a.withSession(ctx, reads, func(s *session) (err error) {
		reached = true
		p := doctor.Patient{
			Conn: s.nc, Options: s.options, Tenant: enact.TenantID(flags.tenant.id), Embedded: s.server != nil,
			Monitors: flags.monitors, Role: jetstore.Role(flags.role), Lag: flags.lag, NoProbes: flags.noProbes,
		}
		p.System, err = a.systemConn(flags)
		switch {
		case isUsage(err):
			return err
		case err != nil:
			p.Unheard = append(p.Unheard, err.Error())
		case p.System != nil:
			defer p.System.Close()
		}
		report, err = doctor.Examine(ctx, p)
		return err
	})
	if err != nil && !reached && !isUsage(err) && a.interrupt.Err() == nil {
		cause, next := a.explain(err)
		return doctor.Unreachable(errors.New(cause), next), nil
	}
	if errors.Is(err, enact.ErrInvalidOption) || errors.Is(err, enact.ErrInvalidID) {
		return report, asUsage(err)
	}
	return report, err
}

// systemConn connects to the system account, if that is asked for.
func (a *app) systemConn(flags *doctorFlags) (nc *nats.Conn, err error) {
	opts := []nats.Option{nats.Name(programName), nats.Timeout(a.timeout), unprinted}
	switch {
	case flags.systemContext == "" && flags.systemCreds == "":
		return nil, nil
	case a.connection.store != "":
		return nil, usagef("--system-context and --system-creds are for a server elsewhere, not for --store")
	case flags.systemContext != "":
		nc, _, err = natscontext.Connect(flags.systemContext, opts...)
	default:
		var s *session
		if s, err = a.dial(a.interrupt, anonymous, nats.UserCredentials(flags.systemCreds)); err == nil {
			nc = s.nc
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the system account: %w", err)
	}
	return nc, nil
}

func (a *app) printReport(r doctor.Report) error {
	switch a.format {
	case formatJSON:
		return writeJSON(a.stdout, a.format, r)
	case formatJSONL:
		for _, f := range r.Findings {
			if err := writeJSON(a.stdout, a.format, f); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable()
	t.AppendHeader(table.Row{"Status", "Check", "Found"})
	counts := make(map[doctor.Status]int)
	for _, f := range r.Findings {
		counts[f.Status]++
		t.AppendRow(table.Row{a.colours.paint(findingColour(f.Status), string(f.Status)), f.Check, inline(f.Found, findingWidth)})
		for _, more := range []struct{ title, text string }{{"  means", f.Means}, {"  mend", f.Mend}} {
			if more.text != "" {
				t.AppendRow(table.Row{"", a.colours.paint(text.Faint, more.title), a.colours.paint(text.Faint, inline(more.text, findingWidth))})
			}
		}
	}
	var parts []string
	for _, s := range []doctor.Status{doctor.Fail, doctor.Warn, doctor.Unknown, doctor.OK} {
		if counts[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[s], s))
		}
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n\n%s\n", t.Render(), strings.Join(parts, ", "))
	return err
}

// findingWidth bounds a line of a report, in columns: a settings' check may name many.
const findingWidth = 1000

func findingColour(s doctor.Status) text.Color {
	switch s {
	case doctor.OK:
		return text.FgGreen
	case doctor.Warn:
		return text.FgYellow
	case doctor.Fail:
		return text.FgRed
	}
	return text.FgCyan
}
