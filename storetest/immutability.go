package storetest

import (
	"encoding/json"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func immutability() []sentence {
	return []sentence{
		{"changing what was appended does not change the log", func(f *fixture) {
			score, output, step := 0.5, "done", enact.StepID("step_1")
			raw, kept := json.RawMessage(`{"a":1}`), json.RawMessage(`[1]`)
			parent := enact.ParentLink{ParentID: "p", ParentType: enact.ParentSystem, Extra: map[string]json.RawMessage{"x": kept}}
			meta := map[string]string{"k": "v"}
			batch := []enact.Event{
				enact.GoalEvaluated{StepID: &step, GoalID: "g", Status: enact.GoalMet, Score: &score},
				enact.StepCompleted{StepID: step, Output: &output},
				enact.Custom{EventType: "x", Data: raw},
				enact.ExecutionStarted{Parent: &parent, Metadata: raw},
			}
			f.appendBatch(batch, enact.WithMetadata(meta))
			want := encoded(f.t, f.load())

			score, output, step = 9.5, "changed", "step_2"
			copy(raw, `{"b":2}`)
			copy(kept, `[2]`)
			parent.ParentID = "changed"
			delete(parent.Extra, "x")
			meta["k"], meta["l"] = "changed", "new"
			clear(batch)

			require.Equal(f.t, want, encoded(f.t, f.load()))
			require.Contains(f.t, want, `"score":0.5`)
			require.Contains(f.t, want, `"output":"done"`)
			require.Contains(f.t, want, `"data":{"a":1}`)
			require.Contains(f.t, want, `"x":[1]`)
			require.Contains(f.t, want, `"metadata":{"k":"v"}`)
		}},
		{"changing what was loaded does not change the log", func(f *fixture) {
			batch := []enact.Event{
				enact.StepCompleted{StepID: "s", Output: new("done")},
				enact.Custom{EventType: "x", Data: json.RawMessage(`{"a":1}`)},
				enact.ExecutionStarted{Parent: &enact.ParentLink{ParentType: "t", Extra: map[string]json.RawMessage{"x": json.RawMessage(`[1]`)}}},
				enact.Unknown{Tag: "later", Raw: json.RawMessage(`{"type":"later"}`)},
			}
			f.appendBatch(batch, enact.WithMetadata(map[string]string{"k": "v"}))
			f.holds(batch...)
			want := encoded(f.t, f.load())
			for _, load := range []func() []enact.StoredEvent{
				func() []enact.StoredEvent { return f.load() },
				func() []enact.StoredEvent {
					ranged, err := collect(f.store.Events(f.ctx, f.execution, 0))
					require.NoError(f.t, err)
					return ranged
				},
			} {
				deface(load())
				require.Equal(f.t, want, encoded(f.t, f.load()))
			}
		}},
		{"changing one loaded event does not change another", func(f *fixture) {
			f.appendBatch(notes(1, 3), enact.WithMetadata(map[string]string{"k": "v"}))
			loaded := f.loadN(3)
			before := encoded(f.t, loaded[1:])
			deface(loaded[:1])
			require.Equal(f.t, before, encoded(f.t, loaded[1:]))
		}},
		{"changing a page of a list does not change the list", func(f *fixture) {
			want := f.createMany(3)
			clear(f.listAll())
			clear(f.list(2, 1))
			require.Equal(f.t, want, f.listAll())
		}},
	}
}

// deface changes everything in the events that is reached through a slice, a
// pointer or a map.
func deface(events []enact.StoredEvent) {
	for i := range events {
		switch e := events[i].Event.(type) {
		case enact.StepCompleted:
			*e.Output = "changed"
		case enact.Custom:
			clear(e.Data)
		case enact.ExecutionStarted:
			clear(e.Parent.Extra["x"])
			clear(e.Parent.Extra)
			e.Parent.ParentID = "changed"
		case enact.Unknown:
			clear(e.Raw)
		}
		clear(events[i].Metadata)
	}
	clear(events)
}

// encoded returns the events' JSON, one a line.
func encoded(t require.TestingT, events []enact.StoredEvent) string {
	var text []byte
	for _, e := range events {
		var err error
		text, err = e.AppendJSON(text)
		require.NoError(t, err)
		text = append(text, '\n')
	}
	return string(text)
}
