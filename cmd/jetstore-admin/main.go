// Jetstore-admin is the admin program of the event log: it imports and exports
// executions, appends to them, shows them, and follows them live, on a NATS server
// or on a directory with a server of its own.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Ignored, a closed pipe on stdout is an error of the write, which ends the
	// command in order instead of killing the process.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks the command to end; a second one is not caught.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command and returns the exit code of the process. Data goes to
// stdout, everything else to stderr. The end of ctx is the user's interrupt.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{
		interrupt: ctx,
		stdin:     stdin,
		stdout:    bufio.NewWriterSize(pipeWriter{stdout}, 64<<10),
		stderr:    stderr,
		terminal:  stdout,
	}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(a.stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	// What was written before an error is data all the same.
	if flushErr := a.stdout.Flush(); err == nil {
		err = flushErr
	}
	code, text := a.outcome(cmd, err)
	if text != "" {
		// There is nobody left to tell that stderr is broken.
		_, _ = fmt.Fprintln(stderr, text)
	}
	return code
}

// errReaderGone says that nobody reads stdout any more, as after "| head".
var errReaderGone = errors.New("stdout: the reader is gone")

// pipeWriter tells a closed pipe on stdout apart from one to a server.
type pipeWriter struct{ w io.Writer }

func (p pipeWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = errReaderGone
	}
	return n, err
}
