package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) streamCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stream",
		Short: "Make the log's streams, look at them, back them up",
		Long: `Make the log's streams, look at them, check them, change what may be changed, back
them up and restore them. A log has two: that of the events, and its index. Where each
tenant has streams of its own (--per-tenant), --tenant says whose are meant.`,
		Example: `  jetstore-admin stream create --server nats://localhost:4222 --replicas 3
  jetstore-admin stream info --context production`,
	}
	grouping(cmd)
	cmd.AddCommand(
		a.streamCreateCommand(), a.streamInfoCommand(), a.streamCheckCommand(), a.streamUpdateCommand(),
		a.streamBackupCommand(), a.streamRestoreCommand(), a.streamRmCommand(),
	)
	return cmd
}

// tenantOfStreams is the usage of a --tenant that names streams.
const tenantOfStreams = "whose streams, with --per-tenant"

// configs returns the configurations that the log's streams have when they are made, and
// with them their names.
func (s *session) configs(t *tenantFlag, opts ...jetstore.Option) (log, index jetstream.StreamConfig, err error) {
	log, index, err = jetstore.Configs(enact.TenantID(t.id), append(s.options, opts...)...)
	if errors.Is(err, enact.ErrInvalidOption) || errors.Is(err, enact.ErrInvalidID) {
		if s.perTenant && t.id == "" {
			return log, index, usagef("with --per-tenant each tenant has streams: say whose with --tenant")
		}
		return log, index, asUsage(err)
	}
	return log, index, err
}

// streamState is a stream as the server describes it.
type streamState struct {
	jetstream.StreamInfo
	raw map[string]json.RawMessage // the configuration, with settings that StreamConfig has not
}

// stream asks for a stream. It returns enact.ErrStreamNotFound if there is none.
func (s *session) stream(ctx context.Context, name string) (*streamState, error) {
	var answer json.RawMessage
	if err := s.ask(ctx, "STREAM.INFO."+name, nil, &answer); err != nil {
		if hasCode(err, codeStreamNotFound) {
			err = fmt.Errorf("%w: %s", enact.ErrStreamNotFound, name)
		}
		return nil, err
	}
	st := new(streamState)
	if err := json.Unmarshal(answer, &st.StreamInfo); err != nil {
		return nil, err
	}
	var whole struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	err := json.Unmarshal(answer, &whole)
	st.raw = whole.Config
	return st, err
}

// incarnation returns what tells two streams of one name apart.
func (s *streamState) incarnation() string { return jetstore.Incarnation(s.Config, s.Created) }

// kinds names the streams of a log for people, in the order of logStreams.
var kinds = [...]string{"log", "index"}

// logStreams are both streams of a log.
type logStreams [2]*streamState

// streams asks for both streams of a log. Both must exist.
func (s *session) streams(ctx context.Context, t *tenantFlag) (found logStreams, want [2]jetstream.StreamConfig, err error) {
	if want[0], want[1], err = s.configs(t); err != nil {
		return found, want, err
	}
	for i := range want {
		if found[i], err = s.stream(ctx, want[i].Name); err != nil {
			return found, want, err
		}
	}
	return found, want, nil
}

// createFlags are the flags of stream create.
type createFlags struct {
	tenant   tenantFlag
	replicas int
	cluster  string
	tags     []string
	dryRun   bool
}

func (a *app) streamCreateCommand() *cobra.Command {
	var flags createFlags
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make the log's streams",
		Long: `Make the log's stream and its index with the settings that the log's guarantees need:
file storage, no limits, no deletes and no purges. A stream that exists is checked and
left as it is, so that the command can be given again.

--dry-run prints the configurations as JSON and makes nothing; the incarnation and the
first sequence are those of another making.`,
		Example: `  jetstore-admin stream create --server nats://localhost:4222 --replicas 3 --tag ssd
  jetstore-admin stream create --context production --per-tenant --tenant acme
  jetstore-admin stream create --context production --dry-run`,
		Args: takes(0, 0),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if flags.replicas < 0 || flags.replicas > 5 {
				return usagef("--replicas %d is not within 1 to 5", flags.replicas)
			}
			return a.withSession(ctx, writes, func(s *session) error { return a.createStreams(ctx, s, &flags) })
		}),
	}
	flags.tenant.add(cmd, tenantOfStreams)
	cmd.Flags().IntVar(&flags.replicas, "replicas", 0, "replicas of each stream, 1 to 5 (default 3 in a cluster, else 1)")
	cmd.Flags().StringVar(&flags.cluster, "cluster", "", "`name` of the cluster that holds the streams")
	cmd.Flags().StringArrayVar(&flags.tags, "tag", nil, "hold the streams on servers with this `tag`, may be repeated")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "print the configurations and make nothing")
	return cmd
}

// createdStream is a stream of stream create, as printed.
type createdStream struct {
	Stream      string `json:"stream"`
	Kind        string `json:"kind"` // log or index
	Created     bool   `json:"created"`
	Incarnation string `json:"incarnation"`
	Replicas    int    `json:"replicas"`
}

func (a *app) createStreams(ctx context.Context, s *session, flags *createFlags) error {
	if flags.replicas == 0 {
		flags.replicas = jetstore.DefaultReplicas(s.nc)
	}
	opts := []jetstore.Option{jetstore.WithReplicas(flags.replicas), jetstore.WithPlacement(flags.cluster, flags.tags...)}
	log, index, err := s.configs(&flags.tenant, opts...)
	if err != nil {
		return err
	}
	if flags.dryRun {
		return writeJSON(a.stdout, formatJSON, map[string]jetstream.StreamConfig{kinds[0]: log, kinds[1]: index})
	}
	names := [2]string{log.Name, index.Name}
	var existed [2]bool
	for i, name := range names {
		switch _, err := s.stream(ctx, name); {
		case err == nil:
			existed[i] = true
		case !errors.Is(err, enact.ErrStreamNotFound):
			return err
		}
	}
	// From here on an interrupt would leave one of two.
	making, cancel := a.bounded(context.WithoutCancel(ctx))
	defer cancel()
	all := append(s.options, opts...)
	if a.connection.perTenant {
		err = jetstore.EnsureTenant(making, s.nc, enact.TenantID(flags.tenant.id), all...)
	} else {
		err = jetstore.EnsureStream(making, s.nc, all...)
	}
	if err != nil {
		return err
	}
	var made []createdStream
	for i, name := range names {
		st, err := s.stream(making, name)
		if err != nil {
			return err
		}
		made = append(made, createdStream{
			Stream: name, Kind: kinds[i], Created: !existed[i], Incarnation: st.incarnation(), Replicas: st.Config.Replicas,
		})
	}
	return a.printCreated(made)
}

func (a *app) printCreated(made []createdStream) error {
	if a.format != formatTable {
		return printList(a, made, "", nil, nil)
	}
	for _, m := range made {
		done := "exists and is left as it is"
		if m.Created {
			done = "made"
		}
		if _, err := fmt.Fprintf(a.stdout, "%s %s: %s, %s, incarnation %s\n", m.Kind, m.Stream, done, counted(m.Replicas, "replica"), m.Incarnation); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) streamRmCommand() *cobra.Command {
	var (
		tenant tenantFlag
		force  bool
	)
	cmd := &cobra.Command{
		Use:     "rm",
		Aliases: []string{"delete"},
		Short:   "Delete the log's streams and all events in them",
		Long: `Delete the log's stream and its index, and with them every event: nothing brings them
back but a backup. The command says what would be lost and asks for the stream's name;
without a terminal it needs --force.

The index goes first: a log without one can be listed again once it is rebuilt, should
the second half fail.`,
		Example: `  jetstore-admin stream rm --server nats://localhost:4222
  jetstore-admin stream rm --context test --stream SCRATCH --force`,
		Args: takes(0, 0),
		RunE: a.doLong(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return a.withSession(ctx, reads, func(s *session) error { return a.removeStreams(ctx, s, &tenant, force) })
		}),
	}
	tenant.add(cmd, tenantOfStreams)
	cmd.Flags().BoolVar(&force, "force", false, "do not ask")
	return cmd
}

func (a *app) removeStreams(ctx context.Context, s *session, tenant *tenantFlag, force bool) error {
	asking, cancel := a.bounded(ctx)
	defer cancel()
	log, index, err := s.configs(tenant)
	if err != nil {
		return err
	}
	// One of them may be missing: what was left of a removal can be removed.
	var there []*streamState
	for _, name := range []string{index.Name, log.Name} {
		switch st, err := s.stream(asking, name); {
		case err == nil:
			there = append(there, st)
		case !errors.Is(err, enact.ErrStreamNotFound):
			return err
		}
	}
	if len(there) == 0 {
		return fmt.Errorf("%w: %s", enact.ErrStreamNotFound, log.Name)
	}
	if !force {
		question := fmt.Sprintf("Of the log at %s this deletes:", a.connection.where())
		for _, st := range there {
			question += fmt.Sprintf("\n  %s: %s, %s, last written %s", st.Config.Name, losses(st, log.Name), bytesText(st.State.Bytes), lastWritten(st))
		}
		if err := a.confirm(ctx, question, log.Name, "force"); err != nil {
			return err
		}
	}
	// From here on an interrupt would leave one of two.
	removing, cancel := a.bounded(context.WithoutCancel(ctx))
	defer cancel()
	for _, st := range there {
		if err := s.request(removing, "STREAM.DELETE."+st.Config.Name, nil, nil); err != nil {
			return fmt.Errorf("delete %s: %w", st.Config.Name, err)
		}
		a.notice("deleted %s: %s, %s", st.Config.Name, losses(st, log.Name), bytesText(st.State.Bytes))
	}
	return nil
}

// losses says what is in a stream.
func losses(st *streamState, log string) string {
	if st.Config.Name == log {
		return fmt.Sprintf("%s in %s", counted(int(st.State.Msgs), "record"), counted(int(st.State.NumSubjects), "execution"))
	}
	return counted(int(st.State.Msgs), "index entry")
}
