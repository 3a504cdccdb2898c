package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
)

// Exit codes of a check, as monitoring plugins have them.
const (
	checkOK = iota
	checkWarning
	checkCritical
	checkUnknown
)

var checkNames = [...]string{checkOK: "OK", checkWarning: "WARNING", checkCritical: "CRITICAL", checkUnknown: "UNKNOWN"}

// worse returns the status that matters more: what is critical is, whatever is unknown.
func worse(a, b int) int {
	order := [...]int{checkOK: 0, checkWarning: 1, checkUnknown: 2, checkCritical: 3}
	if order[b] > order[a] {
		return b
	}
	return a
}

// checkFlags are the flags of stream check.
type checkFlags struct {
	tenant     tenantFlag
	peers      int
	lag        limits
	seen       time.Duration
	messages   limits
	bytes      [2]string // warning, critical
	prometheus bool
}

// limits are values from which a check warns and is critical; 0 is none.
type limits struct{ warn, critical uint64 }

func (l limits) status(value uint64) int {
	switch {
	case l.critical > 0 && value >= l.critical:
		return checkCritical
	case l.warn > 0 && value >= l.warn:
		return checkWarning
	}
	return checkOK
}

func (a *app) streamCheckCommand() *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the log's streams, for monitoring",
		Long: `Check the log's stream and its index: that their settings keep the log's guarantees,
that nothing is missing in them, that they have a leader and all their replicas, that
these are current, and whatever the thresholds say. A threshold is reached from its
value on; without one there is none.

Output is one line as monitoring plugins write it, JSON with -o json, or the text format
of Prometheus with --prometheus.

Exit codes:
  0    all is well
  1    a warning
  2    critical; also: no server, no JetStream, no such stream
  3    not known: wrong credentials, no permission, time-out, a command line that
       makes no sense`,
		Example: `  jetstore-admin stream check --context production --lag-warn 1000 --lag-critical 10000
  jetstore-admin stream check --context production --bytes-warn 80% --bytes-critical 95% -o json
  jetstore-admin stream check --context production --prometheus > enact.prom`,
		Annotations: map[string]string{usageExit: strconv.Itoa(checkUnknown)},
		Args:        takes(0, 0),
		RunE: a.do(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if flags.prometheus && cmd.Flags().Changed("output") {
				return usagef("--prometheus and --output exclude each other")
			}
			return a.checkStreams(ctx, &flags)
		}),
	}
	flags.tenant.add(cmd, tenantOfStreams)
	f := cmd.Flags()
	f.IntVar(&flags.peers, "peers", 0, "critical with fewer servers than this that hold each stream (default its replicas)")
	f.Uint64Var(&flags.lag.warn, "lag-warn", 0, "warn if a replica lags by `N` operations")
	f.Uint64Var(&flags.lag.critical, "lag-critical", 0, "critical if a replica lags by `N` operations")
	f.DurationVar(&flags.seen, "seen-critical", 0, "critical if a replica was not seen for this time")
	f.Uint64Var(&flags.messages.warn, "messages-warn", 0, "warn from `N` records in the log")
	f.Uint64Var(&flags.messages.critical, "messages-critical", 0, "critical from `N` records in the log")
	f.StringVar(&flags.bytes[0], "bytes-warn", "", "warn from this `size` of the log, as 50GiB, or of all the account's streams, as 80% of its limit")
	f.StringVar(&flags.bytes[1], "bytes-critical", "", "critical from this `size`")
	f.BoolVar(&flags.prometheus, "prometheus", false, "write the text format of Prometheus")
	return cmd
}

// checkItem is one thing that was checked, as printed.
type checkItem struct {
	Check  string `json:"check"`
	Stream string `json:"stream,omitempty"`
	Status string `json:"status"`
	Text   string `json:"text"`

	status int
}

// checkReport is the result of a check, as printed.
type checkReport struct {
	Status  string         `json:"status"`
	Code    int            `json:"code"`
	Checks  []checkItem    `json:"checks"`
	Streams []streamReport `json:"streams"`

	limits checkFlags
}

func (r *checkReport) add(check, stream string, status int, format string, args ...any) {
	r.Checks = append(r.Checks, checkItem{Check: check, Stream: stream, Status: checkNames[status], Text: fmt.Sprintf(format, args...), status: status})
	r.Code = worse(r.Code, status)
	r.Status = checkNames[r.Code]
}

// checkStreams checks and prints. What keeps it from looking is a result, too.
func (a *app) checkStreams(ctx context.Context, flags *checkFlags) error {
	r := &checkReport{Checks: []checkItem{}, Streams: []streamReport{}, limits: *flags, Status: checkNames[checkOK]}
	err := a.withSession(ctx, reads, func(s *session) error { return r.look(ctx, s, flags) })
	switch {
	case isUsage(err), a.interrupt.Err() != nil:
		return err
	case err != nil:
		cause, next := a.explain(err)
		r.add("reach", "", unreachable(err), "%s", strings.TrimSpace(cause+". "+next))
	}
	return exitCode(r.Code).orGone(a.printCheck(r, flags.prometheus))
}

// unreachable says how bad it is that the streams could not be looked at.
func unreachable(err error) int {
	_, connecting := errors.AsType[*connectError](err)
	switch {
	case badCredentials(err):
		return checkUnknown
	case connecting, noJetStream(err), errors.Is(err, enact.ErrStreamNotFound):
		return checkCritical
	}
	return checkUnknown
}

func (r *checkReport) look(ctx context.Context, s *session, flags *checkFlags) error {
	found, want, err := s.streams(ctx, &flags.tenant)
	if err != nil {
		return err
	}
	for i, st := range found {
		rep := report(kinds[i], st, want[i])
		r.Streams = append(r.Streams, rep)
		r.checkStream(rep, flags)
	}
	log := found[0]
	if flags.messages != (limits{}) {
		r.add("messages", log.Config.Name, flags.messages.status(log.State.Msgs), "%s", counted(int(log.State.Msgs), "record"))
	}
	return r.checkBytes(ctx, s, log, flags)
}

// checkStream looks at what is true of either stream.
func (r *checkReport) checkStream(rep streamReport, flags *checkFlags) {
	stream := rep.Stream
	if len(rep.Problems) > 0 {
		var settings []string
		for _, p := range rep.Problems {
			settings = append(settings, p.Setting)
		}
		r.add("guarantees", stream, checkCritical, "settings break guarantees: %s", strings.Join(settings, ", "))
	} else {
		r.add("guarantees", stream, checkOK, "settings keep the guarantees")
	}
	if rep.State.NumDeleted > 0 || rep.State.Lost != nil {
		r.add("complete", stream, checkCritical, "%d positions are missing", max(rep.State.NumDeleted, lost(rep.State)))
	} else {
		r.add("complete", stream, checkOK, "nothing is missing")
	}
	r.checkPeers(rep, flags)
}

func lost(s jetstream.StreamState) int {
	if s.Lost == nil {
		return 0
	}
	return len(s.Lost.Msgs)
}

// checkPeers looks at the servers that hold a stream. A single server tells of none.
func (r *checkReport) checkPeers(rep streamReport, flags *checkFlags) {
	stream, want := rep.Stream, flags.peers
	if want == 0 {
		want = rep.Config.Replicas
	}
	peers, leader := 1, "the server"
	if rep.Cluster != nil {
		peers, leader = len(rep.Cluster.Replicas), rep.Cluster.Leader
		if leader != "" {
			peers++
		}
	}
	if leader == "" {
		r.add("leader", stream, checkCritical, "no leader")
	} else {
		r.add("leader", stream, checkOK, "%s leads", leader)
	}
	if peers < want {
		r.add("peers", stream, checkCritical, "%d of %s", peers, counted(want, "peer"))
	} else {
		r.add("peers", stream, checkOK, "%s", counted(peers, "peer"))
	}
	if rep.Cluster == nil {
		return
	}
	for _, p := range rep.Cluster.Replicas {
		status, said := flags.lag.status(p.Lag), "current"
		switch {
		case p.Offline:
			status, said = checkCritical, "offline"
		case flags.seen > 0 && p.Active >= flags.seen:
			status, said = checkCritical, "not seen"
		case !p.Current:
			status, said = worse(status, checkWarning), "behind"
		}
		r.add("replica", stream, status, "%s is %s, lag %d, seen %s ago", p.Name, said, p.Lag, span(p.Active))
	}
}

// checkBytes holds the log's size against the thresholds, or, where these are percentages,
// the account's storage against its limit.
func (r *checkReport) checkBytes(ctx context.Context, s *session, log *streamState, flags *checkFlags) error {
	var sizes limits
	var percents [2]float64
	for i, text := range flags.bytes {
		if percent, ok := strings.CutSuffix(text, "%"); ok {
			n, err := strconv.ParseFloat(percent, 64)
			if err != nil || !(n > 0 && n <= 100) {
				return usagef("%q is not a percentage above 0 and up to 100%%", text)
			}
			percents[i] = n
			continue
		}
		if text == "" {
			continue
		}
		n, err := humanize.ParseBytes(text)
		if err != nil {
			return usagef("%q is neither a size nor a percentage", text)
		}
		*[]*uint64{&sizes.warn, &sizes.critical}[i] = n
	}
	if sizes != (limits{}) {
		r.add("bytes", log.Config.Name, sizes.status(log.State.Bytes), "%s", bytesText(log.State.Bytes))
	}
	if percents == [2]float64{} {
		return nil
	}
	var account jetstream.AccountInfo
	if err := s.ask(ctx, "INFO", nil, &account); err != nil {
		return err
	}
	used, limit := account.Store, account.Limits.MaxStore
	if tier, ok := account.Tiers[fmt.Sprintf("R%d", log.Config.Replicas)]; ok {
		used, limit = tier.Store, tier.Limits.MaxStore
	}
	if limit <= 0 {
		r.add("storage", "", checkUnknown, "the account has no limit to take a percentage of; it uses %s", bytesText(used))
		return nil
	}
	percent := 100 * float64(used) / float64(limit)
	status := checkOK
	switch {
	case percents[1] > 0 && percent >= percents[1]:
		status = checkCritical
	case percents[0] > 0 && percent >= percents[0]:
		status = checkWarning
	}
	r.add("storage", "", status, "%.1f%% of %s used", percent, bytesText(uint64(limit)))
	return nil
}

func (a *app) printCheck(r *checkReport, prometheus bool) error {
	if prometheus {
		_, err := a.stdout.WriteString(r.prometheus())
		return err
	}
	if a.format != formatTable {
		return writeJSON(a.stdout, a.format, r)
	}
	_, err := fmt.Fprintln(a.stdout, r.plugin())
	return err
}

// plugin is the line that monitoring plugins write: what is wrong, or that all is well,
// and the numbers.
func (r *checkReport) plugin() string {
	var said, numbers []string
	for _, c := range r.Checks {
		if c.status != checkOK || r.Code == checkOK && (c.Check == "leader" || c.Check == "peers") {
			said = append(said, strings.TrimSpace(c.Stream+" "+c.Text))
		}
	}
	for _, st := range r.Streams {
		var level limits
		if st.Kind == kinds[0] {
			level = r.limits.messages
		}
		numbers = append(
			numbers,
			fmt.Sprintf("'%s messages'=%d;%s;%s", st.Stream, st.State.Msgs, threshold(level.warn), threshold(level.critical)),
			fmt.Sprintf("'%s bytes'=%dB", st.Stream, st.State.Bytes),
			fmt.Sprintf("'%s lag'=%d;%s;%s", st.Stream, maxLag(st), threshold(r.limits.lag.warn), threshold(r.limits.lag.critical)),
		)
	}
	line := r.Status + ": " + strings.ReplaceAll(inline(strings.Join(said, "; "), 4000), "|", "/")
	if len(numbers) > 0 {
		line += " | " + strings.Join(numbers, " ")
	}
	return line
}

// threshold shows a threshold; one that there is not is empty.
func threshold(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func maxLag(st streamReport) (lag uint64) {
	if st.Cluster != nil {
		for _, p := range st.Cluster.Replicas {
			lag = max(lag, p.Lag)
		}
	}
	return lag
}
