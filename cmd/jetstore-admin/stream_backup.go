package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/durable"
	"github.com/enactlog/enact/jetstore/backup"
)

func (a *app) streamBackupCommand() *cobra.Command {
	var tenant tenantFlag
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Take a snapshot of the log and its index",
		Long: `Take a snapshot of the log's stream, then of its index, and store both in a directory
that is empty or does not exist: DIR/log and DIR/index, each in the format of "nats stream
backup" with a checksum beside it. The log takes appends meanwhile. Each snapshot is of
one moment; the index being the later one, it lists every execution that the log has.

--timeout bounds each request, not the whole. A backup that does not end well, or is
interrupted, leaves nothing behind. Encrypted events stay encrypted: keep the key file, and
not beside them.`,
		Example: `  jetstore-admin stream backup --context production ./backup-2026-05-04
  jetstore-admin stream backup --store ./data ./backup -o json`,
		Args: takes(1, 1),
		RunE: a.doLong(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return a.withSession(ctx, reads, func(s *session) error { return a.backup(ctx, s, &tenant, args[0]) })
		}),
	}
	tenant.add(cmd, tenantOfStreams)
	return cmd
}

// moved is a stream of a backup or a restore, as printed.
type moved struct {
	Kind        string    `json:"kind"` // log or index
	Stream      string    `json:"stream"`
	Incarnation string    `json:"incarnation"`
	Messages    uint64    `json:"messages"`
	Bytes       uint64    `json:"bytes"` // in the stream
	First       uint64    `json:"first_position"`
	Last        uint64    `json:"last_position"`
	Snapshot    int64     `json:"snapshot_bytes"`
	Taken       time.Time `json:"taken"`
}

func movedOf(kind string, snap *backup.Dir) (moved, error) {
	var config jetstream.StreamConfig
	if err := json.Unmarshal(snap.Config, &config); err != nil {
		return moved{}, &backup.DamagedError{File: snap.Path, Reason: err.Error()}
	}
	return moved{
		Kind: kind, Stream: config.Name, Incarnation: config.Metadata["enact.incarnation"],
		Messages: snap.State.Msgs, Bytes: snap.State.Bytes, First: snap.State.FirstSeq, Last: snap.State.LastSeq,
		Snapshot: snap.Bytes, Taken: snap.Taken,
	}, nil
}

// requester makes each request of a backup or a restore end with the --timeout.
func (a *app) requester(s *session) backup.Requester {
	return func(ctx context.Context, verb string, body, into any) error {
		ctx, cancel := a.bounded(ctx)
		defer cancel()
		return s.request(ctx, verb, body, into)
	}
}

func (a *app) backup(ctx context.Context, s *session, tenant *tenantFlag, dir string) (err error) {
	found, _, err := s.streams(ctx, tenant)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return fmt.Errorf("%s is not empty: a backup goes into a directory of its own", dir)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	existed := err == nil
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		for _, kind := range kinds {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, kind)))
		}
		if !existed {
			err = errors.Join(err, os.Remove(dir))
		}
	}()
	var done []moved
	for i, st := range found {
		part := filepath.Join(dir, kinds[i])
		if err := a.backupStream(ctx, s, st.Config.Name, part); err != nil {
			return err
		}
		snap, err := backup.OpenDir(part)
		if err != nil {
			return err
		}
		m, err := movedOf(kinds[i], snap)
		if err != nil {
			return err
		}
		done = append(done, m)
	}
	return a.printMoved(done, "stored in "+dir)
}

func (a *app) backupStream(ctx context.Context, s *session, stream, dir string) error {
	var b *bar
	defer func() { b.end() }()
	_, err := backup.TakeDir(ctx, s.nc, a.requester(s), stream, dir, func(snap backup.Snapshot) {
		// Compressed it is less than this: the bar jumps at the end.
		b = a.progress(stream, int64(snap.State.Bytes), bytesUnit)
	}, func(n int) { b.add(n) })
	return err
}

func (a *app) printMoved(done []moved, what string) error {
	if a.format != formatTable {
		return printList(a, done, "", nil, nil)
	}
	for _, m := range done {
		_, err := fmt.Fprintf(a.stdout, "%s %s %s: %s, %s (%s packed), positions %d to %d\n",
			m.Kind, m.Stream, what, counted(int(m.Messages), "message"), bytesText(m.Bytes), bytesText(uint64(m.Snapshot)), m.First, m.Last)
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreFlags are the flags of stream restore.
type restoreFlags struct {
	tenant   tenantFlag
	replicas int
	cluster  string
	tags     []string
}

func (a *app) streamRestoreCommand() *cobra.Command {
	var flags restoreFlags
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Make the log and its index again from a backup",
		Long: `Make the log's stream and its index again from a directory that backup wrote: the same
events at the same positions, under the same incarnation. Neither stream may exist. The
checksums are verified first, the streams' states and the whole log afterwards, as fsck
does; only then it is done. What does not end well, or is interrupted, is taken back.

Stop the programs that use the log before, and start them afterwards: what was appended
after the backup is gone, and its positions are given again. Heads that are kept
elsewhere tell which executions that concerns ("fsck --head").

--timeout bounds each request, not the whole. A backup of a cluster can be restored on a
single server with --replicas 1.`,
		Example: `  jetstore-admin stream restore --context production ./backup-2026-05-04
  jetstore-admin stream restore --store ./data --replicas 1 ./backup`,
		Args: takes(1, 1),
		RunE: a.doLong(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if flags.replicas < 0 || flags.replicas > 5 {
				return usagef("--replicas %d is not within 1 to 5", flags.replicas)
			}
			return a.withSession(ctx, writes, func(s *session) error { return a.restore(ctx, s, &flags, args[0]) })
		}),
	}
	flags.tenant.add(cmd, tenantOfStreams)
	cmd.Flags().IntVar(&flags.replicas, "replicas", 0, "replicas of each stream, 1 to 5 (default as they were)")
	cmd.Flags().StringVar(&flags.cluster, "cluster", "", "`name` of the cluster that holds the streams (default as they were)")
	cmd.Flags().StringArrayVar(&flags.tags, "tag", nil, "hold the streams on servers with this `tag`, may be repeated (default as they were)")
	return cmd
}

func (a *app) restore(ctx context.Context, s *session, flags *restoreFlags, dir string) (err error) {
	log, index, err := s.configs(&flags.tenant)
	if err != nil {
		return err
	}
	want := [2]jetstream.StreamConfig{log, index}
	var snaps [2]*backup.Dir
	var done []moved
	for i, kind := range kinds {
		if snaps[i], err = backup.OpenDir(filepath.Join(dir, kind)); err != nil {
			return err
		}
		m, err := movedOf(kind, snaps[i])
		if err != nil {
			return err
		}
		if m.Stream != want[i].Name {
			return fmt.Errorf("%s holds the stream %s, and a restore keeps names: give --stream and --tenant as they were", snaps[i].Path, m.Stream)
		}
		if err := s.absent(ctx, m.Stream); err != nil {
			return err
		}
		if err := a.verifySnapshot(ctx, snaps[i]); err != nil {
			return err
		}
		if err := flags.place(snaps[i]); err != nil {
			return err
		}
		done = append(done, m)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.takeBack(ctx, s, done))
		}
	}()
	for i, snap := range snaps {
		state, err := a.restoreStream(ctx, s, done[i].Stream, snap)
		if err != nil {
			return fmt.Errorf("restore %s: %w", done[i].Stream, err)
		}
		if state.Msgs != snap.State.Msgs || state.FirstSeq != snap.State.FirstSeq || state.LastSeq != snap.State.LastSeq {
			return fmt.Errorf("stream %s came back with %d messages, %d to %d, and had %d, %d to %d", done[i].Stream,
				state.Msgs, state.FirstSeq, state.LastSeq, snap.State.Msgs, snap.State.FirstSeq, snap.State.LastSeq)
		}
	}
	if err := a.verifyLog(ctx, s, &flags.tenant); err != nil {
		return err
	}
	return a.printMoved(done, "restored")
}

// absent returns an error if a stream exists.
func (s *session) absent(ctx context.Context, stream string) error {
	switch _, err := s.stream(ctx, stream); {
	case err == nil:
		return fmt.Errorf("stream %s exists: nothing is restored over it; to give it up, see \"%s stream rm\"", stream, programName)
	case !errors.Is(err, enact.ErrStreamNotFound):
		return err
	}
	return nil
}

func (a *app) verifySnapshot(ctx context.Context, snap *backup.Dir) error {
	b := a.progress("verify "+snap.Path, snap.Bytes, bytesUnit)
	defer b.end()
	return snap.Verify(ctx, b.add)
}

func (a *app) restoreStream(ctx context.Context, s *session, stream string, snap *backup.Dir) (jetstream.StreamState, error) {
	in, err := snap.Open()
	if err != nil {
		return jetstream.StreamState{}, err
	}
	defer in.Close()
	b := a.progress(stream, snap.Bytes, bytesUnit)
	defer b.end()
	return backup.Restore(ctx, s.nc, a.requester(s), stream, snap.Snapshot, in, b.add)
}

// place changes a snapshot's configuration as the flags say.
func (f *restoreFlags) place(snap *backup.Dir) error {
	config := make(map[string]json.RawMessage)
	if err := json.Unmarshal(snap.Config, &config); err != nil {
		return err
	}
	for key, value := range map[string]any{"num_replicas": f.replicas, "placement": jetstream.Placement{Cluster: f.cluster, Tags: f.tags}} {
		if key == "num_replicas" && f.replicas == 0 || key == "placement" && f.cluster == "" && len(f.tags) == 0 {
			continue
		}
		var err error
		if config[key], err = json.Marshal(value); err != nil {
			return err
		}
	}
	var err error
	snap.Config, err = json.Marshal(config)
	return err
}

// takeBack removes what a restore has made before it failed. Only streams of the backup's
// incarnation are its own: neither existed when it began.
func (a *app) takeBack(ctx context.Context, s *session, streams []moved) error {
	ctx, cancel := a.bounded(context.WithoutCancel(ctx))
	defer cancel()
	var errs []error
	for _, m := range streams {
		st, err := s.stream(ctx, m.Stream)
		if errors.Is(err, enact.ErrStreamNotFound) {
			continue
		}
		if err == nil && st.Config.Metadata["enact.incarnation"] == m.Incarnation {
			err = s.request(ctx, "STREAM.DELETE."+m.Stream, nil, nil)
		}
		if err != nil {
			errs = append(errs, &leftError{fmt.Errorf("%s is left half restored, remove it with \"%s\": %w", m.Stream, programName+" stream rm", err)})
		}
	}
	return errors.Join(errs...)
}
