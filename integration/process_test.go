package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// roleVariable makes the test program play a role instead of running tests;
// scriptVariable tells it, as JSON, what to do.
const (
	roleVariable   = "ENACT_TEST_ROLE"
	scriptVariable = "ENACT_TEST_SCRIPT"
)

// line is a role's line to the test that plays it: JSON values in both directions,
// over the process's standard output and input.
type line struct {
	say  *json.Encoder
	hear *json.Decoder
}

// roles are what a process other than the test's own can do.
var roles = map[string]func(script []byte, l line) error{
	"writer":   playWriter,
	"appender": playAppender,
	"resolver": playResolver,
	"creator":  playCreator,
}

// play plays a role and returns the exit code of the process.
func play(role string) int {
	f, ok := roles[role]
	if !ok {
		f, ok = taggedRoles[role]
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "no role is named %q\n", role)
		return 2
	}
	if err := f([]byte(os.Getenv(scriptVariable)), line{json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process is another process of the test program.
type process struct {
	cmd    *exec.Cmd
	line   line
	errors bytes.Buffer
}

// startProcess starts a process that plays a role. It is killed when the test ends.
func startProcess(t *testing.T, role string, script any) *process {
	t.Helper()
	p, err := spawn(role, script)
	require.NoError(t, err)
	t.Cleanup(p.kill)
	return p
}

// spawn starts a process that plays a role. It must be killed, if it does not end.
func spawn(role string, script any) (*process, error) {
	text, err := json.Marshal(script)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, scriptVariable+"="+string(text))
	p.cmd.Stderr = &p.errors
	// A group of its own: an interrupt of the test is not one of the process.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.line = line{json.NewEncoder(in), json.NewDecoder(out)}
	return p, p.cmd.Start()
}

// hear reads the next thing that the process says.
func (p *process) hear(t *testing.T, into any) {
	t.Helper()
	if err := p.line.hear.Decode(into); err != nil {
		p.kill()
		require.NoError(t, err, "%s", p.errors.String())
	}
}

// say tells the process something.
func (p *process) say(t *testing.T, what any) {
	t.Helper()
	require.NoError(t, p.line.say.Encode(what))
}

// kill ends the process as a crash would, if it has not ended, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	_ = p.cmd.Wait()         // a kill is an error, and what was asked for
}

// clock returns nanoseconds of a clock that the processes of the machine have in common
// and that nobody sets.
func clock() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // fails for no clock that there is
	return ts.Nano()
}
