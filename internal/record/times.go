package record

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enactlog/enact"
)

// appendTimes writes the times of a record's events: the first one's text, then,
// unless all are equal, each further one's distance from the first in
// nanoseconds.
func appendTimes(dst []byte, times []time.Time) ([]byte, error) {
	dst = enact.AppendTime(dst, times[0])
	if AllEqual(times) {
		return dst, nil
	}
	for _, t := range times[1:] {
		if !TimesFit(times[0], t) {
			return nil, &enact.OptionError{Option: "Timestamps", Reason: "events of one record lie more than 292 years apart"}
		}
		d := t.Sub(times[0])
		dst = append(dst, ',')
		if d >= 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, int64(d), 10)
	}
	return dst, nil
}

// TimesFit reports whether one record can hold events of both times: their distance
// is a number of nanoseconds that 63 bits hold, about 292 years.
func TimesFit(first, t time.Time) bool {
	d := t.Sub(first) // saturates instead of overflowing
	return d != math.MaxInt64 && d != math.MinInt64
}

// AllEqual reports whether the times, at least one, are one instant.
func AllEqual(times []time.Time) bool {
	for _, t := range times[1:] {
		if !t.Equal(times[0]) {
			return false
		}
	}
	return true
}

// usualTime reports, of a text that parses, whether it is plainly what AppendTime writes:
// one to the nanosecond. Of others it says no, and the text is to be compared.
func usualTime(s string) bool {
	const form = "2006-01-02T15:04:05.000000000Z"
	return len(s) == len(form) && s[10] == 'T' && s[17] < '6' && s[19] == '.' && s[29] == 'Z' && s[26:29] != "000"
}

// parseTimes reads the times of n events in the one form that appendTimes writes, into
// times if there is room.
func parseTimes(times []time.Time, s string, n int) ([]time.Time, error) {
	first, list, many := strings.Cut(s, ",")
	t0, err := enact.ParseTime(first)
	if err != nil || !usualTime(first) && string(enact.AppendTime(make([]byte, 0, 48), t0)) != first {
		return nil, fmt.Errorf("time %q is not in the log's form", clip(first))
	}
	times = append(slices.Grow(times[:0], n), t0)
	if !many {
		for len(times) < n {
			times = append(times, t0)
		}
		return times, nil
	}
	for more := true; more; {
		var text string
		text, list, more = strings.Cut(list, ",")
		if len(times) == n {
			return nil, fmt.Errorf("more times than the record's %d events", n)
		}
		d, err := strconv.ParseInt(text, 10, 64)
		canonical := strconv.FormatInt(d, 10)
		if d >= 0 {
			canonical = "+" + canonical
		}
		if err != nil || text != canonical || d == math.MaxInt64 || d == math.MinInt64 {
			return nil, fmt.Errorf("time distance %q is not a signed number of nanoseconds", clip(text))
		}
		times = append(times, t0.Add(time.Duration(d)))
	}
	if len(times) != n {
		return nil, fmt.Errorf("%d times for the record's %d events", len(times), n)
	}
	if AllEqual(times) {
		return nil, errors.New("a list of equal times")
	}
	return times, nil
}
