// Package natsproc builds nats-server from its Go module and runs it as a process, which can
// be killed and paused as a server inside a program cannot.
package natsproc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	buildTimeout = 15 * time.Minute // of a build from an empty cache, on a machine that is busy
	stopTimeout  = 30 * time.Second
)

// Binary returns the path of a nats-server of a version, "" for the one in go.mod. It is
// built, with the go command and into the user's cache, if this machine has not yet.
func Binary(ctx context.Context, version string) (path string, err error) {
	if version == "" {
		version = server.VERSION
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("natsproc: %w", err)
	}
	dir := filepath.Join(cache, "enact-test", "nats-server-"+version)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("natsproc: %w", err)
	}
	// Programs run side by side: one builds, the others wait.
	lock := flock.New(filepath.Join(dir, "lock"))
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("natsproc: %w", err)
	}
	defer func() {
		if unlockErr := lock.Unlock(); err == nil {
			err = unlockErr
		}
	}()
	bin := filepath.Join(dir, "nats-server")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	// Built beside its place, and then renamed: a build that is broken off leaves no half of it.
	build := filepath.Join(dir, "build")
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/nats-io/nats-server/v2@v"+version)
	cmd.Env = append(os.Environ(), "GOBIN="+build, "GOFLAGS=")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("natsproc: build nats-server %s: %w\n%s", version, err, out)
	}
	if err := os.Rename(filepath.Join(build, "nats-server"), bin); err != nil {
		return "", fmt.Errorf("natsproc: %w", err)
	}
	return bin, nil
}

// Process is a process that was started. It must be ended with Kill or Stop.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a command in a process group of its own: an interrupt of the program is not
// one of the process.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // a kill is an error, and what was asked for
	}()
	return p, nil
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process as a crash would, and waits until it is gone.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop ends the process in order, and waits until it is gone. One that takes too long is
// killed.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

func (p *Process) end(sig syscall.Signal) {
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.Signal(sig)
	// A paused process takes no signal but SIGKILL until it goes on.
	_ = p.Signal(syscall.SIGCONT)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
