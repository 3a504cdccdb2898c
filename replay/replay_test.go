package replay_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/replay"
)

var start = time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)

// second is the time of the event with a sequence in a history of these tests.
func second(sequence uint64) time.Time {
	return start.Add(time.Duration(sequence) * time.Second)
}

// history numbers the events of one execution, one a second.
func history(events ...enact.Event) []enact.StoredEvent {
	stored := make([]enact.StoredEvent, len(events))
	for i, e := range events {
		sequence := uint64(i) + 1
		stored[i] = enact.StoredEvent{Sequence: sequence, ExecutionID: "e", TenantID: "t", Event: e, Timestamp: second(sequence)}
	}
	return stored
}

func of(t *testing.T, events ...enact.Event) *replay.State {
	t.Helper()
	s, err := replay.Of(history(events...))
	require.NoError(t, err)
	return s
}

func pointer[T any](v T) *T { return &v }

func failure(message string) enact.ExecutionError {
	e := enact.NewExecutionError(enact.CategoryToolError, message)
	e.OccurredAt = 0
	return e
}

// readRun reads a file of stored events and checks that they are written as this
// module writes them.
func readRun(t testing.TB, name string) []enact.StoredEvent {
	t.Helper()
	data, err := os.ReadFile("../testdata/runs/" + name)
	require.NoError(t, err)
	var events []enact.StoredEvent
	sc := bufio.NewScanner(bytes.NewReader(data))
	for sc.Scan() {
		var ev enact.StoredEvent
		require.NoError(t, json.Unmarshal(sc.Bytes(), &ev))
		require.NoError(t, ev.Event.Validate())
		line, err := ev.AppendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, sc.Text(), string(line))
		events = append(events, ev)
	}
	require.NoError(t, sc.Err())
	return events
}

// Where an execution stands after each event, and what its end leaves behind.
func TestStatus(t *testing.T) {
	started, resumed := enact.ExecutionStarted{}, enact.ExecutionResumed{}
	paused := enact.ExecutionPaused{Reason: "r"}
	completed := enact.ExecutionCompleted{Output: pointer("o"), DurationMS: 7}
	failed, cancelled := enact.ExecutionFailed{Error: failure("m")}, enact.ExecutionCancelled{Reason: "user"}
	step := enact.StepStarted{StepID: "s", StepType: enact.LLMNode}
	tests := []struct {
		name   string
		events []enact.Event
		want   replay.Status
	}{
		{"nothing", nil, replay.StatusUnknown},
		{"only a step", []enact.Event{step}, replay.StatusUnknown},
		{"started", []enact.Event{started}, replay.StatusRunning},
		{"paused", []enact.Event{started, paused}, replay.StatusPaused},
		{"a step while paused", []enact.Event{started, paused, step}, replay.StatusPaused},
		{"resumed", []enact.Event{started, paused, resumed}, replay.StatusRunning},
		{"resumed without a pause", []enact.Event{resumed}, replay.StatusRunning},
		{"completed", []enact.Event{started, completed}, replay.StatusCompleted},
		{"failed", []enact.Event{started, failed}, replay.StatusFailed},
		{"cancelled", []enact.Event{started, paused, cancelled}, replay.StatusCancelled},
		{"a step after the end", []enact.Event{started, cancelled, step}, replay.StatusCancelled},
		{"started again after the end", []enact.Event{started, failed, started}, replay.StatusRunning},
		{"an end after an end", []enact.Event{started, failed, completed}, replay.StatusCompleted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := of(t, tt.events...)
			require.Equal(t, tt.want, s.Status)
			require.Equal(t, uint64(len(tt.events)), s.LastSequence)
			require.Equal(t, uint64(len(tt.events)), s.Events)
			require.Equal(t, tt.want.Terminal(), !s.EndedAt.IsZero())
			require.Equal(t, tt.want == replay.StatusCompleted, s.Output != nil)
			require.Equal(t, tt.want == replay.StatusCompleted, s.DurationMS != nil)
			require.Equal(t, tt.want == replay.StatusFailed, s.Error != nil)
			require.Equal(t, tt.want == replay.StatusCancelled, s.Reason == "user")
			if len(tt.events) > 0 {
				require.Equal(t, enact.ExecutionID("e"), s.ExecutionID)
				require.Equal(t, enact.TenantID("t"), s.TenantID)
				require.Equal(t, second(s.LastSequence), s.UpdatedAt)
			}
		})
	}
}

func TestStartAndPauses(t *testing.T) {
	link := &enact.ParentLink{ParentID: "m", ParentType: enact.ParentUserMessage}
	s := of(
		t,
		enact.Custom{EventType: "early", Data: enact.JSON(1)},
		enact.ExecutionStarted{Parent: link, Metadata: enact.JSON("meta")},
		enact.ExecutionPaused{Reason: "a"}, enact.ExecutionPaused{Reason: "b"}, enact.ExecutionResumed{}, enact.ExecutionPaused{Reason: "c"},
		enact.ExecutionResumed{}, enact.ExecutionPaused{Reason: "d"},
	)
	require.Equal(t, second(2), s.StartedAt)
	require.Equal(t, link, s.Parent)
	require.Equal(t, json.RawMessage(`"meta"`), s.Metadata)
	require.Equal(t, []replay.Pause{
		{Reason: "a", At: second(3), Sequence: 3, ResumedAt: second(5)},
		{Reason: "b", At: second(4), Sequence: 4, ResumedAt: second(5)},
		{Reason: "c", At: second(6), Sequence: 6, ResumedAt: second(7)},
		{Reason: "d", At: second(8), Sequence: 8},
	}, s.Pauses)
}

// A step that fails and starts again keeps its earlier attempts.
func TestAttempts(t *testing.T) {
	start := enact.StepStarted{StepID: "s", StepType: enact.LLMNode, Name: "n"}
	s := of(
		t, start, enact.StepFailed{StepID: "s", Error: failure("one")},
		start, // and the process dies
		start, enact.StepCompleted{StepID: "s", Output: pointer("o"), DurationMS: 9},
	)
	st := s.Step("s")
	require.Equal(t, replay.Attempt{
		Status: replay.StepCompleted, StartedAt: second(4), StartedSeq: 4, EndedAt: second(5), EndedSeq: 5, Output: pointer("o"), DurationMS: pointer(uint64(9)),
	}, st.Attempt)
	require.Equal(t, []replay.Attempt{
		{Status: replay.StepFailed, StartedAt: second(1), StartedSeq: 1, EndedAt: second(2), EndedSeq: 2, Error: pointer(failure("one"))},
		{Status: replay.StepRunning, StartedAt: second(3), StartedSeq: 3},
	}, st.EarlierAttempts)
	require.Len(t, s.Steps, 1)
	require.Equal(t, []replay.Failure{{StepID: pointer(enact.StepID("s")), Error: failure("one"), At: second(2), Sequence: 2}}, s.Errors)
	require.Equal(t, enact.LLMNode, st.Type)
	require.Equal(t, "n", st.Name)
}

// Ends without a start are kept, each as an attempt.
func TestEndsWithoutStart(t *testing.T) {
	s := of(t, enact.StepFailed{StepID: "s", Error: failure("m")}, enact.StepCompleted{StepID: "s"})
	st := s.Step("s")
	require.Equal(t, replay.StepCompleted, st.Status)
	require.True(t, st.StartedAt.IsZero())
	require.Equal(t, uint64(2), st.EndedSeq)
	require.Len(t, st.EarlierAttempts, 1)
	require.Equal(t, replay.StepFailed, st.EarlierAttempts[0].Status)
	require.Nil(t, st.Error, "the error belongs to the earlier attempt")
}

func TestDiscovery(t *testing.T) {
	s := of(
		t,
		enact.StepDiscovered{StepID: "b", DiscoveredBy: pointer(enact.StepID("a")), SourceType: enact.SourceDiscovered, Reason: "r", Depth: 2},
		enact.StepDiscovered{StepID: "c", DiscoveredBy: pointer(enact.StepID("b")), SourceType: enact.SourceDiscovered},
		enact.StepStarted{StepID: "c", StepType: enact.ToolNode},
		enact.StepDiscovered{StepID: "c", DiscoveredBy: pointer(enact.StepID("a")), SourceType: enact.SourceRetry},
	)
	b, c := s.Step("b"), s.Step("c")
	require.Equal(t, replay.StepDiscovered, b.Status)
	require.Equal(t, []replay.Discovery{{By: pointer(enact.StepID("a")), SourceType: enact.SourceDiscovered, Reason: "r", Depth: 2, At: second(1), Sequence: 1}}, b.Discoveries)
	require.Equal(t, enact.StepID("a"), *b.ParentID, "until it starts, a step hangs on the one that found it")
	require.Nil(t, c.ParentID, "its start says that it is a root")
	require.Equal(t, replay.StepRunning, c.Status)
	require.Len(t, c.Discoveries, 2)
	require.Equal(t, replay.StepUnknown, s.Step("a").Status)
	require.Equal(t, []string{"a 0", "b 1", "c 0"}, walk(s))
}

// Every event that names a step leaves it in the state, started or not.
func TestPlaceholders(t *testing.T) {
	id := pointer(enact.StepID("ghost"))
	for _, e := range []enact.Event{
		enact.StepStarted{StepID: "s", StepType: enact.LLMNode, ParentStepID: id},
		enact.StepCompleted{StepID: "ghost"},
		enact.StepFailed{StepID: "ghost", Error: failure("m")},
		enact.ArtifactStored{StepID: "ghost"},
		enact.StepDiscovered{StepID: "s", DiscoveredBy: id, SourceType: "x"},
		enact.StepDiscovered{StepID: "ghost", SourceType: "x"},
		enact.ToolCallStarted{StepID: id, Input: enact.JSON(nil)},
		enact.ToolCallCompleted{StepID: id, Output: enact.JSON(nil)},
		enact.CheckpointSaved{StepID: id},
		enact.GoalEvaluated{StepID: id},
	} {
		s := of(t, e)
		require.NotNil(t, s.Step("ghost"), e.Type())
		require.Equal(t, "", s.Step("ghost").Name)
		require.True(t, s.Step("ghost").StartedAt.IsZero())
	}
	require.Nil(t, of(t).Step("ghost"))
}

func TestToolCalls(t *testing.T) {
	a, b := pointer(enact.StepID("a")), pointer(enact.StepID("b"))
	input, output := enact.JSON(map[string]int{"n": 1}), enact.JSON(nil)
	begin := func(step *enact.StepID, id string) enact.Event {
		return enact.ToolCallStarted{StepID: step, ToolCallID: id, ToolName: "tool", Input: input}
	}
	done := func(step *enact.StepID, id string) enact.Event {
		return enact.ToolCallCompleted{StepID: step, ToolCallID: id, Output: output}
	}
	tests := []struct {
		name   string
		events []enact.Event
		calls  [][2]uint64 // sequences of start and completion
		ofA    []int
	}{
		{"open", []enact.Event{begin(a, "1")}, [][2]uint64{{1, 0}}, []int{0}},
		{"completed", []enact.Event{begin(a, "1"), done(a, "1")}, [][2]uint64{{1, 2}}, []int{0}},
		{"crossed", []enact.Event{begin(a, "1"), begin(a, "2"), done(a, "1"), done(a, "2")}, [][2]uint64{{1, 3}, {2, 4}}, []int{0, 1}},
		{"without a step", []enact.Event{begin(nil, "1"), done(nil, "1")}, [][2]uint64{{1, 2}}, nil},
		{"no start", []enact.Event{done(a, "1")}, [][2]uint64{{0, 1}}, []int{0}},
		{"completed twice", []enact.Event{begin(a, "1"), done(a, "1"), done(a, "1")}, [][2]uint64{{1, 2}, {0, 3}}, []int{0, 1}},
		{"an id used again", []enact.Event{begin(a, "1"), done(a, "1"), begin(a, "1"), done(a, "1")}, [][2]uint64{{1, 2}, {3, 4}}, []int{0, 1}},
		{"an id used again while open", []enact.Event{begin(a, "1"), begin(a, "1"), done(a, "1")}, [][2]uint64{{1, 0}, {2, 3}}, []int{0, 1}},
		{"an id in two steps", []enact.Event{begin(a, "1"), begin(b, "1"), done(a, "1")}, [][2]uint64{{1, 3}, {2, 0}}, []int{0}},
		{"another step's completion", []enact.Event{begin(a, "1"), done(b, "1")}, [][2]uint64{{1, 0}, {0, 2}}, []int{0}},
		{"only the start names the step", []enact.Event{begin(a, "1"), done(nil, "1")}, [][2]uint64{{1, 2}}, []int{0}},
		{"only the completion names the step", []enact.Event{begin(nil, "1"), begin(a, "2"), done(a, "1")}, [][2]uint64{{1, 3}, {2, 0}}, []int{0, 1}},
		{"the same step wins", []enact.Event{begin(a, "1"), begin(nil, "1"), done(a, "1")}, [][2]uint64{{1, 3}, {2, 0}}, []int{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := of(t, tt.events...)
			var calls [][2]uint64
			open := 0
			for _, c := range s.ToolCalls {
				calls = append(calls, [2]uint64{c.StartedSeq, c.CompletedSeq})
				require.Equal(t, c.StartedSeq > 0, c.Input != nil)
				require.Equal(t, c.CompletedSeq > 0, c.Output != nil)
				require.Equal(t, c.CompletedSeq == 0, c.Open())
				if c.Open() {
					require.Same(t, c, s.OpenToolCalls()[open])
					open++
				}
			}
			require.Equal(t, tt.calls, calls)
			require.Len(t, s.OpenToolCalls(), open)
			if st := s.Step("a"); st != nil {
				require.Equal(t, tt.ofA, st.ToolCalls)
			} else {
				require.Nil(t, tt.ofA)
			}
		})
	}
}

// A kept state finds the calls and goals that it already has.
func TestKeptStateGoesOn(t *testing.T) {
	events := history(
		enact.ToolCallStarted{ToolCallID: "1", Input: enact.JSON(1)}, enact.ToolCallStarted{ToolCallID: "1", Input: enact.JSON(2)}, enact.GoalEvaluated{GoalID: "g"},
		enact.ToolCallCompleted{ToolCallID: "1", Output: enact.JSON(3)}, enact.GoalEvaluated{GoalID: "g", Status: enact.GoalMet},
	)
	s, err := replay.Of(events[:3])
	require.NoError(t, err)
	read := replay.New()
	require.NoError(t, json.Unmarshal([]byte(toJSON(t, s)), read))
	for _, kept := range []*replay.State{s.Clone(), read} {
		for _, ev := range events[3:] {
			require.NoError(t, kept.Apply(ev))
		}
		require.Len(t, kept.ToolCalls, 2)
		require.True(t, kept.ToolCalls[0].Open())
		require.Equal(t, uint64(4), kept.ToolCalls[1].CompletedSeq)
		require.Len(t, kept.Goals, 1)
		require.Equal(t, enact.GoalMet, kept.Goal("g").Latest().Status)
	}
}

func TestTimesAreUTC(t *testing.T) {
	now := time.Now().In(time.FixedZone("", 7200))
	s := replay.New()
	require.NoError(t, s.Apply(enact.StoredEvent{Sequence: 1, ExecutionID: "e", TenantID: "t", Event: enact.ExecutionStarted{}, Timestamp: now}))
	require.Equal(t, now.UTC().Round(0), s.StartedAt)
	require.True(t, s.StartedAt.Equal(now))
}

func TestArtifactsCheckpointsGoals(t *testing.T) {
	a := pointer(enact.StepID("a"))
	s := of(
		t,
		enact.ArtifactStored{ArtifactID: "x", StepID: "a", ContentHash: "h1", SizeBytes: 1},
		enact.ArtifactStored{ArtifactID: "x", StepID: "a", ContentHash: "h2", SizeBytes: 2},
		enact.CheckpointSaved{CheckpointID: "c1", StateHash: "h"},
		enact.CheckpointSaved{StepID: a, CheckpointID: "c2", StateHash: "h"},
		enact.GoalEvaluated{GoalID: "g", Status: enact.GoalProgressing, Score: pointer(0.5)},
		enact.GoalEvaluated{GoalID: "h", Status: enact.GoalNotMet},
		enact.GoalEvaluated{StepID: a, GoalID: "g", Status: enact.GoalMet, Reason: pointer("r")},
		enact.GoalEvaluated{StepID: a, GoalID: "g", Status: enact.GoalMet},
	)
	require.Equal(t, []replay.Artifact{
		{ID: "x", StepID: "a", ContentHash: "h1", SizeBytes: 1, At: second(1), Sequence: 1},
		{ID: "x", StepID: "a", ContentHash: "h2", SizeBytes: 2, At: second(2), Sequence: 2},
	}, s.Artifacts)
	require.Equal(t, []replay.Checkpoint{
		{ID: "c1", StateHash: "h", At: second(3), Sequence: 3}, {ID: "c2", StepID: a, StateHash: "h", At: second(4), Sequence: 4},
	}, s.Checkpoints)
	st := s.Step("a")
	require.Equal(t, []int{0, 1}, st.Artifacts)
	require.Equal(t, []int{1}, st.Checkpoints)
	require.Equal(t, []int{0}, st.Goals)
	require.Equal(t, replay.Evaluation{StepID: a, Status: enact.GoalMet, At: second(8), Sequence: 8}, s.Goal("g").Latest())
	require.Len(t, s.Goal("g").Evaluations, 3)
	require.Equal(t, pointer(0.5), s.Goal("g").Evaluations[0].Score)
	require.Equal(t, enact.GoalNotMet, s.Goal("h").Latest().Status)
	require.Nil(t, s.Goal("i"))
}

// What this release does not know or cannot read is counted, not refused.
func TestForeignEvents(t *testing.T) {
	unknown := enact.Unknown{Tag: "later", Raw: json.RawMessage(`{"type":"later"}`)}
	s := of(
		t, unknown, enact.Unreadable{Codec: "c", KeyID: "k"}, unknown,
		enact.Custom{EventType: "usage", Data: enact.JSON(1)}, enact.Custom{EventType: "usage", Data: enact.JSON(2)}, enact.Custom{Data: enact.JSON(3)},
	)
	require.Equal(t, map[string]uint64{"later": 2}, s.UnknownEvents)
	require.Equal(t, uint64(1), s.Unreadable)
	require.Equal(t, map[string]uint64{"usage": 2, "": 1}, s.CustomEvents)
	require.Equal(t, uint64(6), s.Events)
	require.Equal(t, replay.StatusUnknown, s.Status)
}

// What contradicts the numbering is refused, and changes nothing.
func TestApplyRefuses(t *testing.T) {
	s := of(t, enact.ExecutionStarted{}, enact.StepStarted{StepID: "s", StepType: enact.LLMNode})
	before := toJSON(t, s)
	next := enact.StoredEvent{Sequence: 3, ExecutionID: "e", TenantID: "t", Event: enact.ExecutionResumed{}, Timestamp: second(3)}
	tests := []struct {
		name   string
		change func(*enact.StoredEvent)
		want   error
	}{
		{"a gap", func(ev *enact.StoredEvent) { ev.Sequence = 4 }, &replay.SequenceError{TenantID: "t", ExecutionID: "e", Expected: 3, Actual: 4}},
		{"a repeat", func(ev *enact.StoredEvent) { ev.Sequence = 2 }, &replay.SequenceError{TenantID: "t", ExecutionID: "e", Expected: 3, Actual: 2}},
		{"zero", func(ev *enact.StoredEvent) { ev.Sequence = 0 }, &replay.SequenceError{TenantID: "t", ExecutionID: "e", Expected: 3, Actual: 0}},
		{"another execution", func(ev *enact.StoredEvent) { ev.ExecutionID = "f" }, &replay.MismatchError{TenantID: "t", ExecutionID: "e", EventTenantID: "t", EventExecutionID: "f"}},
		{"another tenant", func(ev *enact.StoredEvent) { ev.TenantID = "u" }, &replay.MismatchError{TenantID: "t", ExecutionID: "e", EventTenantID: "u", EventExecutionID: "e"}},
		{"no event", func(ev *enact.StoredEvent) { ev.Event = nil }, &enact.EventError{Reason: "is nil"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev := next
			tt.change(&ev)
			require.Equal(t, tt.want, s.Apply(ev))
			require.Equal(t, before, toJSON(t, s))
		})
	}
	require.NoError(t, s.Apply(next))
	require.Equal(t, &replay.SequenceError{TenantID: "t", ExecutionID: "e", Expected: 1, Actual: 3}, replay.New().Apply(next))

	require.EqualError(t, &replay.SequenceError{TenantID: "t", ExecutionID: "e", Expected: 3, Actual: 4}, `replay: execution "e" of tenant "t": event 4 where event 3 is due`)
	require.EqualError(t, &replay.MismatchError{TenantID: "t", ExecutionID: "e", EventTenantID: "u", EventExecutionID: "f"},
		`replay: event of execution "f" of tenant "u" in the history of execution "e" of tenant "t"`)
}

func toJSON(t require.TestingT, s *replay.State) string {
	text, err := json.Marshal(s)
	require.NoError(t, err)
	return string(text)
}

func TestFold(t *testing.T) {
	broken := errors.New("broken")
	read := func(err error) iter.Seq2[enact.StoredEvent, error] {
		return func(yield func(enact.StoredEvent, error) bool) {
			for _, ev := range history(enact.ExecutionStarted{}, enact.ExecutionPaused{}, enact.ExecutionResumed{}) {
				if !yield(ev, nil) {
					return
				}
			}
			if err != nil {
				yield(enact.StoredEvent{}, err)
			}
		}
	}
	types := func(s []string, ev enact.StoredEvent) ([]string, error) {
		if len(s) == 2 {
			return []string{"lost"}, broken
		}
		return append(s, ev.Event.Type()), nil
	}
	got, err := replay.Fold(read(nil), nil, types)
	require.ErrorIs(t, err, broken)
	require.Equal(t, []string{"execution_started", "execution_paused"}, got, "the state before the error")

	n, err := replay.Fold(read(broken), 10, func(n int, _ enact.StoredEvent) (int, error) { return n + 1, nil })
	require.ErrorIs(t, err, broken)
	require.Equal(t, 13, n)

	s, err := replay.Collect(read(nil))
	require.NoError(t, err)
	require.Equal(t, uint64(3), s.LastSequence)
	s, err = replay.Collect(read(broken))
	require.ErrorIs(t, err, broken)
	require.Equal(t, uint64(3), s.LastSequence)

	s, err = replay.Of(history(enact.ExecutionStarted{}, enact.ExecutionResumed{})[1:])
	require.ErrorAs(t, err, new(*replay.SequenceError))
	require.Equal(t, toJSON(t, replay.New()), toJSON(t, s))
}
