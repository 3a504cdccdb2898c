// Package eventgen holds rapid generators of events and of what events are made
// of, for the property tests of this module.
//
// What they draw is valid, survives a write and a read unchanged (compare with
// reflect.DeepEqual), and leans towards the awkward: text of several scripts,
// line ends and quotes, the limits of every integer, raw JSON with repeated keys
// and unusual number text.
package eventgen

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/enactlog/enact"
)

// Text draws valid UTF-8, possibly empty.
func Text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{
			"", "r", "plain words", `quote" backslash\ slash/`, "tab\t nl\n cr\r nul\x00 del\x7f",
			"<>&\u2028\u2029", "\ufeff", "é 漢字 🦀", "{}", "null", "\ufffd",
		}),
	)
}

// id draws valid UTF-8 of 1 to [enact.MaxIDLength] bytes.
func id(prefix string) *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.Map(rapid.StringMatching(`[0-9A-Za-z]{27}`), func(s string) string { return prefix + s }),
		rapid.SampledFrom([]string{
			".", "*", ">", " ", "%", "%41", "$SYS", "a.b.>", "\x7f", "\x00", "\r\n", "ténant 漢/.*>", "🦀",
			strings.Repeat("x", enact.MaxIDLength), strings.Repeat("é", enact.MaxIDLength/2),
		}),
		rapid.Map(rapid.StringN(1, 32, enact.MaxIDLength), func(s string) string {
			if s == "" || len(s) > enact.MaxIDLength {
				return "x"
			}
			return s
		}),
	)
}

// ExecutionID draws a valid execution id.
func ExecutionID() *rapid.Generator[enact.ExecutionID] {
	return rapid.Map(id("exec_"), func(s string) enact.ExecutionID { return enact.ExecutionID(s) })
}

// TenantID draws a valid tenant id.
func TenantID() *rapid.Generator[enact.TenantID] {
	return rapid.Map(id("tenant_"), func(s string) enact.TenantID { return enact.TenantID(s) })
}

// StepID draws a valid step id.
func StepID() *rapid.Generator[enact.StepID] {
	return rapid.Map(id("step_"), func(s string) enact.StepID { return enact.StepID(s) })
}

// Time draws a UTC time within the years that stores take, to the nanosecond.
func Time() *rapid.Generator[time.Time] { return TimeIn(0, 9999) }

// TimeIn draws a UTC time from the year first to the year last, with no, three,
// six or nine fraction digits.
func TimeIn(first, last int) *rapid.Generator[time.Time] {
	from := time.Date(first, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	to := time.Date(last, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	return rapid.Custom(func(t *rapid.T) time.Time {
		unit := rapid.SampledFrom([]int64{1, 1e3, 1e6, 1e9}).Draw(t, "unit")
		ns := rapid.Int64Range(0, 1e9-1).Draw(t, "ns") / unit * unit
		return time.Unix(rapid.Int64Range(from, to).Draw(t, "seconds"), ns).UTC()
	})
}

// Metadata draws an append's metadata within its limits; nil for none.
func Metadata() *rapid.Generator[map[string]string] {
	key := rapid.OneOf(
		rapid.SampledFrom([]string{"correlation", "causation", "Key", "key", "a b", "é:", "\r\n", "%"}),
		rapid.Map(rapid.StringN(1, 16, enact.MaxMetadataKey), func(s string) string {
			if s == "" || len(s) > enact.MaxMetadataKey {
				return "k"
			}
			return s
		}),
	)
	return rapid.Map(rapid.MapOfN(key, rapid.OneOf(Text(), rapid.Just(" value with spaces ")), 0, 4), func(m map[string]string) map[string]string {
		size := 0
		for k, v := range m {
			size += len(k) + len(v)
		}
		if len(m) == 0 || size > enact.MaxMetadata {
			return nil
		}
		return m
	})
}

// RawJSON draws any JSON value as text on one line, without space around it.
func RawJSON() *rapid.Generator[json.RawMessage] {
	return rapid.Custom(func(t *rapid.T) json.RawMessage {
		var b strings.Builder
		writeJSON(t, &b, 3)
		return json.RawMessage(b.String())
	})
}

// optionalJSON draws nil or JSON other than null, which an optional field reads as nil.
func optionalJSON() *rapid.Generator[json.RawMessage] {
	return rapid.Map(RawJSON(), func(raw json.RawMessage) json.RawMessage {
		if string(raw) == "null" {
			return nil
		}
		return raw
	})
}

func writeJSON(t *rapid.T, b *strings.Builder, depth int) {
	kinds := 4
	if depth == 0 {
		kinds = 2
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		b.WriteString(rapid.SampledFrom([]string{
			"null", "true", "false", "0", "-0", "-0.0", "1.0", "1.50", "1E2", "1e-7", "5e-324", "1e300",
			"18446744073709551615", "18446744073709551616", "-9223372036854775808", "0.1000000000000000055511151231257827",
		}).Draw(t, "literal"))
	case 1:
		writeString(t, b)
	case 2:
		b.WriteByte('[')
		for i := range rapid.IntRange(0, 3).Draw(t, "len") {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(t, b, depth-1)
		}
		b.WriteByte(']')
	case 3:
		b.WriteByte('{')
		for i := range rapid.IntRange(0, 3).Draw(t, "len") {
			if i > 0 {
				b.WriteString(", ")
			}
			writeString(t, b)
			b.WriteString(": ")
			writeJSON(t, b, depth-1)
		}
		b.WriteByte('}')
	}
}

func writeString(t *rapid.T, b *strings.Builder) {
	if rapid.Bool().Draw(t, "escaped") {
		b.WriteString(rapid.SampledFrom([]string{`"\u00e9\/"`, `"\ud83e\udd80"`, `"\b\f\n\r\t\u0000"`, `"type"`, `"<&>"`}).Draw(t, "string"))
		return
	}
	text, err := json.Marshal(Text().Draw(t, "text"))
	if err != nil {
		t.Fatal(err)
	}
	b.Write(text)
}

// Float draws a finite float64.
func Float() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64),
		rapid.SampledFrom([]float64{0, 1, 0.1, 1e-5, 1e-7, 1e15, 1e16, 1e21, 1e300, math.MaxFloat64, math.SmallestNonzeroFloat64}),
	)
}

func uint64s() *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1<<53 + 1, math.MaxInt64, math.MaxUint64}))
}

func open[T ~string](known ...T) *rapid.Generator[T] {
	return rapid.OneOf(rapid.SampledFrom(known), rapid.Map(Text(), func(s string) T {
		if s == "" {
			return "other"
		}
		return T(s)
	}))
}

// extra draws keys that no known field is spelled like.
func extra() *rapid.Generator[map[string]json.RawMessage] {
	keys := rapid.SampledFrom([]string{"x_vendor", "trace", "", "Message", "é"})
	return rapid.Map(rapid.MapOfN(keys, RawJSON(), 0, 2), func(m map[string]json.RawMessage) map[string]json.RawMessage {
		if len(m) == 0 {
			return nil
		}
		return m
	})
}

// ParentLink draws what started an execution.
func ParentLink() *rapid.Generator[enact.ParentLink] {
	return rapid.Custom(func(t *rapid.T) enact.ParentLink {
		return enact.ParentLink{
			ParentID:   Text().Draw(t, "parent_id"),
			ParentType: open(enact.ParentUserMessage, enact.ParentStepExecution, enact.ParentExecution, enact.ParentSystem).Draw(t, "parent_type"),
			Extra:      extra().Draw(t, "extra"),
		}
	})
}

// ExecutionError draws an error with every field.
func ExecutionError() *rapid.Generator[enact.ExecutionError] {
	return rapid.Custom(func(t *rapid.T) enact.ExecutionError {
		return enact.ExecutionError{
			Category:    open(enact.CategoryLLMError, enact.CategoryToolError, enact.CategoryTimeout, enact.CategoryQuotaExceeded).Draw(t, "category"),
			Message:     Text().Draw(t, "message"),
			RetryPolicy: retryPolicy().Draw(t, "retry_policy"),
			Code:        optional(Text()).Draw(t, "code"),
			Attempt:     rapid.Uint32().Draw(t, "attempt"),
			StepID:      optional(StepID()).Draw(t, "step_id"),
			Provider:    optional(Text()).Draw(t, "provider"),
			HTTPStatus:  optional(rapid.Uint16()).Draw(t, "http_status"),
			Details:     optionalJSON().Draw(t, "details"),
			OccurredAt:  rapid.Int64().Draw(t, "occurred_at"),
			Extra:       extra().Draw(t, "extra"),
		}
	})
}

func retryPolicy() *rapid.Generator[enact.RetryPolicy] {
	duration := rapid.Custom(func(t *rapid.T) enact.Duration {
		return enact.Duration{Secs: uint64s().Draw(t, "secs"), Nanos: rapid.Uint32Range(0, 999_999_999).Draw(t, "nanos")}
	})
	return rapid.Custom(func(t *rapid.T) enact.RetryPolicy {
		return enact.RetryPolicy{
			Retryable:              rapid.Bool().Draw(t, "retryable"),
			MaxRetries:             rapid.Uint32().Draw(t, "max_retries"),
			BackoffStrategy:        open(enact.BackoffNone, enact.BackoffFixed, enact.BackoffExponential).Draw(t, "backoff_strategy"),
			BaseDelay:              duration.Draw(t, "base_delay"),
			MaxDelay:               duration.Draw(t, "max_delay"),
			RequiresIdempotencyKey: rapid.Bool().Draw(t, "requires_idempotency_key"),
			Extra:                  extra().Draw(t, "extra"),
		}
	})
}

func optional[T any](g *rapid.Generator[T]) *rapid.Generator[*T] {
	return rapid.Custom(func(t *rapid.T) *T {
		if rapid.Bool().Draw(t, "absent") {
			return nil
		}
		v := g.Draw(t, "value")
		return &v
	})
}

// Unknown draws an event of a type that this release does not know.
func Unknown() *rapid.Generator[enact.Event] {
	return rapid.Custom(func(t *rapid.T) enact.Event {
		tag := rapid.SampledFrom([]string{"unheard_of", "ExecutionPaused", "step.started", "é"}).Draw(t, "tag")
		raw := `{"a": ` + string(RawJSON().Draw(t, "a")) + `,"type":"` + tag + `"}`
		return enact.Unknown{Tag: tag, Raw: json.RawMessage(raw)}
	})
}

// StoredEvent draws an event as a log holds it, with any number and time.
func StoredEvent() *rapid.Generator[enact.StoredEvent] {
	return rapid.Custom(func(t *rapid.T) enact.StoredEvent {
		return enact.StoredEvent{
			Sequence:    uint64s().Draw(t, "sequence"),
			ExecutionID: ExecutionID().Draw(t, "execution_id"),
			TenantID:    TenantID().Draw(t, "tenant_id"),
			Event:       rapid.OneOf(Event(), Event(), Unknown()).Draw(t, "event"),
			Timestamp:   Time().Draw(t, "timestamp"),
			Position:    uint64s().Draw(t, "position"),
			Metadata:    Metadata().Draw(t, "metadata"),
			Trace:       TraceContext().Draw(t, "trace"),
		}
	})
}

// TraceContext draws valid trace contexts, and none.
func TraceContext() *rapid.Generator[enact.TraceContext] {
	some := rapid.Custom(func(t *rapid.T) enact.TraceContext {
		return enact.TraceContext{
			Parent: rapid.StringMatching(`00-[0-9a-f]{31}[1-9a-f]-[1-9a-f][0-9a-f]{15}-0[01]`).Draw(t, "traceparent"),
			State:  rapid.SampledFrom([]string{"", "a=1", "vendor=a:b,other=1"}).Draw(t, "tracestate"),
		}
	})
	return rapid.OneOf(rapid.Just(enact.TraceContext{}), some)
}

// History draws the events of one execution, numbered from 1, with times that
// never go back. They come in any order and share a handful of steps, tool calls
// and goals, so that histories with repeats, gaps and cycles are common.
func History() *rapid.Generator[[]enact.StoredEvent] {
	steps := rapid.SampledFrom([]enact.StepID{"s1", "s2", "s3", "s4", "s5"})
	names := rapid.SampledFrom([]string{"n1", "n2", "n3"})
	event := rapid.OneOf(eventWith(steps, names), eventWith(steps, names), eventWith(steps, names), Unknown())
	return rapid.Custom(func(t *rapid.T) []enact.StoredEvent {
		execution, tenant := ExecutionID().Draw(t, "execution_id"), TenantID().Draw(t, "tenant_id")
		at := TimeIn(2000, 2100).Draw(t, "start")
		events := rapid.SliceOfN(event, 0, 40).Draw(t, "events")
		history := make([]enact.StoredEvent, len(events))
		for i, e := range events {
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "pause")))
			history[i] = enact.StoredEvent{
				Sequence: uint64(i) + 1, ExecutionID: execution, TenantID: tenant, Event: e, Timestamp: at,
			}
		}
		return history
	})
}

// InvalidUTF8 draws text that is not UTF-8.
func InvalidUTF8() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		s := Text().Draw(t, "before") + rapid.SampledFrom([]string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe6\xbc"}).Draw(t, "bad")
		if utf8.ValidString(s) {
			t.Fatal("drew valid UTF-8")
		}
		return s
	})
}
