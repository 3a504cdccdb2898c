package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// The variables that make this test's program the process that is killed.
const (
	serverVariable = "EXAMPLE_SERVER"
	fileVariable   = "EXAMPLE_DB"
)

func TestMain(m *testing.M) {
	if server := os.Getenv(serverVariable); server != "" {
		if err := beKilled(server, os.Getenv(fileVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(3) // it should have been killed
	}
	os.Exit(m.Run())
}

// beKilled handles events as the program does, tells of each transaction on stdout, and
// waits after the third for its end: the effect is stored, and nobody has heard of it.
func beKilled(server, file string) error {
	ctx := context.Background()
	store, err := jetstore.Connect(ctx, server)
	if err != nil {
		return err
	}
	t, err := open(ctx, file)
	if err != nil {
		return err
	}
	n := 0
	return consumer.Follow(ctx, store, consumer.Filter{}, func(ctx context.Context, ev enact.StoredEvent) error {
		if err := t.handle(ctx, ev); err != nil {
			return err
		}
		fmt.Println(ev.ExecutionID, ev.Sequence)
		if n++; n == 3 {
			select {}
		}
		return nil
	}, consumer.WithCheckpoint(t), consumer.Workers(1))
}

// Killed between one effect and the next, again and again, the table counts every event
// exactly once.
func TestKilledInBetween(t *testing.T) {
	ctx := t.Context()
	srv, err := embedded.Start(ctx, t.TempDir(), embedded.WithPort(-1))
	check(t, err)
	defer func() { check(t, srv.Shutdown(context.Background())) }()
	nc, err := nats.Connect(srv.ClientURL())
	check(t, err)
	check(t, jetstore.EnsureStream(ctx, nc))
	nc.Close()
	store, err := jetstore.Connect(ctx, srv.ClientURL())
	check(t, err)
	defer func() { check(t, store.Shutdown(context.Background())) }()
	const executions, steps = 4, 3
	for step := range steps {
		for i := range executions {
			run := store.Execution("acme", enact.ExecutionID(fmt.Sprintf("run-%d", i)))
			_, err := run.Append(ctx, enact.StepCompleted{StepID: enact.StepID(fmt.Sprintf("step_%d", step))})
			check(t, err)
		}
	}

	file := filepath.Join(t.TempDir(), "table.db")
	effects := map[string]int{}
	for killed := 0; ; killed++ {
		told := runUntilKilled(t, srv.ClientURL(), file)
		for _, line := range told {
			effects[line]++
		}
		if killed == 2 {
			break
		}
	}
	if len(effects) != 9 {
		t.Fatalf("three processes had three effects each, and told of %v", effects)
	}

	// The program goes on where they ended.
	check(t, run(ctx, "", srv.ClientURL(), file, false))
	table, err := open(ctx, file)
	check(t, err)
	defer func() { check(t, table.db.Close()) }()
	for i := range executions {
		var sequence, done int
		check(t, table.db.QueryRowContext(ctx, `select sequence, steps from executions where execution = ?`, fmt.Sprintf("run-%d", i)).Scan(&sequence, &done))
		if sequence != steps || done != steps {
			t.Errorf("run-%d has %d events and counts %d steps", i, sequence, done)
		}
	}

	// Begun anew from the beginning, nothing is counted again; begun from its token, nothing
	// even comes.
	check(t, consumer.Follow(ctx, store, consumer.Filter{}, table.handle, consumer.WithCheckpoint(table), consumer.UntilLive()))
	var total int
	check(t, table.db.QueryRowContext(ctx, `select sum(steps) from executions`).Scan(&total))
	if total != executions*steps {
		t.Errorf("%d steps are counted, of %d", total, executions*steps)
	}
}

// runUntilKilled runs this program as the process that handles events, kills it after its
// third effect and returns what it told.
func runUntilKilled(t *testing.T, server, file string) (told []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+server, fileVariable+"="+file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for len(told) < 3 && lines.Scan() {
		told = append(told, lines.Text())
	}
	check(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() >= 0 {
		t.Fatalf("it ended by itself: %v", err)
	}
	return told
}

// What the row counts already, and what would leave a gap, changes nothing.
func TestHandleInOrderOnly(t *testing.T) {
	ctx := t.Context()
	table, err := open(ctx, filepath.Join(t.TempDir(), "table.db"))
	check(t, err)
	defer func() { check(t, table.db.Close()) }()
	ev := func(sequence uint64) enact.StoredEvent {
		return enact.StoredEvent{TenantID: "acme", ExecutionID: "run", Sequence: sequence, Event: enact.StepCompleted{}}
	}
	check(t, table.handle(ctx, ev(1)))
	for _, sequence := range []uint64{1, 3} {
		if err := table.handle(ctx, ev(sequence)); err == nil {
			t.Errorf("event %d was counted behind event 1", sequence)
		}
	}
	done, err := table.Done(ctx, ev(1))
	check(t, err)
	again, err := table.Done(ctx, ev(2))
	check(t, err)
	if !done || again {
		t.Errorf("done: %v, %v", done, again)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
