package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/replay"
)

func (a *app) demoCommand() *cobra.Command {
	var keep string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch an agent's run being logged, and the log survive a restart",
		Long: `Start a server in this program, append an agent's run to it event by event while a
tail prints it live, stop the server, start it again from disk, and compare every
event. Takes about five seconds, needs no network, and leaves nothing behind
without --keep.`,
		Example: `  jetstore-admin demo
  jetstore-admin demo --keep ./data`,
		Args: takes(0, 0),
		RunE: a.do(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if a.connection.given(cmd.Flags()) || cmd.Flags().Changed("output") {
				return usagef("demo makes a log of its own: it takes --keep DIR, and neither connection flags nor --output")
			}
			return a.demo(ctx, keep)
		}),
	}
	cmd.Flags().StringVar(&keep, "keep", "", "keep the log in this `directory`")
	return cmd
}

func (a *app) demo(ctx context.Context, keep string) (err error) {
	dir := keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", programName+"-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	d := &demonstration{app: a, dir: dir}
	if d.run, err = newDemoRun(); err != nil {
		return err
	}
	if err := d.say("A server starts in this program, on %s. An agent's run is appended to it event by\nevent, each on disk before the next; a tail prints it live.\n", dir); err != nil {
		return err
	}
	before, err := d.record(ctx)
	if err != nil {
		return err
	}
	if err := d.say("\nThe server stops, and starts again from disk. The state, by replaying what it holds:\n"); err != nil {
		return err
	}
	if err := d.verify(ctx, before); err != nil {
		return err
	}
	return d.next(keep)
}

// demonstration is one run of the demo.
type demonstration struct {
	app *app
	dir string
	run *demoRun
}

// history is what a log holds of an execution.
type history struct {
	events []enact.StoredEvent
	head   enact.Head
}

func (d *demonstration) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(d.app.stdout, format+"\n", args...); err != nil {
		return err
	}
	return d.app.stdout.Flush()
}

// withExecution opens the log in the directory, and closes it after f.
func (d *demonstration) withExecution(ctx context.Context, f func(jetstore.Execution) error) (err error) {
	store, err := embedded.Open(ctx, d.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore(ctx, store)) }()
	return f(store.Execution(demoTenant, d.run.id))
}

// record appends the run while a tail prints it, and returns what the log then holds.
func (d *demonstration) record(ctx context.Context) (h history, err error) {
	err = d.withExecution(ctx, func(run jetstore.Execution) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		tailed := make(chan error, 1)
		go func() {
			err := d.tail(ctx, run)
			if err != nil {
				cancel() // without an audience the play ends
			}
			tailed <- err
		}()
		err := d.run.play(ctx, run)
		if err != nil {
			cancel()
		}
		if tailErr := <-tailed; tailErr != nil {
			return tailErr
		}
		if err != nil {
			return err
		}
		h, err = load(ctx, run)
		return err
	})
	return h, err
}

// tail prints the run until it has ended.
func (d *demonstration) tail(ctx context.Context, run jetstore.Execution) error {
	w := d.app.newEventsWriter()
	w.layout = timeOfDay
	for ev, err := range consumer.Tail(ctx, run, 0, consumer.UntilEnd()) {
		if err != nil {
			return err
		}
		if err := w.event(ev); err != nil {
			return err
		}
		if err := d.app.stdout.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func load(ctx context.Context, run jetstore.Execution) (history, error) {
	events, err := run.LoadEvents(ctx)
	if err != nil {
		return history{}, err
	}
	head, err := run.Head(ctx)
	return history{events, head}, err
}

// verify opens the log again, shows the execution, and compares it with what it was.
func (d *demonstration) verify(ctx context.Context, before history) error {
	return d.withExecution(ctx, func(run jetstore.Execution) error {
		after, err := load(ctx, run)
		if err != nil {
			return err
		}
		state, err := replay.Of(after.events)
		if err != nil {
			return err
		}
		if err := d.app.printState(state); err != nil {
			return err
		}
		if err := before.same(after); err != nil {
			return err
		}
		return d.say("\n%s All %d events are the same after the restart, and so is the chain value\nof the last one, which covers them all: %s",
			d.app.colours.paint(text.FgGreen, "Nothing changed."), len(after.events), after.head.Chain)
	})
}

// same returns an error that names the first difference.
func (h history) same(other history) error {
	if len(h.events) != len(other.events) {
		return fmt.Errorf("%d events were stored, %d came back", len(h.events), len(other.events))
	}
	for i, ev := range h.events {
		if !sameEvent(ev, other.events[i]) || ev.Position != other.events[i].Position {
			return fmt.Errorf("event %d changed", ev.Sequence)
		}
	}
	if h.head != other.head {
		return fmt.Errorf("the head was %+v and is %+v", h.head, other.head)
	}
	return nil
}

// next says what to try.
func (d *demonstration) next(keep string) error {
	dir, id := shellQuote(keep), d.run.id
	commands := []string{
		fmt.Sprintf("execution events --store %s %s", dir, id),
		fmt.Sprintf("execution ls --store %s --tenant %s", dir, demoTenant),
		fmt.Sprintf("export --store %s --tenant %s", dir, demoTenant),
	}
	if keep == "" {
		commands = []string{
			"demo --keep ./enact-demo",
			"execution ls --store ./enact-demo --tenant " + demoTenant,
			"export --store ./enact-demo --tenant " + demoTenant,
		}
	}
	return d.say("\nTry next:\n  %[1]s %[2]s\n  %[1]s %[3]s\n  %[1]s %[4]s", programName, commands[0], commands[1], commands[2])
}

// shellQuote quotes a path for a POSIX shell where it needs that.
func shellQuote(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+,:@%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
