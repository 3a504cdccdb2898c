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

func (e ExecutionStarted) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeExecutionStarted, &e, strict)
}

func (e StepStarted) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeStepStarted, &e, strict)
}

func (e StepCompleted) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeStepCompleted, &e, strict)
}

func (e StepFailed) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeStepFailed, &e, strict)
}

func (e ExecutionPaused) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeExecutionPaused, &e, strict)
}

func (e ExecutionResumed) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeExecutionResumed, &e, strict)
}

func (e ExecutionCompleted) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeExecutionCompleted, &e, strict)
}

func (e ExecutionFailed) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeExecutionFailed, &e, strict)
}

func (e ExecutionCancelled) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeExecutionCancelled, &e, strict)
}

func (e ArtifactStored) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeArtifactStored, &e, strict)
}

func (e StepDiscovered) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeStepDiscovered, &e, strict)
}

func (e ToolCallStarted) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeToolCallStarted, &e, strict)
}

func (e ToolCallCompleted) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeToolCallCompleted, &e, strict)
}

func (e CheckpointSaved) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeCheckpointSaved, &e, strict)
}

func (e GoalEvaluated) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeGoalEvaluated, &e, strict)
}

func (e Custom) appendJSON(dst []byte, strict bool) ([]byte, error) {
	return appendFields(dst, TypeCustom, &e, strict)
}

// MarshalJSON writes the tagged object.
func (e ExecutionStarted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e StepStarted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e StepCompleted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e StepFailed) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ExecutionPaused) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ExecutionResumed) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ExecutionCompleted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ExecutionFailed) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ExecutionCancelled) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ArtifactStored) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e StepDiscovered) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ToolCallStarted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e ToolCallCompleted) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e CheckpointSaved) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e GoalEvaluated) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

// MarshalJSON writes the tagged object.
func (e Custom) MarshalJSON() ([]byte, error) { return e.appendJSON(nil, false) }

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
