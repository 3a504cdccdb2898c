package replay

import (
	"slices"
	"time"

	"github.com/enactlog/enact"
)

// Apply folds the next event into the state. It returns a [*MismatchError] for an
// event of another execution, a [*SequenceError] for one whose sequence is not
// LastSequence+1 (the first event has the sequence 1), and an [*enact.EventError]
// for a stored event without an event; the state is then unchanged.
func (s *State) Apply(ev enact.StoredEvent) error {
	if ev.Event == nil {
		return &enact.EventError{Reason: "is nil"}
	}
	if s.LastSequence > 0 && (ev.ExecutionID != s.ExecutionID || ev.TenantID != s.TenantID) {
		return &MismatchError{
			TenantID: s.TenantID, ExecutionID: s.ExecutionID, EventTenantID: ev.TenantID, EventExecutionID: ev.ExecutionID,
		}
	}
	if ev.Sequence != s.LastSequence+1 {
		return &SequenceError{TenantID: ev.TenantID, ExecutionID: ev.ExecutionID, Expected: s.LastSequence + 1, Actual: ev.Sequence}
	}
	// Without its monotonic reading a time equals the same time read from JSON.
	at := moment{ev.Timestamp.UTC().Round(0), ev.Sequence}
	s.ExecutionID, s.TenantID = ev.ExecutionID, ev.TenantID
	s.LastSequence, s.UpdatedAt = at.seq, at.time
	s.Events++
	s.fold(ev.Event, at)
	return nil
}

// moment is when an event happened: its time and its sequence.
type moment struct {
	time time.Time
	seq  uint64
}

func (s *State) fold(event enact.Event, at moment) {
	switch e := event.(type) {
	case enact.ExecutionStarted:
		s.run()
		if s.StartedAt.IsZero() {
			s.StartedAt = at.time
		}
		s.Parent, s.Metadata = e.Parent, e.Metadata
	case enact.ExecutionPaused:
		s.run()
		s.Status = StatusPaused
		s.Pauses = append(s.Pauses, Pause{Reason: e.Reason, At: at.time, Sequence: at.seq})
	case enact.ExecutionResumed:
		s.run()
		// Those that are open are the last ones.
		for i := len(s.Pauses) - 1; i >= 0 && s.Pauses[i].ResumedAt.IsZero(); i-- {
			s.Pauses[i].ResumedAt = at.time
		}
	case enact.ExecutionCompleted:
		s.end(StatusCompleted, at)
		s.Output, s.DurationMS = e.Output, &e.DurationMS
	case enact.ExecutionFailed:
		s.end(StatusFailed, at)
		s.Error = &e.Error
		s.Errors = append(s.Errors, Failure{Error: e.Error, At: at.time, Sequence: at.seq})
	case enact.ExecutionCancelled:
		s.end(StatusCancelled, at)
		s.Reason = e.Reason
	case enact.StepDiscovered:
		s.discover(e, at)
	case enact.StepStarted:
		s.start(e, at)
	case enact.StepCompleted:
		a := s.endAttempt(e.StepID, StepCompleted, at)
		a.Output, a.DurationMS = e.Output, &e.DurationMS
	case enact.StepFailed:
		a := s.endAttempt(e.StepID, StepFailed, at)
		a.Error = &e.Error
		s.Errors = append(s.Errors, Failure{StepID: &e.StepID, Error: e.Error, At: at.time, Sequence: at.seq})
	case enact.ToolCallStarted:
		s.addCall(&ToolCall{ID: e.ToolCallID, StepID: e.StepID, Name: e.ToolName, Input: e.Input, StartedAt: at.time, StartedSeq: at.seq})
	case enact.ToolCallCompleted:
		s.completeCall(e, at)
	case enact.ArtifactStored:
		st := s.touch(e.StepID)
		st.Artifacts = append(st.Artifacts, len(s.Artifacts))
		s.Artifacts = append(s.Artifacts, Artifact{
			ID: e.ArtifactID, StepID: e.StepID, ContentHash: e.ContentHash, SizeBytes: e.SizeBytes, At: at.time, Sequence: at.seq,
		})
	case enact.CheckpointSaved:
		if e.StepID != nil {
			st := s.touch(*e.StepID)
			st.Checkpoints = append(st.Checkpoints, len(s.Checkpoints))
		}
		s.Checkpoints = append(s.Checkpoints, Checkpoint{
			ID: e.CheckpointID, StepID: e.StepID, StateHash: e.StateHash, At: at.time, Sequence: at.seq,
		})
	case enact.GoalEvaluated:
		s.evaluate(e, at)
	case enact.Custom:
		s.CustomEvents = count(s.CustomEvents, e.EventType)
	case enact.Unreadable:
		s.Unreadable++
	default:
		s.UnknownEvents = count(s.UnknownEvents, event.Type())
	}
}

// run makes the execution run, also again after an end: the log has the last word.
func (s *State) run() {
	s.Status = StatusRunning
	s.EndedAt = time.Time{}
	s.Output, s.DurationMS, s.Error, s.Reason = nil, nil, nil, ""
}

func (s *State) end(status Status, at moment) {
	s.run()
	s.Status, s.EndedAt = status, at.time
}

// touch returns a step, and makes a placeholder of one that was not mentioned before.
func (s *State) touch(id enact.StepID) *Step {
	if st := s.Step(id); st != nil {
		return st
	}
	st := &Step{ID: id, Attempt: Attempt{Status: StepUnknown}}
	s.indexed().steps[id] = len(s.Steps)
	s.Steps = append(s.Steps, st)
	return st
}

func (s *State) discover(e enact.StepDiscovered, at moment) {
	if e.DiscoveredBy != nil {
		s.touch(*e.DiscoveredBy)
	}
	st := s.touch(e.StepID)
	st.Discoveries = append(st.Discoveries, Discovery{
		By: e.DiscoveredBy, SourceType: e.SourceType, Reason: e.Reason, Depth: e.Depth, At: at.time, Sequence: at.seq,
	})
	if st.Status == StepUnknown {
		st.Status = StepDiscovered
	}
	if st.Status == StepDiscovered {
		st.ParentID = e.DiscoveredBy
	}
}

func (s *State) start(e enact.StepStarted, at moment) {
	if e.ParentStepID != nil {
		s.touch(*e.ParentStepID)
	}
	st := s.touch(e.StepID)
	if st.Status != StepUnknown && st.Status != StepDiscovered {
		st.EarlierAttempts = append(st.EarlierAttempts, st.Attempt)
	}
	st.ParentID, st.Type, st.Name = e.ParentStepID, e.StepType, e.Name
	st.Attempt = Attempt{Status: StepRunning, StartedAt: at.time, StartedSeq: at.seq}
}

// endAttempt ends a step's current attempt and returns it. A second end without
// a start between them is an attempt of its own, so that neither is lost.
func (s *State) endAttempt(id enact.StepID, status StepStatus, at moment) *Attempt {
	st := s.touch(id)
	if st.EndedSeq > 0 {
		st.EarlierAttempts = append(st.EarlierAttempts, st.Attempt)
		st.Attempt = Attempt{}
	}
	st.Status, st.EndedAt, st.EndedSeq = status, at.time, at.seq
	return &st.Attempt
}

// addCall adds a call and returns its index.
func (s *State) addCall(c *ToolCall) int {
	i := len(s.ToolCalls)
	if c.StepID != nil {
		st := s.touch(*c.StepID)
		st.ToolCalls = append(st.ToolCalls, i)
	}
	if open := s.indexed().open; c.Open() {
		open[c.ID] = append(open[c.ID], i)
	}
	s.ToolCalls = append(s.ToolCalls, c)
	return i
}

// completeCall closes the last open call with the id, of the same step where
// there is one: a model may use an id again, in a retry or in another step.
func (s *State) completeCall(e enact.ToolCallCompleted, at moment) {
	done := ToolCall{ID: e.ToolCallID, StepID: e.StepID, Output: e.Output, CompletedAt: at.time, CompletedSeq: at.seq}
	open := s.indexed().open
	k := s.matchCall(open[e.ToolCallID], e.StepID)
	if k < 0 {
		s.addCall(&done)
		return
	}
	i := open[e.ToolCallID][k]
	if open[e.ToolCallID] = slices.Delete(open[e.ToolCallID], k, k+1); len(open[e.ToolCallID]) == 0 {
		delete(open, e.ToolCallID)
	}
	c := s.ToolCalls[i]
	c.Output, c.CompletedAt, c.CompletedSeq = done.Output, done.CompletedAt, done.CompletedSeq
	if c.StepID == nil && e.StepID != nil {
		c.StepID = e.StepID
		st := s.touch(*e.StepID)
		st.ToolCalls = insert(st.ToolCalls, i)
	}
}

// matchCall returns which of the open calls a completion in the step closes, or -1.
func (s *State) matchCall(open []int, step *enact.StepID) int {
	match := -1
	for k, i := range slices.Backward(open) {
		call := s.ToolCalls[i].StepID
		if sameStep(call, step) {
			return k
		}
		if match < 0 && (call == nil || step == nil) {
			match = k
		}
	}
	return match
}

func sameStep(a, b *enact.StepID) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func (s *State) evaluate(e enact.GoalEvaluated, at moment) {
	goals := s.indexed().goals
	i, ok := goals[e.GoalID]
	if !ok {
		i = len(s.Goals)
		goals[e.GoalID] = i
		s.Goals = append(s.Goals, &Goal{ID: e.GoalID})
	}
	s.Goals[i].Evaluations = append(s.Goals[i].Evaluations, Evaluation{
		StepID: e.StepID, Status: e.Status, Score: e.Score, Reason: e.Reason, At: at.time, Sequence: at.seq,
	})
	if e.StepID != nil {
		st := s.touch(*e.StepID)
		st.Goals = insert(st.Goals, i)
	}
}

func count(m map[string]uint64, key string) map[string]uint64 {
	if m == nil {
		m = make(map[string]uint64)
	}
	m[key]++
	return m
}
