package power

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/leaktest"
)

// roleVariable makes the test program play a role instead of running tests;
// scriptVariable tells it, as JSON, what to do.
const (
	roleVariable   = "ENACT_TEST_ROLE"
	scriptVariable = "ENACT_TEST_SCRIPT"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random choices; 0: the time")

// roles are what a process other than the test's own can do. It hears and says JSON
// values over its standard input and output.
var roles = map[string]func(script []byte, hear *json.Decoder, say *json.Encoder) error{
	"disks":    playDisks,
	"embedded": playEmbedded,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role]([]byte(os.Getenv(scriptVariable)), json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}

// newRandom returns the test's source of random choices and prints its seed.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// process is another process of the test program.
type process struct {
	cmd  *exec.Cmd
	in   io.Closer
	say  *json.Encoder
	hear *json.Decoder
}

// startProcess starts a process that plays a role.
func startProcess(t *testing.T, role string, script any) *process {
	t.Helper()
	text, err := json.Marshal(script)
	require.NoError(t, err)
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, scriptVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	// A group of its own: an interrupt of the test is not one of the process, which
	// ends when its input does.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.in, p.say, p.hear = in, json.NewEncoder(in), json.NewDecoder(out)
	require.NoError(t, p.cmd.Start())
	return p
}
