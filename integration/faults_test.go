//go:build faults

package integration

// The tests of this file and of fault*_test.go run for minutes and mount small file
// systems, which needs root: make integration.

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// roundsVariable says how many rounds of faults there are, reportVariable names a file
	// for the table of what came of them; `make integration` sets them.
	roundsVariable = "ENACT_FAULT_ROUNDS"
	reportVariable = "ENACT_FAULT_REPORT"
	// roundsOfOne is how many rounds a cluster lives for, about.
	roundsOfOne = 22
)

// Whatever happens to the servers of a cluster and to what is between them, appends of
// eight processes end as their callers are told, each exactly once; reads are never older
// than what was acknowledged, where that is promised; subscribers see each event; and
// when all is well again, what was of unknown outcome is settled.
func TestFaults(t *testing.T) {
	random := newRandom(t)
	rounds := 0
	if text := os.Getenv(roundsVariable); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	deck := dealFaults(random, rounds)
	seed := random.Uint64()
	total := newTotals()
	began := time.Now()
	campaigns := (len(deck) + roundsOfOne - 1) / roundsOfOne
	// A group, so that what it prints comes behind all of them.
	t.Run("campaigns", func(t *testing.T) {
		for i := range campaigns {
			hand := deck[i*len(deck)/campaigns : (i+1)*len(deck)/campaigns]
			t.Run(fmt.Sprint(i+1), func(t *testing.T) {
				t.Parallel()
				newCampaign(t, rand.New(rand.NewPCG(seed, uint64(i)))).run(hand, total)
				total.write(t)
			})
		}
	})
	t.Logf("%d rounds in %v\n%s", len(deck), time.Since(began).Round(time.Second), total.markdown())
}
