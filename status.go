package enact

// Status is where an execution stands.
type Status string

// Statuses of an execution.
const (
	StatusUnknown   Status = "unknown" // no event has said
	StatusRunning   Status = "running"
	StatusPaused    Status = "paused"
	StatusCompleted Status = "completed"
	StatusFailed    Status = "failed"
	StatusCancelled Status = "cancelled"
)

// Terminal reports whether the execution has ended.
func (s Status) Terminal() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// StatusAfter returns the status that an event gives its execution, whatever came
// before; ok is false for an event that leaves it as it was. The last event of a
// history that gives one decides; without one it is [StatusUnknown].
func StatusAfter(e Event) (status Status, ok bool) {
	switch e.(type) {
	case ExecutionStarted, ExecutionResumed:
		return StatusRunning, true
	case ExecutionPaused:
		return StatusPaused, true
	case ExecutionCompleted:
		return StatusCompleted, true
	case ExecutionFailed:
		return StatusFailed, true
	case ExecutionCancelled:
		return StatusCancelled, true
	}
	return StatusUnknown, false
}
