package replay

import (
	"encoding/json"
	"time"

	"github.com/enactlog/enact"
)

// Status is where an execution stands.
type Status = enact.Status

// Statuses of an execution.
const (
	StatusUnknown   = enact.StatusUnknown // no event has said
	StatusRunning   = enact.StatusRunning
	StatusPaused    = enact.StatusPaused
	StatusCompleted = enact.StatusCompleted
	StatusFailed    = enact.StatusFailed
	StatusCancelled = enact.StatusCancelled
)

// StepStatus is where a step stands.
type StepStatus string

// Statuses of a step.
const (
	StepUnknown    StepStatus = "unknown"    // mentioned by other events only
	StepDiscovered StepStatus = "discovered" // found, not started
	StepRunning    StepStatus = "running"
	StepCompleted  StepStatus = "completed"
	StepFailed     StepStatus = "failed"
)

// State is the state of one execution. Make it with [New], [Of] or [Collect]. It
// can be written as JSON and read again, and goes on growing then.
//
// A State holds on to the memory of the events applied to it, which must not be
// changed; [State.Clone] makes a copy that shares nothing. A State is not safe for
// use by several goroutines at once, reading included.
type State struct {
	ExecutionID enact.ExecutionID `json:"execution_id"`
	TenantID    enact.TenantID    `json:"tenant_id"`
	Status      Status            `json:"status"`

	StartedAt    time.Time `json:"started_at,omitzero"` // time of the first ExecutionStarted
	EndedAt      time.Time `json:"ended_at,omitzero"`   // time of the terminal event; zero while there is none
	UpdatedAt    time.Time `json:"updated_at,omitzero"` // time of the last event
	LastSequence uint64    `json:"last_sequence"`       // 0: no events yet
	Events       uint64    `json:"events"`              // number of events applied

	Parent     *enact.ParentLink     `json:"parent,omitempty"`      // as in the last ExecutionStarted
	Metadata   json.RawMessage       `json:"metadata,omitempty"`    // as in the last ExecutionStarted
	Output     *string               `json:"output,omitempty"`      // of the ExecutionCompleted
	DurationMS *uint64               `json:"duration_ms,omitempty"` // as the ExecutionCompleted reports it
	Error      *enact.ExecutionError `json:"error,omitempty"`       // of the ExecutionFailed
	Reason     string                `json:"reason,omitempty"`      // of the ExecutionCancelled

	Pauses      []Pause      `json:"pauses,omitempty"`      // in order
	Steps       []*Step      `json:"steps,omitempty"`       // in order of first appearance
	ToolCalls   []*ToolCall  `json:"tool_calls,omitempty"`  // in order of first appearance
	Artifacts   []Artifact   `json:"artifacts,omitempty"`   // in order
	Checkpoints []Checkpoint `json:"checkpoints,omitempty"` // in order
	Goals       []*Goal      `json:"goals,omitempty"`       // in order of first evaluation
	Errors      []Failure    `json:"errors,omitempty"`      // of steps and of the execution, in order

	CustomEvents  map[string]uint64 `json:"custom_events,omitempty"`  // number of Custom events by event_type
	UnknownEvents map[string]uint64 `json:"unknown_events,omitempty"` // number of events by type not known here
	Unreadable    uint64            `json:"unreadable,omitzero"`      // number of events whose key is gone

	index *index // of the lists above; nil until it is needed
}

// New returns the state of an execution without events. The first event applied
// decides which execution it is.
func New() *State { return &State{Status: StatusUnknown} }

// Pause is one pause of the execution.
type Pause struct {
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
	Sequence  uint64    `json:"sequence"`
	ResumedAt time.Time `json:"resumed_at,omitzero"` // zero: not resumed
}

// Step is one step, with its current attempt.
type Step struct {
	ID enact.StepID `json:"step_id"`
	// ParentID is the step that this one runs in, as its last start says; before
	// any start, the step that discovered it. nil: none.
	ParentID *enact.StepID  `json:"parent_step_id,omitempty"`
	Type     enact.StepType `json:"step_type,omitempty"` // of the last start
	Name     string         `json:"name,omitempty"`      // of the last start
	Attempt                 // the current one

	EarlierAttempts []Attempt   `json:"earlier_attempts,omitempty"` // in order
	Discoveries     []Discovery `json:"discoveries,omitempty"`      // in order

	// Indexes into the lists of the same name of the State, ascending.
	ToolCalls   []int `json:"tool_calls,omitempty"`
	Artifacts   []int `json:"artifacts,omitempty"`
	Checkpoints []int `json:"checkpoints,omitempty"`
	Goals       []int `json:"goals,omitempty"` // goals evaluated in this step
}

// Attempt is one run of a step, from its start to its end.
type Attempt struct {
	Status     StepStatus            `json:"status"`
	StartedAt  time.Time             `json:"started_at,omitzero"`   // zero: no start is logged
	StartedSeq uint64                `json:"started_seq,omitzero"`  // sequence of the start
	EndedAt    time.Time             `json:"ended_at,omitzero"`     // zero: not ended
	EndedSeq   uint64                `json:"ended_seq,omitzero"`    // sequence of the end
	Output     *string               `json:"output,omitempty"`      // of a completed attempt
	DurationMS *uint64               `json:"duration_ms,omitempty"` // as a completed attempt reports it
	Error      *enact.ExecutionError `json:"error,omitempty"`       // of a failed attempt
}

// Discovery is one time that a step was discovered.
type Discovery struct {
	By         *enact.StepID        `json:"discovered_by,omitempty"`
	SourceType enact.StepSourceType `json:"source_type"`
	Reason     string               `json:"reason"`
	Depth      uint32               `json:"depth"`
	At         time.Time            `json:"at"`
	Sequence   uint64               `json:"sequence"`
}

// ToolCall is one call of a tool.
type ToolCall struct {
	ID           string          `json:"tool_call_id"`
	StepID       *enact.StepID   `json:"step_id,omitempty"`
	Name         string          `json:"tool_name,omitempty"`
	Input        json.RawMessage `json:"input,omitempty"`  // nil: no start is logged
	Output       json.RawMessage `json:"output,omitempty"` // nil: not completed
	StartedAt    time.Time       `json:"started_at,omitzero"`
	StartedSeq   uint64          `json:"started_seq,omitzero"` // 0: no start is logged
	CompletedAt  time.Time       `json:"completed_at,omitzero"`
	CompletedSeq uint64          `json:"completed_seq,omitzero"` // 0: not completed
}

// Open reports whether the call has not completed.
func (c *ToolCall) Open() bool { return c.CompletedSeq == 0 }

// Artifact is one artifact that a step stored.
type Artifact struct {
	ID          string       `json:"artifact_id"`
	StepID      enact.StepID `json:"step_id"`
	ContentHash string       `json:"content_hash"`
	SizeBytes   uint64       `json:"size_bytes"`
	At          time.Time    `json:"at"`
	Sequence    uint64       `json:"sequence"`
}

// Checkpoint is one saved checkpoint.
type Checkpoint struct {
	ID        string        `json:"checkpoint_id"`
	StepID    *enact.StepID `json:"step_id,omitempty"`
	StateHash string        `json:"state_hash"`
	At        time.Time     `json:"at"`
	Sequence  uint64        `json:"sequence"`
}

// Goal is one goal and how it was evaluated over time.
type Goal struct {
	ID          string       `json:"goal_id"`
	Evaluations []Evaluation `json:"evaluations"` // in order, at least one
}

// Latest returns the goal's last evaluation.
func (g *Goal) Latest() Evaluation { return g.Evaluations[len(g.Evaluations)-1] }

// Evaluation is one evaluation of a goal.
type Evaluation struct {
	StepID   *enact.StepID `json:"step_id,omitempty"`
	Status   string        `json:"status"`
	Score    *float64      `json:"score,omitempty"`
	Reason   *string       `json:"reason,omitempty"`
	At       time.Time     `json:"at"`
	Sequence uint64        `json:"sequence"`
}

// Failure is one error in the history.
type Failure struct {
	StepID   *enact.StepID        `json:"step_id,omitempty"` // nil: the execution itself failed
	Error    enact.ExecutionError `json:"error"`
	At       time.Time            `json:"at"`
	Sequence uint64               `json:"sequence"`
}
