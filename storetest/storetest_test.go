package storetest_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/memstore"
	"github.com/enactlog/enact/storetest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// defectVariable names the defect of the store that TestSuite and TestModel test.
const defectVariable = "STORETEST_DEFECT"

func open(*testing.T) enact.EventStore {
	store := enact.EventStore(memstore.New())
	if d, ok := defects[os.Getenv(defectVariable)]; ok {
		store = d.in(store)
	}
	return store
}

func TestSuite(t *testing.T) { storetest.Run(t, open) }

func TestModel(t *testing.T) { storetest.RunModel(t, open) }

// Each defect fails the sentence that it breaks, and the model where it can see it.
func TestDefectsAreFound(t *testing.T) {
	for name, d := range defects {
		t.Run(name, func(t *testing.T) {
			out, failed := runWith(t, name, "TestSuite")
			require.True(t, failed, "the suite passes")
			require.Contains(t, out, "--- FAIL: TestSuite/"+strings.ReplaceAll(d.breaks, " ", "_")+" ", "another sentence fails:\n%s", out)
			if d.seenByModel {
				_, failed = runWith(t, name, "TestModel")
				require.True(t, failed, "the model test passes")
			}
		})
	}
}

// runWith runs one of this package's tests with a defect in a process of its own.
func runWith(t *testing.T, defect, test string) (output string, failed bool) {
	t.Helper()
	// The model finds a defect within a few checks, seldom within twenty. So many more cost
	// nothing, and leave nothing to the draw.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-rapid.nofailfile", "-rapid.shrinktime=1ms", "-rapid.checks=1000")
	cmd.Env = append(os.Environ(), defectVariable+"="+defect)
	out, err := cmd.CombinedOutput()
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	require.False(t, bytes.Contains(out, []byte("panic: ")), "%s", out)
	return string(out), err != nil
}
