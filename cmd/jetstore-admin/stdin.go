package main

import (
	"context"
	"io"
	"os"
)

// input returns stdin, whose reads end with ctx. It must be closed.
//
// A read from a terminal or a pipe cannot be called off: the goroutine that waits for
// it ends with the next input, or with the process.
func (a *app) input(ctx context.Context) io.ReadCloser {
	pr, pw := io.Pipe()
	unhook := context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(pw, a.stdin)
		unhook()
		pw.CloseWithError(err)
	}()
	return pr
}

// openInput opens a file, or stdin for "-".
func (a *app) openInput(ctx context.Context, file string) (io.ReadCloser, error) {
	if file == "-" {
		return a.input(ctx), nil
	}
	return os.Open(file)
}
