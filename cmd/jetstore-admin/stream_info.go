package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) streamInfoCommand() *cobra.Command {
	var tenant tenantFlag
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show the log's streams: settings, state, leader, replicas, sizes",
		Long: `Show the log's stream and its index: their settings, and whether they keep the log's
guarantees, how much is in them, who leads them, and how far each replica is.

-o json holds the whole configuration and state as the server tells them.`,
		Example: `  jetstore-admin stream info --server nats://localhost:4222
  jetstore-admin stream info --context production --per-tenant --tenant acme -o json`,
		Args: takes(0, 0),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return a.withSession(ctx, reads, func(s *session) error {
				found, want, err := s.streams(ctx, &tenant)
				if err != nil {
					return err
				}
				var reports []streamReport
				for i, st := range found {
					reports = append(reports, report(kinds[i], st, want[i]))
				}
				return a.printReports(reports)
			})
		}),
	}
	tenant.add(cmd, tenantOfStreams)
	return cmd
}

// streamReport is a stream, as printed.
type streamReport struct {
	Kind        string                 `json:"kind"` // log or index
	Stream      string                 `json:"stream"`
	Incarnation string                 `json:"incarnation"`
	Problems    []streamProblem        `json:"problems"` // settings that break a guarantee
	Created     time.Time              `json:"created"`
	Config      jetstream.StreamConfig `json:"config"`
	State       jetstream.StreamState  `json:"state"`
	Cluster     *jetstream.ClusterInfo `json:"cluster,omitempty"`
}

// streamProblem is a setting that breaks a guarantee, as printed.
type streamProblem struct {
	Setting string `json:"setting"`
	Have    string `json:"have"`
	Want    string `json:"want"`
	Why     string `json:"why"`
}

func report(kind string, st *streamState, want jetstream.StreamConfig) streamReport {
	return streamReport{
		Kind: kind, Stream: st.Config.Name, Incarnation: st.incarnation(), Problems: problemsOf(st.Config, want),
		Created: st.Created, Config: st.Config, State: st.State, Cluster: st.Cluster,
	}
}

// problemsOf names the settings that break a guarantee.
func problemsOf(have, want jetstream.StreamConfig) []streamProblem {
	problems := []streamProblem{}
	if broken, ok := errors.AsType[*enact.StreamConfigError](jetstore.CheckConfig(have, want)); ok {
		for _, p := range broken.Problems {
			problems = append(problems, streamProblem(p))
		}
	}
	return problems
}

func (a *app) printReports(reports []streamReport) error {
	if a.format != formatTable {
		return printList(a, reports, "", nil, nil)
	}
	for i, r := range reports {
		if i > 0 {
			if err := a.stdout.WriteByte('\n'); err != nil {
				return err
			}
		}
		if err := writePairs(a.stdout, a.reportPairs(r)); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) reportPairs(r streamReport) [][2]string {
	pairs := [][2]string{
		{strings.ToUpper(r.Kind[:1]) + r.Kind[1:], name(r.Stream)},
		{"Subjects", strings.Join(r.Config.Subjects, ", ")},
		{"Incarnation", r.Incarnation},
		{"Created", stamp(r.Created, clock)},
		{"Storage", r.Config.Storage.String() + compressionText(r.Config.Compression)},
		{"Placement", placementText(r.Config.Placement)},
		{"Guarantees", a.guaranteesText(r.Problems)},
		{"Records", humanize.Comma(int64(r.State.Msgs))},
		{"Bytes", bytesText(r.State.Bytes)},
		{"Positions", fmt.Sprintf("%d to %d", r.State.FirstSeq, r.State.LastSeq)},
		{"Last written", stamp(r.State.LastTime, clock)},
		{subjectsName(r.Kind), humanize.Comma(int64(r.State.NumSubjects))},
		{"Consumers", humanize.Comma(int64(r.State.Consumers))},
		{"Replicas", humanize.Comma(int64(r.Config.Replicas))},
	}
	if r.State.NumDeleted > 0 {
		pairs = append(pairs, [2]string{"Missing", a.colours.paint(text.FgRed, humanize.Comma(int64(r.State.NumDeleted))+" positions in between")})
	}
	if lost := r.State.Lost; lost != nil {
		pairs = append(pairs, [2]string{"Lost", a.colours.paint(text.FgRed, fmt.Sprintf("%d messages, %s", len(lost.Msgs), bytesText(lost.Bytes)))})
	}
	if r.Cluster == nil {
		return pairs
	}
	leader := r.Cluster.Leader
	if leader == "" {
		leader = a.colours.paint(text.FgRed, "none")
	}
	pairs = append(pairs, [2]string{"Leader", leader})
	for _, peer := range r.Cluster.Replicas {
		pairs = append(pairs, [2]string{"Replica", a.peerText(peer)})
	}
	return pairs
}

// subjectsName says what the subjects of a stream are.
func subjectsName(kind string) string {
	if kind == kinds[0] {
		return "Executions"
	}
	return "Tenants"
}

func (a *app) guaranteesText(problems []streamProblem) string {
	if len(problems) == 0 {
		return a.colours.paint(text.FgGreen, "kept")
	}
	var said []string
	for _, p := range problems {
		said = append(said, fmt.Sprintf("%s is %s, must be %s: %s", p.Setting, p.Have, p.Want, p.Why))
	}
	return a.colours.paint(text.FgRed, "broken: "+strings.Join(said, "; "))
}

func (a *app) peerText(p *jetstream.PeerInfo) string {
	state, colour := "current", text.FgGreen
	switch {
	case p.Offline:
		state, colour = "offline", text.FgRed
	case !p.Current:
		state, colour = "behind", text.FgYellow
	}
	return fmt.Sprintf("%s: %s, lag %s, seen %s ago", p.Name, a.colours.paint(colour, state), humanize.Comma(int64(p.Lag)), span(p.Active))
}

func compressionText(c jetstream.StoreCompression) string {
	if c == jetstream.NoCompression {
		return ""
	}
	return ", " + c.String()
}

func placementText(p *jetstream.Placement) string {
	if p == nil {
		return ""
	}
	var said []string
	if p.Cluster != "" {
		said = append(said, "cluster "+p.Cluster)
	}
	if len(p.Tags) > 0 {
		said = append(said, "tags "+strings.Join(p.Tags, ", "))
	}
	return strings.Join(said, ", ")
}

func bytesText(n uint64) string { return humanize.IBytes(n) }

func lastWritten(st *streamState) string {
	if st.State.Msgs == 0 {
		return "never"
	}
	return stamp(st.State.LastTime, clock)
}
