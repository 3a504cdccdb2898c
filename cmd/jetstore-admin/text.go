package main

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/enactlog/enact"
)

// inline makes one line of a text that a model, a tool or a user wrote: runs of
// white space become one space, and what does not print is escaped, so that nothing
// in a log can steer the terminal. Past limit columns the text is cut.
func inline(s string, limit int) string {
	// Four bytes at most make a column, so that this much is never too little.
	if most := 4*limit + 64; len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	var b strings.Builder
	for i, word := range strings.FieldsFunc(s, unicode.IsSpace) {
		if i > 0 {
			b.WriteByte(' ')
		}
		for _, r := range word {
			if unicode.IsPrint(r) {
				b.WriteRune(r)
				continue
			}
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return text.Snip(b.String(), limit, "…")
}

// name shows an id in full: as it is where every byte of it shows, quoted elsewhere.
func name[T ~string](id T) string {
	s := string(id)
	for _, r := range s {
		if !unicode.IsPrint(r) || r == '"' || r == unicode.ReplacementChar {
			return strconv.Quote(s)
		}
	}
	if s == "" || strings.TrimSpace(s) != s {
		return strconv.Quote(s)
	}
	return s
}

// clock is the layout of times for people: UTC, to the millisecond.
const clock = "2006-01-02T15:04:05.000Z"

// timeOfDay is clock without the date, for times whose date stands elsewhere.
const timeOfDay = "15:04:05.000"

// stamp shows a time; the zero time is empty.
func stamp(t time.Time, layout string) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(layout)
}

// span shows a duration to three or four digits.
func span(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// millis shows a number of milliseconds, also one beyond a time.Duration.
func millis(ms uint64) string {
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		return strconv.FormatUint(ms, 10) + "ms"
	}
	return span(time.Duration(ms) * time.Millisecond)
}

// failureText says what went wrong, in one line.
func failureText(e *enact.ExecutionError, limit int) string {
	s := string(e.Category)
	if e.Code != nil {
		s += " " + *e.Code
	}
	if e.HTTPStatus != nil {
		s += " HTTP " + strconv.Itoa(int(*e.HTTPStatus))
	}
	s += ": " + e.Message
	if e.RetryPolicy.Retryable {
		s += " (retryable)"
	}
	return inline(s, limit)
}
