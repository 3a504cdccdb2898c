package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSameJSON(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[true,null]}`, `{ "b": [true, null], "a": 1 }`, true},
		{`"é"`, `"\u00e9"`, true},
		{`1e300`, `1.0e+300`, true},
		{`0.1`, `0.10`, true},
		{`1`, `1.0`, false},
		{`18446744073709551615`, `18446744073709551614`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,1]`, false},
		{`{"a":null}`, `{}`, false},
		{`{"a":1}`, `[1]`, false},
		{`"1"`, `1`, false},
		{`false`, `null`, false},
	} {
		require.Equal(t, tt.same, sameJSON([]byte(tt.a), []byte(tt.b)), "%s and %s", tt.a, tt.b)
		require.Equal(t, tt.same, sameJSON([]byte(tt.b), []byte(tt.a)), "%s and %s", tt.b, tt.a)
	}
}
