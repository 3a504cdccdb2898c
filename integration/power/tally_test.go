package power

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/integration/power/powerfs"
)

// tally is what the losses of a test took together.
type tally struct{ powerfs.Loss }

func (a *tally) add(l powerfs.Loss) {
	a.Writes += l.Writes
	a.Bytes += l.Bytes
	a.Names += l.Names
}

// report prints the test's line of the table in docs/guarantees.md. A test whose disks
// lost nothing has shown nothing; a single round may meet a moment with everything synced.
func (a *tally) report(t *testing.T, w *work, rounds, lost int) {
	t.Helper()
	t.Logf("%d rounds, %d appends acknowledged, %d events of them lost; the disks lost %d writes of %d bytes and %d names",
		rounds, w.appends.Load(), lost, a.Writes, a.Bytes, a.Names)
	if rounds > 1 {
		require.Positive(t, a.Writes+a.Names)
	}
}

// some returns what decides which part of its unsynced writes a disk keeps: in every
// second round nil, for none.
func (w *work) some(round int) *rand.Rand {
	if round%2 == 0 {
		return nil
	}
	return w.random
}
