// The program agent runs an agent loop that survives crashes: what it does stands in the
// log before and after it is done, and an agent that begins again goes on from there.
//
//	go run ./examples/agent                 # to the end
//	go run ./examples/agent -dir ./run -crash 5   # killed at its 5th step; again without -crash: goes on
//
// A call of a tool whose completion is in the log is not made again: its output is there.
// One that was only begun may have had its effect. It is made again under the same id,
// by which the tool knows it, as APIs with idempotency keys do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/enactlog/enact/jetstore/embedded"
)

func main() {
	dir := flag.String("dir", "", "where the log and the outbox are kept (default: nowhere)")
	crash := flag.Int("crash", 0, "end the process, without any cleaning up, at this step of the agent")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *dir, *crash); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

// exitCrash is the exit code of a process that was to crash.
const exitCrash = 7

func run(ctx context.Context, out io.Writer, dir string, crash int) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "enact-agent-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	store, err := embedded.Open(ctx, filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Shutdown(context.WithoutCancel(ctx))) }()
	steps := 0
	a := &agent{
		run: store.Execution("acme", "exec_weather"), out: out, mail: outbox{filepath.Join(dir, "outbox.jsonl")},
		step: func() {
			if steps++; steps == crash {
				os.Exit(exitCrash)
			}
		},
	}
	return a.work(ctx)
}
