package replay

import (
	"iter"
	"slices"

	"github.com/enactlog/enact"
)

// Fold applies step to every event in turn, from initial on, and returns the last
// state. The first error of events or step ends it; the state before that error
// is returned beside it.
func Fold[S any](events iter.Seq2[enact.StoredEvent, error], initial S, step func(S, enact.StoredEvent) (S, error)) (S, error) {
	state := initial
	for ev, err := range events {
		if err != nil {
			return state, err
		}
		next, err := step(state, ev)
		if err != nil {
			return state, err
		}
		state = next
	}
	return state, nil
}

// Collect returns the state after all events. On an error of events, or one of
// [State.Apply], the state before it is returned beside the error.
func Collect(events iter.Seq2[enact.StoredEvent, error]) (*State, error) {
	return Fold(events, New(), func(s *State, ev enact.StoredEvent) (*State, error) { return s, s.Apply(ev) })
}

// Of is [Collect] for a slice.
func Of(events []enact.StoredEvent) (*State, error) {
	return Collect(func(yield func(enact.StoredEvent, error) bool) {
		for ev := range slices.Values(events) {
			if !yield(ev, nil) {
				return
			}
		}
	})
}
