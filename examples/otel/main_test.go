package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// The printed spans are one trace of the request and the append, and one of the handler,
// linked to the append.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	type context struct{ TraceID, SpanID string }
	type span struct {
		Name        string
		SpanContext context
		Parent      context
		Links       []struct{ SpanContext context }
	}
	spans := make(map[string]span)
	for dec := json.NewDecoder(&out); ; {
		var s span
		err := dec.Decode(&s)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		spans[s.Name] = s
	}
	request, appended, handled, bill := spans["request"], spans["append ENACT"], spans["handle ENACT"], spans["bill"]
	require.Equal(t, request.SpanContext, appended.Parent)
	require.Len(t, handled.Links, 1)
	require.Equal(t, appended.SpanContext, handled.Links[0].SpanContext)
	require.NotEqual(t, appended.SpanContext.TraceID, handled.SpanContext.TraceID)
	require.Equal(t, handled.SpanContext, bill.Parent)
}
