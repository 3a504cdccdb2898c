package storetest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func events() []sentence {
	return []sentence{
		{"events of every type are kept exactly", func(f *fixture) {
			types := map[string]bool{}
			for i, e := range samples() {
				require.Equal(f.t, uint64(i)+1, f.append(e))
				types[e.Type()] = true
			}
			for _, known := range enact.EventTypes() {
				require.True(f.t, types[known], "the samples lack %s", known)
			}
			for i, e := range f.loadN(len(samples())) {
				require.Equal(f.t, samples()[i], e.Event)
				sameEvent(f.t, samples()[i], e.Event)
			}
			ranged, err := collect(f.store.Events(f.ctx, f.execution, 0))
			require.NoError(f.t, err)
			f.areNumbered(ranged, samples())
			back := f.load(enact.Backwards())
			slices.Reverse(back)
			f.areNumbered(back, samples())
		}},
		{"variants are loaded as values", func(f *fixture) {
			f.append(enact.StepCompleted{StepID: "s"})
			as[enact.StepCompleted](f.t, f.loadN(1)[0].Event)
		}},
		{"what was loaded can be appended again, unchanged", func(f *fixture) {
			f.appendBatch(samples())
			again := f.on(enact.NewExecutionID())
			for _, e := range f.load() {
				again.append(e.Event)
			}
			again.holds(samples()...)
		}},
		{"events read in another shape are kept in that shape", func(f *fixture) {
			want := []string{
				`{"type":"execution_started","parent":{"parentType":"System","parentId":"p","more":1},"metadata":null}`,
				`{"type":"step_failed","step_id":"s","error":{"occurredAt":-1,"category":"LlmError","message":"m","retryPolicy":` +
					`{"retryable":true,"maxRetries":3,"backoffStrategy":"fixed","baseDelay":100,"maxDelay":2000,"requiresIdempotencyKey":false},"attempt":1}}`,
			}
			for _, text := range want {
				e, err := enact.ParseEvent([]byte(text))
				require.NoError(f.t, err)
				f.append(e)
			}
			for i, e := range f.loadN(len(want)) {
				got, err := enact.AppendEvent(nil, e.Event)
				require.NoError(f.t, err)
				require.Equal(f.t, want[i], string(got))
			}
		}},
		{"a loaded event has a JSON form that reads back", func(f *fixture) {
			f.appendBatch(samples(), enact.WithMetadata(map[string]string{"k": awkward}))
			for _, e := range f.loadN(len(samples())) {
				line, err := e.AppendJSON(nil)
				require.NoError(f.t, err)
				var again enact.StoredEvent
				require.NoError(f.t, again.UnmarshalJSON(line))
				require.Equal(f.t, e.Sequence, again.Sequence)
				require.Equal(f.t, e.Metadata, again.Metadata)
				require.True(f.t, e.Timestamp.Equal(again.Timestamp))
			}
		}},
	}
}
