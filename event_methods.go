package enact

// The methods that make each variant an Event. They differ in nothing but the type.

// Type returns [TypeExecutionStarted].
func (ExecutionStarted) Type() string { return TypeExecutionStarted }

// Type returns [TypeStepStarted].
func (StepStarted) Type() string { return TypeStepStarted }

// Type returns [TypeStepCompleted].
func (StepCompleted) Type() string { return TypeStepCompleted }

// Type returns [TypeStepFailed].
func (StepFailed) Type() string { return TypeStepFailed }

// Type returns [TypeExecutionPaused].
func (ExecutionPaused) Type() string { return TypeExecutionPaused }

// Type returns [TypeExecutionResumed].
func (ExecutionResumed) Type() string { return TypeExecutionResumed }

// Type returns [TypeExecutionCompleted].
func (ExecutionCompleted) Type() string { return TypeExecutionCompleted }

// Type returns [TypeExecutionFailed].
func (ExecutionFailed) Type() string { return TypeExecutionFailed }

// Type returns [TypeExecutionCancelled].
func (ExecutionCancelled) Type() string { return TypeExecutionCancelled }

// Type returns [TypeArtifactStored].
func (ArtifactStored) Type() string { return TypeArtifactStored }

// Type returns [TypeStepDiscovered].
func (StepDiscovered) Type() string { return TypeStepDiscovered }

// Type returns [TypeToolCallStarted].
func (ToolCallStarted) Type() string { return TypeToolCallStarted }

// Type returns [TypeToolCallCompleted].
func (ToolCallCompleted) Type() string { return TypeToolCallCompleted }

// Type returns [TypeCheckpointSaved].
func (CheckpointSaved) Type() string { return TypeCheckpointSaved }

// Type returns [TypeGoalEvaluated].
func (GoalEvaluated) Type() string { return TypeGoalEvaluated }

// Type returns [TypeCustom].
func (Custom) Type() string { return TypeCustom }

// Validate implements [Event].
func (e ExecutionStarted) Validate() error { return validateFields(TypeExecutionStarted, &e) }

// Validate implements [Event].
func (e StepStarted) Validate() error { return validateFields(TypeStepStarted, &e) }

// Validate implements [Event].
func (e StepCompleted) Validate() error { return validateFields(TypeStepCompleted, &e) }

// Validate implements [Event].
func (e StepFailed) Validate() error { return validateFields(TypeStepFailed, &e) }

// Validate implements [Event].
func (e ExecutionPaused) Validate() error { return validateFields(TypeExecutionPaused, &e) }

// Validate implements [Event].
func (e ExecutionResumed) Validate() error { return validateFields(TypeExecutionResumed, &e) }

// Validate implements [Event].
func (e ExecutionCompleted) Validate() error { return validateFields(TypeExecutionCompleted, &e) }

// Validate implements [Event].
func (e ExecutionFailed) Validate() error { return validateFields(TypeExecutionFailed, &e) }

// Validate implements [Event].
func (e ExecutionCancelled) Validate() error { return validateFields(TypeExecutionCancelled, &e) }

// Validate implements [Event].
func (e ArtifactStored) Validate() error { return validateFields(TypeArtifactStored, &e) }

// Validate implements [Event].
func (e StepDiscovered) Validate() error { return validateFields(TypeStepDiscovered, &e) }

// Validate implements [Event].
func (e ToolCallStarted) Validate() error { return validateFields(TypeToolCallStarted, &e) }

// Validate implements [Event].
func (e ToolCallCompleted) Validate() error { return validateFields(TypeToolCallCompleted, &e) }

// Validate implements [Event].
func (e CheckpointSaved) Validate() error { return validateFields(TypeCheckpointSaved, &e) }

// Validate implements [Event].
func (e GoalEvaluated) Validate() error { return validateFields(TypeGoalEvaluated, &e) }

// Validate implements [Event].
func (e Custom) Validate() error { return validateFields(TypeCustom, &e) }

func (e ExecutionStarted) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeExecutionStarted, &e)
}

func (e StepStarted) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeStepStarted, &e)
}

func (e StepCompleted) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeStepCompleted, &e)
}

func (e StepFailed) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeStepFailed, &e)
}

func (e ExecutionPaused) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeExecutionPaused, &e)
}

func (e ExecutionResumed) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeExecutionResumed, &e)
}

func (e ExecutionCompleted) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeExecutionCompleted, &e)
}

func (e ExecutionFailed) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeExecutionFailed, &e)
}

func (e ExecutionCancelled) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeExecutionCancelled, &e)
}

func (e ArtifactStored) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeArtifactStored, &e)
}

func (e StepDiscovered) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeStepDiscovered, &e)
}

func (e ToolCallStarted) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeToolCallStarted, &e)
}

func (e ToolCallCompleted) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeToolCallCompleted, &e)
}

func (e CheckpointSaved) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeCheckpointSaved, &e)
}

func (e GoalEvaluated) appendJSON(dst []byte) ([]byte, error) {
	return appendFields(dst, TypeGoalEvaluated, &e)
}

func (e Custom) appendJSON(dst []byte) ([]byte, error) { return appendFields(dst, TypeCustom, &e) }

// MarshalJSON writes the tagged object.
func (e ExecutionStarted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e StepStarted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e StepCompleted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e StepFailed) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ExecutionPaused) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ExecutionResumed) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ExecutionCompleted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ExecutionFailed) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ExecutionCancelled) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ArtifactStored) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e StepDiscovered) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ToolCallStarted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e ToolCallCompleted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e CheckpointSaved) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e GoalEvaluated) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// MarshalJSON writes the tagged object.
func (e Custom) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ExecutionStarted) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *StepStarted) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *StepCompleted) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *StepFailed) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ExecutionPaused) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ExecutionResumed) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ExecutionCompleted) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ExecutionFailed) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ExecutionCancelled) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ArtifactStored) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *StepDiscovered) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ToolCallStarted) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *ToolCallCompleted) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *CheckpointSaved) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *GoalEvaluated) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }

// UnmarshalJSON reads the tagged object; another type is an [*EventError].
func (e *Custom) UnmarshalJSON(data []byte) error { return unmarshalAs(data, e) }
