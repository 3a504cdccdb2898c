package main

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The model is that of all events, each counted once, although the group delivers the
// last ones of the first round again.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	text := regexp.MustCompile(`came again \d+`).ReplaceAllString(out.String(), "came again some")
	require.Equal(t, `executions map[completed:2 failed:1], calls map[mail:1 search:2], came again some
executions map[completed:4 failed:2], calls map[mail:2 search:4], came again some
`, text)
}
