package replay

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/enactlog/enact"
)

// Clone returns a copy that shares no memory with s nor with the events applied
// to it.
func (s *State) Clone() *State {
	c := *s
	c.index = nil
	c.Parent = cloneWith(s.Parent, func(l enact.ParentLink) enact.ParentLink {
		l.Extra = cloneExtra(l.Extra)
		return l
	})
	c.Metadata = bytes.Clone(s.Metadata)
	c.Output = clonePointer(s.Output)
	c.DurationMS = clonePointer(s.DurationMS)
	c.Error = cloneWith(s.Error, cloneError)
	c.Pauses = slices.Clone(s.Pauses)
	c.Steps = cloneEach(s.Steps, func(st *Step) *Step { return cloneWith(st, cloneStep) })
	c.ToolCalls = cloneEach(s.ToolCalls, func(t *ToolCall) *ToolCall { return cloneWith(t, cloneCall) })
	c.Artifacts = slices.Clone(s.Artifacts)
	c.Checkpoints = cloneEach(s.Checkpoints, func(p Checkpoint) Checkpoint {
		p.StepID = clonePointer(p.StepID)
		return p
	})
	c.Goals = cloneEach(s.Goals, func(g *Goal) *Goal {
		return &Goal{ID: g.ID, Evaluations: cloneEach(g.Evaluations, cloneEvaluation)}
	})
	c.Errors = cloneEach(s.Errors, func(f Failure) Failure {
		f.StepID, f.Error = clonePointer(f.StepID), cloneError(f.Error)
		return f
	})
	c.CustomEvents = maps.Clone(s.CustomEvents)
	c.UnknownEvents = maps.Clone(s.UnknownEvents)
	return &c
}

func cloneStep(st Step) Step {
	st.ParentID = clonePointer(st.ParentID)
	st.Attempt = cloneAttempt(st.Attempt)
	st.EarlierAttempts = cloneEach(st.EarlierAttempts, cloneAttempt)
	st.Discoveries = cloneEach(st.Discoveries, func(d Discovery) Discovery {
		d.By = clonePointer(d.By)
		return d
	})
	st.ToolCalls = slices.Clone(st.ToolCalls)
	st.Artifacts = slices.Clone(st.Artifacts)
	st.Checkpoints = slices.Clone(st.Checkpoints)
	st.Goals = slices.Clone(st.Goals)
	return st
}

func cloneAttempt(a Attempt) Attempt {
	a.Output, a.DurationMS, a.Error = clonePointer(a.Output), clonePointer(a.DurationMS), cloneWith(a.Error, cloneError)
	return a
}

func cloneCall(c ToolCall) ToolCall {
	c.StepID, c.Input, c.Output = clonePointer(c.StepID), bytes.Clone(c.Input), bytes.Clone(c.Output)
	return c
}

func cloneEvaluation(e Evaluation) Evaluation {
	e.StepID, e.Score, e.Reason = clonePointer(e.StepID), clonePointer(e.Score), clonePointer(e.Reason)
	return e
}

func cloneError(e enact.ExecutionError) enact.ExecutionError {
	e.Code, e.StepID, e.Provider, e.HTTPStatus = clonePointer(e.Code), clonePointer(e.StepID), clonePointer(e.Provider), clonePointer(e.HTTPStatus)
	e.Details, e.Extra, e.RetryPolicy.Extra = bytes.Clone(e.Details), cloneExtra(e.Extra), cloneExtra(e.RetryPolicy.Extra)
	return e
}

func cloneExtra(m map[string]json.RawMessage) map[string]json.RawMessage {
	c := maps.Clone(m)
	for key, raw := range c {
		c[key] = bytes.Clone(raw)
	}
	return c
}

func clonePointer[T any](p *T) *T { return cloneWith(p, func(v T) T { return v }) }

func cloneWith[T any](p *T, clone func(T) T) *T {
	if p == nil {
		return nil
	}
	v := clone(*p)
	return &v
}

func cloneEach[T any](list []T, clone func(T) T) []T {
	c := slices.Clone(list)
	for i := range c {
		c[i] = clone(c[i])
	}
	return c
}
