package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `ENACT-acme: event 1: a secret of acme
ENACT-globex: event 1: a secret of globex
a reader of acme may ask for $JS.API.STREAM.INFO.ENACT-acme
ENACT-acme: event 1: a secret of acme
ENACT-globex: event 1: its key is gone
`, out.String())
}
