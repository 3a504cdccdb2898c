package enact_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func TestTraceContext(t *testing.T) {
	const valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, tt := range []struct {
		name    string
		trace   enact.TraceContext
		ok      bool
		sampled bool
	}{
		{"none", enact.TraceContext{}, true, false},
		{"sampled", enact.TraceContext{Parent: valid}, true, true},
		{"not sampled", enact.TraceContext{Parent: valid[:53] + "00"}, true, false},
		{"further flags", enact.TraceContext{Parent: valid[:53] + "fe"}, true, false},
		{"further flags, sampled", enact.TraceContext{Parent: valid[:53] + "03"}, true, true},
		{"with a state", enact.TraceContext{Parent: valid, State: "a=1, b=2"}, true, true},
		{"the longest state", enact.TraceContext{Parent: valid, State: strings.Repeat("a", enact.MaxTraceState)}, true, true},
		{"a state alone", enact.TraceContext{State: "a=1"}, false, false},
		{"another version", enact.TraceContext{Parent: "01" + valid[2:]}, false, false},
		{"upper case", enact.TraceContext{Parent: strings.ToUpper(valid)}, false, false},
		{"too short", enact.TraceContext{Parent: valid[:54]}, false, false},
		{"too long", enact.TraceContext{Parent: valid + "-"}, false, false},
		{"no trace id", enact.TraceContext{Parent: "00-" + strings.Repeat("0", 32) + valid[35:]}, false, false},
		{"no parent id", enact.TraceContext{Parent: valid[:36] + strings.Repeat("0", 16) + "-01"}, false, false},
		{"no separator", enact.TraceContext{Parent: valid[:35] + "0" + valid[36:]}, false, false},
		{"a state too long", enact.TraceContext{Parent: valid, State: strings.Repeat("a", enact.MaxTraceState+1)}, false, false},
		{"a state of two lines", enact.TraceContext{Parent: valid, State: "a=1\r\nEnact-Count: 2"}, false, false},
		{"a state with a space behind it", enact.TraceContext{Parent: valid, State: "a=1 "}, false, false},
		{"a state that is not ASCII", enact.TraceContext{Parent: valid, State: "a=é"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.trace.Validate()
			if tt.ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, enact.ErrInvalidOption)
			}
			require.Equal(t, tt.sampled, tt.trace.Sampled())
			require.Equal(t, tt.trace, enact.NewAppendOptions(enact.WithTraceContext(tt.trace)).Trace)
			require.Equal(t, tt.ok, enact.AppendOptions{Trace: tt.trace}.Validate() == nil)
		})
	}
}
