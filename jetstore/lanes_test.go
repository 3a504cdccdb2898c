package jetstore

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// However few lanes are kept, appends to one execution that are under way share one; idle
// lanes are bounded, and only those whose tail is known are kept.
func TestLanesInUseAreShared(t *testing.T) {
	subjects, err := enact.NewSubjects("")
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 3).Draw(t, "size")
		ls := newLanes(size)
		using := make(map[execution][]*lane)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			key := execution{"t", enact.ExecutionID(strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "execution")))}
			switch lanes := using[key]; rapid.SampledFrom([]string{"acquire", "release", "release cold", "reset"}).Draw(t, "step") {
			case "acquire":
				l := ls.acquire(key, subjects)
				require.Equal(t, key, l.key)
				require.Equal(t, subjects.Execution(key.tenant, key.id), l.subject)
				if len(lanes) > 0 {
					require.Same(t, lanes[0], l)
				}
				using[key] = append(lanes, l)
			case "release":
				if len(lanes) > 0 {
					lanes[0].warm = true
					ls.release(lanes[0])
					using[key] = lanes[1:]
				}
			case "release cold":
				if len(lanes) > 0 {
					lanes[0].warm = false
					ls.release(lanes[0])
					using[key] = lanes[1:]
				}
			case "reset":
				ls.reset()
			}
			require.LessOrEqual(t, ls.recent.Len(), size)
			for _, l := range ls.others {
				require.Positive(t, l.refs, "an idle lane is kept beyond the bound")
			}
			for _, l := range ls.recent.Values() {
				require.True(t, l.warm || l.refs > 0, "an idle lane without a tail is kept")
			}
		}
	})
}

// What is read from one record to another that stands before it is a fault, and no endless
// search for the way.
func TestRecordsFromBehindTheLast(t *testing.T) {
	s := openInside(t, "")
	key := execution{"acme", "run"}
	var records []*record.Record
	for range 2 {
		_, err := s.Append(t.Context(), key.id, key.tenant, enact.ExecutionResumed{})
		require.NoError(t, err)
		last, err := s.lastRecord(t.Context(), key)
		require.NoError(t, err)
		records = append(records, last)
	}
	var fault error
	for _, err := range s.recordsFrom(t.Context(), key, records[1], records[0]) {
		fault = err
	}
	require.ErrorIs(t, fault, enact.ErrCorrupt)
}
