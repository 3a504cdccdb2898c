package integration

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/enactlog/enact/internal/leaktest"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of the random choices; 0: the time")
	full     = flag.Bool("full", false, "do as much as the guarantees are stated for (make histories)")
)

// TestMain runs the tests, or, in a process that a test has started, one role.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
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

// scaled returns few, or many in a long run.
func scaled(few, many int) int {
	if long {
		return many
	}
	return few
}
