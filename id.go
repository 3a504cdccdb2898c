package enact

import (
	"fmt"
	"unicode/utf8"

	"github.com/segmentio/ksuid"
)

// MaxIDLength is the greatest length of an id, in bytes.
const MaxIDLength = 128

// ExecutionID names one execution. Any valid UTF-8 of 1 to [MaxIDLength] bytes
// is an id; [NewExecutionID] makes a fresh one.
type ExecutionID string

// TenantID names the tenant that an execution belongs to. Any valid UTF-8 of 1
// to [MaxIDLength] bytes is an id.
type TenantID string

// StepID names a step of an execution. Any valid UTF-8 of 1 to [MaxIDLength]
// bytes is an id; [NewStepID] makes a fresh one.
type StepID string

// NewExecutionID returns "exec_" and a fresh KSUID, 32 bytes in all. Ids made
// later sort later, to the second.
func NewExecutionID() ExecutionID { return ExecutionID("exec_" + ksuid.New().String()) }

// NewStepID returns "step_" and a fresh KSUID, 32 bytes in all.
func NewStepID() StepID { return StepID("step_" + ksuid.New().String()) }

// Validate returns an [*IDError] (ErrInvalidID) if the id is empty, longer than
// [MaxIDLength] bytes or not valid UTF-8.
func (id ExecutionID) Validate() error { return validateID("execution id", string(id)) }

// Validate returns an [*IDError] (ErrInvalidID) if the id is empty, longer than
// [MaxIDLength] bytes or not valid UTF-8.
func (id TenantID) Validate() error { return validateID("tenant id", string(id)) }

// Validate returns an [*IDError] (ErrInvalidID) if the id is empty, longer than
// [MaxIDLength] bytes or not valid UTF-8.
func (id StepID) Validate() error { return validateID("step id", string(id)) }

func validateID(kind, id string) error {
	switch {
	case id == "":
		return &IDError{Kind: kind, ID: id, Reason: "is empty"}
	case len(id) > MaxIDLength:
		return &IDError{Kind: kind, ID: id, Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(id), MaxIDLength)}
	case !utf8.ValidString(id):
		return &IDError{Kind: kind, ID: id, Reason: "is not valid UTF-8"}
	}
	return nil
}
