package enact_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

const (
	snakeError = `{"category":"LlmError","message":"m","retry_policy":{"retryable":true,"max_retries":3,"backoff_strategy":"Exponential","base_delay":{"secs":1,"nanos":500000000},"max_delay":{"secs":30,"nanos":0},"requires_idempotency_key":true},"code":"rate_limit","attempt":2,"step_id":"s","provider":"azure","http_status":429,"details":{"b":1,"a":2},"occurred_at":1771848000123}`
	camelError = `{"category":"llm_error","message":"m","retryPolicy":{"retryable":true,"maxRetries":3,"backoffStrategy":"exponential","baseDelay":1500,"maxDelay":30000,"requiresIdempotencyKey":true},"code":"rate_limit","attempt":2,"stepId":"s","provider":"azure","httpStatus":429,"details":{"b":1,"a":2},"occurredAt":1771848000123}`
)

func failedText(failure string) string { return `{"type":"execution_failed","error":` + failure + `}` }

func parseFailure(t *testing.T, failure string) enact.ExecutionError {
	t.Helper()
	return parse(t, failedText(failure)).(enact.ExecutionFailed).Error
}

// Both shapes are read to the same fields.
func TestErrorShapesAreRead(t *testing.T) {
	want := enact.ExecutionError{
		Category: enact.CategoryLLMError, Message: "m", Code: pointer("rate_limit"), Attempt: 2, StepID: pointer(enact.StepID("s")),
		Provider: pointer("azure"), HTTPStatus: pointer(uint16(429)), Details: json.RawMessage(`{"b":1,"a":2}`), OccurredAt: 1771848000123,
		RetryPolicy: enact.RetryPolicy{
			Retryable: true, MaxRetries: 3, BackoffStrategy: enact.BackoffExponential,
			BaseDelay: enact.DurationOf(1500 * time.Millisecond), MaxDelay: enact.DurationOf(30 * time.Second), RequiresIdempotencyKey: true,
		},
	}
	require.Equal(t, want, parseFailure(t, snakeError))

	camel := parseFailure(t, camelError)
	require.Equal(t, enact.ErrorCategory("llm_error"), camel.Category)
	require.Equal(t, enact.BackoffStrategy("exponential"), camel.RetryPolicy.BackoffStrategy)
	camel.Category, camel.RetryPolicy.BackoffStrategy = enact.CategoryLLMError, enact.BackoffExponential
	require.JSONEq(t, snakeError, canonical(t, camel))
}

// canonical is the error's text as values made here are written.
func canonical(t *testing.T, e enact.ExecutionError) string {
	t.Helper()
	fresh := enact.ExecutionError{
		Category: e.Category, Message: e.Message, Code: e.Code, Attempt: e.Attempt, StepID: e.StepID, Provider: e.Provider,
		HTTPStatus: e.HTTPStatus, Details: e.Details, OccurredAt: e.OccurredAt, Extra: e.Extra,
		RetryPolicy: enact.RetryPolicy{
			Retryable: e.RetryPolicy.Retryable, MaxRetries: e.RetryPolicy.MaxRetries, BackoffStrategy: e.RetryPolicy.BackoffStrategy,
			BaseDelay: e.RetryPolicy.BaseDelay, MaxDelay: e.RetryPolicy.MaxDelay,
			RequiresIdempotencyKey: e.RetryPolicy.RequiresIdempotencyKey, Extra: e.RetryPolicy.Extra,
		},
	}
	text, err := json.Marshal(fresh)
	require.NoError(t, err)
	return string(text)
}

// What is not changed is written back as it was read, whatever its shape.
func TestShapesAreKept(t *testing.T) {
	for name, event := range map[string]string{
		"snake_case":               failedText(snakeError),
		"camelCase, milliseconds":  failedText(camelError),
		"optionals absent":         failedText(`{"category":"c","message":"","retry_policy":` + plainPolicy + `,"attempt":1,"occurred_at":0}`),
		"optionals null":           failedText(plainError),
		"another order":            failedText(`{"occurred_at":0,"attempt":1,"retry_policy":` + plainPolicy + `,"message":"","category":"c"}`),
		"spaced":                   failedText(`{ "category" : "c", "message" : "", "retry_policy" : ` + plainPolicy + `, "attempt" : 1, "occurred_at" : 0 }`),
		"escapes":                  failedText(`{"category":"c","message":"\u00e9\/","retry_policy":` + plainPolicy + `,"attempt":1,"occurred_at":0}`),
		"unknown keys":             failedText(strings.Replace(snakeError, `"code"`, `"x_trace":{"b":1,"a":[1.50]},"Message":null,"code"`, 1)),
		"unknown keys of a policy": failedText(strings.Replace(snakeError, `"max_retries"`, `"jitter":0.10,"max_retries"`, 1)),
		"nanos beyond a second":    failedText(strings.Replace(snakeError, `"nanos":500000000`, `"nanos":1500000000`, 1)),
		"unknown key of duration":  failedText(strings.Replace(snakeError, `"nanos":500000000`, `"nanos":500000000,"x":1`, 1)),
		"a step's error":           `{"type":"step_failed","step_id":"s","error":` + camelError + `}`,
		"a parent in camelCase":    `{"type":"execution_started","parent":{"parentId":"p","parentType":"user_message"},"metadata":null}`,
		"a parent, other order":    `{"type":"execution_started","parent":{"parent_type":"user_message","parent_id":"p"},"metadata":null}`,
		"a parent, unknown keys":   `{"type":"execution_started","parent":{"z":1,"parent_id":"p","parent_type":"X","a":{"b":1.0}},"metadata":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := parse(t, event)
			require.NoError(t, e.Validate())
			require.Equal(t, event, encode(t, e))

			// Copies, and a trip through StoredEvent, keep it too.
			line, err := enact.StoredEvent{Sequence: 1, ExecutionID: "e", TenantID: "t", Event: e, Timestamp: time.Unix(0, 0)}.AppendJSON(nil)
			require.NoError(t, err)
			var back enact.StoredEvent
			require.NoError(t, json.Unmarshal(line, &back))
			require.Equal(t, event, encode(t, back.Event))
		})
	}
}

// A value changed after reading is written with the change, and with everything
// else that was read.
func TestChangedValuesAreWritten(t *testing.T) {
	withExtra := strings.Replace(camelError, `"code"`, `"traceId":"t-1","code"`, 1)
	withExtra = strings.Replace(withExtra, `"maxRetries"`, `"jitter":0.10,"maxRetries"`, 1)
	tests := []struct {
		name   string
		change func(*enact.ExecutionError)
		old    string
		new    string
	}{
		{"message", func(e *enact.ExecutionError) { e.Message = "changed" }, `"message":"m"`, `"message":"changed"`},
		{"an optional to null", func(e *enact.ExecutionError) { e.Provider = nil }, `"provider":"azure"`, `"provider":null`},
		{"a pointed-to value", func(e *enact.ExecutionError) { *e.HTTPStatus = 503 }, `"http_status":429`, `"http_status":503`},
		{"details", func(e *enact.ExecutionError) { e.Details = json.RawMessage(`[1.0]`) }, `{"b":1,"a":2}`, `[1.0]`},
		{"an unknown key", func(e *enact.ExecutionError) { e.Extra["traceId"] = json.RawMessage(`"t-2"`) }, `"t-1"`, `"t-2"`},
		{"the policy", func(e *enact.ExecutionError) { e.RetryPolicy.MaxRetries = 9 }, `"max_retries":3`, `"max_retries":9`},
		{"a delay", func(e *enact.ExecutionError) { e.RetryPolicy.MaxDelay.Secs = 31 }, `{"secs":30,"nanos":0}`, `{"secs":31,"nanos":0}`},
		{"an unknown key of the policy", func(e *enact.ExecutionError) { e.RetryPolicy.Extra["jitter"] = json.RawMessage("1") }, `"jitter":0.10`, `"jitter":1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := canonical(t, parseFailure(t, withExtra))
			require.Contains(t, before, `"traceId":"t-1"`)
			require.Contains(t, before, `"jitter":0.10`)
			require.Equal(t, 1, strings.Count(before, tt.old))

			e := parseFailure(t, withExtra)
			tt.change(&e)
			again := parseFailure(t, errorText(t, encode(t, enact.ExecutionFailed{Error: e})))
			require.Equal(t, strings.Replace(before, tt.old, tt.new, 1), canonical(t, again))
		})
	}

	e := parse(t, `{"type":"execution_started","parent":{"parentId":"p","parentType":"X","a":1},"metadata":null}`).(enact.ExecutionStarted)
	e.Parent.ParentID = "q"
	require.Equal(t, `{"type":"execution_started","parent":{"parent_id":"q","parent_type":"X","a":1},"metadata":null}`, encode(t, e))
}

func errorText(t *testing.T, event string) string {
	t.Helper()
	var e struct{ Error json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(event), &e))
	return string(e.Error)
}

func TestFailureRefuses(t *testing.T) {
	policy := func(s string) string { return strings.Replace(snakeError, plainDelay, s, 1) }
	tests := []struct{ name, failure, field, reason string }{
		{"a key twice", strings.Replace(snakeError, `"attempt":2`, `"attempt":2,"attempt":2`, 1), "error.attempt", "is there twice"},
		{"a key in both spellings", strings.Replace(snakeError, `"step_id":"s"`, `"step_id":"s","stepId":"s"`, 1), "error.step_id", "is there twice"},
		{"the policy in both spellings", strings.Replace(snakeError, `"code"`, `"retryPolicy":`+plainPolicy+`,"code"`, 1), "error.retry_policy", "is there twice"},
		{"a policy's key twice", strings.Replace(snakeError, `"max_retries":3`, `"max_retries":3,"max_retries":3`, 1), "error.retry_policy.max_retries", "is there twice"},
		{"a policy's key in both spellings", strings.Replace(camelError, `"maxRetries":3`, `"maxRetries":3,"max_retries":3`, 1), "error.retry_policy.max_retries", "is there twice"},
		{"an unknown key twice", strings.Replace(snakeError, `"code"`, `"x":1,"x":1,"code"`, 1), "error.x", "is there twice"},
		{"an unknown value beyond a float64", strings.Replace(snakeError, `"code"`, `"x":1e400,"code"`, 1), "error.x", "number out of range"},
		{"no category", strings.Replace(snakeError, `"category":"LlmError",`, ``, 1), "error.category", "is missing"},
		{"a null category", strings.Replace(snakeError, `"LlmError"`, `null`, 1), "error.category", "is null, not a string"},
		{"a null policy", strings.Replace(plainError, plainPolicy, `null`, 1), "error.retry_policy", "is null, not an object"},
		{"no retryable", strings.Replace(snakeError, `"retryable":true,`, ``, 1), "error.retry_policy.retryable", "is missing"},
		{"retryable 1", strings.Replace(snakeError, `"retryable":true`, `"retryable":1`, 1), "error.retry_policy.retryable", "is 1, not a boolean"},
		{"a duration as text", policy(`"1s"`), "error.retry_policy.base_delay", "not a duration"},
		{"a duration as a float", policy(`1500.0`), "error.retry_policy.base_delay", "not a duration"},
		{"a negative duration", policy(`-1`), "error.retry_policy.base_delay", "not a duration"},
		{"a null duration", policy(`null`), "error.retry_policy.base_delay", "not a duration"},
		{"a duration without nanos", policy(`{"secs":1}`), "error.retry_policy.base_delay.nanos", "is missing"},
		{"a duration with secs twice", policy(`{"secs":1,"secs":1,"nanos":0}`), "error.retry_policy.base_delay.secs", "is there twice"},
		{"negative secs", policy(`{"secs":-1,"nanos":0}`), "error.retry_policy.base_delay.secs", "is -1, not a u64"},
		{"a duration that overflows", policy(`{"secs":18446744073709551615,"nanos":1000000000}`), "error.retry_policy.base_delay", "overflows a duration"},
		{"a lone surrogate in details", strings.Replace(snakeError, `{"b":1,"a":2}`, `"\ud800"`, 1), "error", "is not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.NotEqual(t, snakeError, tt.failure)
			_, err := enact.ParseEvent([]byte(failedText(tt.failure)))
			got := eventError(t, err)
			require.Equal(t, tt.field, got.Field)
			require.Contains(t, got.Reason, tt.reason)
			require.Equal(t, "execution_failed", got.Type)
		})
	}
	for _, parent := range []string{
		`{"parent_id":"p","parentId":"p","parent_type":"X"}`,
		`{"parent_id":"p","parent_type":"X","parent_type":"X"}`,
	} {
		_, err := enact.ParseEvent([]byte(`{"type":"execution_started","parent":` + parent + `}`))
		require.Equal(t, "is there twice", eventError(t, err).Reason)
	}
}

const plainDelay = `{"secs":1,"nanos":500000000}`

// Standing alone, an error, a policy and a link have the same JSON as in an event.
func TestFailureJSON(t *testing.T) {
	for _, text := range []string{snakeError, camelError, plainError} {
		var e enact.ExecutionError
		require.NoError(t, json.Unmarshal([]byte(text), &e))
		require.Equal(t, parseFailure(t, text), e)
		out, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, text, string(out))
	}
	var policy enact.RetryPolicy
	require.NoError(t, json.Unmarshal([]byte(plainPolicy), &policy))
	out, err := json.Marshal(policy)
	require.NoError(t, err)
	require.Equal(t, plainPolicy, string(out))

	link := enact.ParentLink{ParentID: "kept", ParentType: "X"}
	require.Equal(t, "parent_id", eventError(t, json.Unmarshal([]byte(`{"parent_type":"X"}`), &link)).Field)
	require.Equal(t, "kept", link.ParentID, "a failed read changes nothing")
	require.Error(t, link.UnmarshalJSON([]byte(`{"parent_id":"p","parent_type":"X"} x`)))
	require.NoError(t, json.Unmarshal([]byte(`{"parentId":"p","parentType":"X"}`), &link))
	out, err = json.Marshal(&link)
	require.NoError(t, err)
	require.Equal(t, `{"parentId":"p","parentType":"X"}`, string(out))

	out, err = json.Marshal(enact.DurationOf(1500 * time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, plainDelay, string(out))
}

func TestDuration(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Second - 1, time.Second, 90 * time.Minute, math.MaxInt64 / time.Second * time.Second, math.MaxInt64 - 1, math.MaxInt64} {
		require.Equal(t, d, enact.DurationOf(d).Std())
	}
	require.Equal(t, enact.Duration{}, enact.DurationOf(-time.Hour))
	require.Equal(t, enact.Duration{Secs: 1, Nanos: 500_000_000}, enact.DurationOf(1500*time.Millisecond))
	const top = math.MaxInt64
	require.Equal(t, time.Duration(top), enact.Duration{Secs: top / 1_000_000_000, Nanos: 999_999_999}.Std())
	require.Equal(t, time.Duration(top), enact.Duration{Secs: math.MaxUint64, Nanos: 999_999_999}.Std())
}

func TestFatalCategories(t *testing.T) {
	for category, fatal := range map[enact.ErrorCategory]bool{
		enact.CategoryLLMError: false, enact.CategoryToolError: false, enact.CategoryTimeout: false, enact.CategoryNetworkError: false,
		enact.CategoryPolicyViolation: true, enact.CategoryQuotaExceeded: true, enact.CategoryKernelInternal: true,
		enact.CategoryValidationError: true, "SomethingElse": false, "": false,
	} {
		require.Equal(t, fatal, category.Fatal(), category)
	}
}
