package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// clockSkew is how far the store's clock may be from the test's.
const clockSkew = time.Minute

func timestamps() []sentence {
	return []sentence{
		{"a timestamp is kept to the nanosecond and given in UTC", func(f *fixture) {
			times := oddTimes()
			for i, at := range times {
				f.append(note(i), enact.WithTimestamp(at))
			}
			for i, e := range f.loadN(len(times)) {
				sameTime(f.t, times[i], e.Timestamp)
			}
		}},
		{"a timestamp is that of every event of the batch", func(f *fixture) {
			at := time.Date(2026, 2, 23, 12, 0, 0, 123456789, time.UTC)
			f.appendBatch(notes(1, 5), enact.WithTimestamp(at))
			for _, e := range f.loadN(5) {
				sameTime(f.t, at, e.Timestamp)
			}
		}},
		{"timestamps need not ascend", func(f *fixture) {
			at := time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)
			for n := range 3 {
				f.append(note(n), enact.WithTimestamp(at.Add(-time.Duration(n)*time.Hour)))
			}
			f.holds(notes(0, 2)...)
		}},
		{"an append without a timestamp has the time of the call", func(f *fixture) {
			before := time.Now().Add(-clockSkew)
			f.append(note(1))
			f.append(note(2), enact.WithTimestamp(time.Time{}))
			f.appendBatch(notes(3, 4))
			after := time.Now().Add(clockSkew)
			for _, e := range f.loadN(4) {
				require.False(f.t, e.Timestamp.Before(before), "%s", e.Timestamp)
				require.False(f.t, e.Timestamp.After(after), "%s", e.Timestamp)
				require.Equal(f.t, time.UTC, e.Timestamp.Location())
			}
		}},
		{"a timestamp is the same on every read", func(f *fixture) {
			f.append(note(1))
			sameTime(f.t, f.loadN(1)[0].Timestamp, f.loadN(1)[0].Timestamp)
		}},
		{"years other than 0 to 9999 are refused", func(f *fixture) {
			west := time.FixedZone("west", -3600)
			for _, at := range []time.Time{
				time.Date(-1, 12, 31, 23, 59, 59, 999999999, time.UTC),
				time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
				time.Date(9999, 12, 31, 23, 30, 0, 0, west), // 10000 in UTC
			} {
				_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.WithTimestamp(at))
				require.ErrorIs(f.t, err, enact.ErrInvalidOption, "%s", at)
			}
			f.holdsNothing()
		}},
	}
}

// oddTimes are times that are easily cut, rounded or overflown.
func oddTimes() []time.Time {
	return []time.Time{
		time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC),
		time.Date(2026, 2, 23, 12, 0, 0, 1, time.UTC),
		time.Date(2026, 2, 23, 12, 0, 0, 120000000, time.UTC),
		time.Date(2026, 2, 23, 12, 0, 0, 999999999, time.UTC),
		time.Date(2026, 2, 23, 12, 0, 0, 5, time.FixedZone("east", 5*3600+1800)),
		time.Date(2025, 12, 31, 20, 0, 0, 0, time.FixedZone("west", -8*3600)),
		time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Unix(0, 0),
		time.Date(1600, 2, 29, 1, 2, 3, 4, time.UTC), // beyond the nanoseconds of an int64
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Now(), // with a monotonic clock
	}
}

func sameTime(t require.TestingT, want, got time.Time) {
	require.True(t, want.Equal(got), "want %s, got %s", want, got)
	require.Equal(t, time.UTC, got.Location())
}
