package replay

import (
	"fmt"

	"github.com/enactlog/enact"
)

// SequenceError is returned for an event that is not the next one of the history.
type SequenceError struct {
	TenantID    enact.TenantID
	ExecutionID enact.ExecutionID
	Expected    uint64
	Actual      uint64
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("replay: execution %q of tenant %q: event %d where event %d is due", e.ExecutionID, e.TenantID, e.Actual, e.Expected)
}

// MismatchError is returned for an event of another execution.
type MismatchError struct {
	TenantID         enact.TenantID // of the state
	ExecutionID      enact.ExecutionID
	EventTenantID    enact.TenantID // of the event
	EventExecutionID enact.ExecutionID
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("replay: event of execution %q of tenant %q in the history of execution %q of tenant %q",
		e.EventExecutionID, e.EventTenantID, e.ExecutionID, e.TenantID)
}
