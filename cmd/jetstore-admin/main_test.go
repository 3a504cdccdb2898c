package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

var update = flag.Bool("update", false, "rewrite the expected output in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){programName: func() {
		os.Args = append(os.Args[:1:1], patient(os.Args[1:])...)
		main()
	}})
}

// patience bounds what should take a moment. Nothing waits for it unless something is wrong.
const patience = 5 * time.Minute

// patient makes a command line that waits as a busy machine needs it, unless it says itself
// for how long.
func patient(args []string) []string {
	return append([]string{"--timeout", patience.String()}, args...)
}

// dial connects to a server.
func dial(url string, opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(url, append(opts, nats.Timeout(patience))...)
}

// leakChecked fails a run of tests that leaves goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	// Neither the tests nor the programs that they start know of a server of the user's.
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "NATS_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("XDG_CONFIG_HOME", os.DevNull)
	code := m.M.Run()
	if code != 0 {
		return code
	}
	if err := leaktest.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			// The demo's run, whose ids and times do not change, is the scripts' sample.
			return os.WriteFile(filepath.Join(env.WorkDir, "run.jsonl"), demoLines, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":        exits,
			"server":       startServer,
			"nats-server":  natsServer,
			"certificates": certificates,
			"make-streams": makeStreams,
			"silence":      silence,
			"absent":       absent,
			"runs-late":    runsLate,
			"break-stream": breakStream,
			"flip":         flip,
			"context":      writeContext,
			"longline":     longLine,
			"publish":      publish,
			"lose-index":   loseIndex,
			"make-tenant":  makeTenant,
			"group":        openGroup,
			"token":        takeToken,
		},
	})
}

// exits runs a program and checks its exit code, which is one of several where it depends on
// how fast the machine is: exits CODE[,CODE…] PROGRAM ARG…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code[,code...] program [arg...]")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if !slices.Contains(strings.Split(args[0], ","), strconv.Itoa(got)) {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// startServer starts a server that listens on a port, which ends with the script:
// server DIR [without-streams]. The variable SERVER is its URL.
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: server dir [without-streams]")
	}
	srv := listen(ts, ts.MkAbs(args[0]), len(args) == 1)
	ts.Defer(func() { ts.Check(srv.Shutdown(context.Background())) })
	ts.Setenv("SERVER", srv.ClientURL())
}

// failer is what listen needs of a test or a script.
type failer interface {
	Fatalf(format string, args ...any)
}

// listen starts a server on a free port.
func listen(t failer, dir string, streams bool) *embedded.Server {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, err := embedded.Start(ctx, dir, embedded.WithPort(-1))
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !streams {
		return srv
	}
	nc, err := dial(srv.ClientURL())
	if err == nil {
		err = jetstore.EnsureStream(ctx, nc)
		nc.Close()
	}
	if err != nil {
		t.Fatalf("%v", errors.Join(err, srv.Shutdown(ctx)))
	}
	return srv
}

// runsLate runs a program with a --timeout that it cannot keep, a longer one where it did not
// get as far as to say so: runs-late PROGRAM ARG…
func runsLate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: runs-late program [arg...]")
	}
	for timeout := time.Second; ; timeout *= 2 {
		exits(ts, false, append([]string{"1"}, append(args[:len(args):len(args)], "--timeout", timeout.String())...))
		if strings.Contains(ts.ReadFile("stderr"), "not done within "+timeout.String()) {
			return
		}
		if timeout > patience {
			ts.Fatalf("time does not run out")
		}
	}
}

// absent checks that no file's name matches: absent PATTERN
func absent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: absent pattern")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) > 0 {
		ts.Fatalf("there is %q", found)
	}
}

// longLine writes a file with one event whose line has exactly so many bytes:
// longline BYTES FILE
func longLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: longline bytes file")
	}
	size, err := strconv.Atoi(args[0])
	ts.Check(err)
	line := []byte(`{"sequence":1,"execution_id":"long","tenant_id":"acme","event":{"type":"custom","event_type":"blob","data":"X"},"timestamp":"2026-05-04T10:00:00Z"}`)
	line = bytes.Replace(line, []byte("X"), []byte(strings.Repeat("x", size-len(line)+1)), 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append(line, '\n'), 0o600))
}

// admin runs the program in this process.
func admin(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), patient(args), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}
