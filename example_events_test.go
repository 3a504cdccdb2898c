package enact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/enactlog/enact"
)

// An event is read from its JSON, looked at by its type, and written as it was read.
func ExampleParseEvent() {
	text := []byte(`{"type":"step_completed","step_id":"step_1","output":"42","duration_ms":12}`)
	event, err := enact.ParseEvent(text)
	if err != nil {
		log.Fatal(err)
	}
	switch e := event.(type) {
	case enact.StepCompleted:
		fmt.Println(e.StepID, *e.Output, e.DurationMS)
	case enact.Unknown:
		fmt.Println("of a later release:", e.Tag)
	}
	again, err := enact.AppendEvent(nil, event)
	fmt.Println(string(again), err)
	// Output:
	// step_1 42 12
	// {"type":"step_completed","step_id":"step_1","output":"42","duration_ms":12} <nil>
}

// What is not there is null; what must be there and is not is an error that says so.
func ExampleAppendEvent() {
	text, err := enact.AppendEvent(nil, enact.StepCompleted{StepID: "step_1", DurationMS: 12})
	fmt.Println(string(text), err)
	_, err = enact.ParseEvent([]byte(`{"type":"step_completed","step_id":"step_1"}`))
	fmt.Println(err)
	// Output:
	// {"type":"step_completed","step_id":"step_1","output":null,"duration_ms":12} <nil>
	// enact: invalid event step_completed: duration_ms: is missing
}

// Every store validates what it is given. A program may do so earlier.
func ExampleEvent() {
	for _, e := range []enact.Event{
		enact.ToolCallStarted{ToolCallID: "call_1", ToolName: "search", Input: enact.JSON(map[string]string{"q": "go"})},
		enact.ToolCallStarted{ToolCallID: "call_1", ToolName: "search"},
	} {
		fmt.Println(e.Validate())
	}
	// Output:
	// <nil>
	// enact: invalid event tool_call_started: input: is missing; JSON(nil) stands for null
}

// What becomes of an execution is said by its last event that says anything.
func ExampleStatusAfter() {
	for _, e := range []enact.Event{
		enact.ExecutionStarted{},
		enact.CheckpointSaved{CheckpointID: "c1", StateHash: "9f86d0"},
		enact.ExecutionPaused{Reason: "asks for approval"},
		enact.ExecutionCompleted{},
	} {
		status, ok := enact.StatusAfter(e)
		fmt.Println(e.Type(), ok, status, enact.Terminal(e))
	}
	// Output:
	// execution_started true running false
	// checkpoint_saved false unknown false
	// execution_paused true paused false
	// execution_completed true completed true
}

func ExampleEventTypes() {
	types := enact.EventTypes()
	fmt.Println(len(types), types[0])
	// Output: 16 execution_started
}

// A failure with a policy for those who try again.
func ExampleNewExecutionError() {
	failure := enact.NewExecutionError(enact.CategoryNetworkError, "connection reset")
	failure.HTTPStatus = new(uint16(503))
	failure.RetryPolicy = enact.RetryPolicy{
		Retryable: true, MaxRetries: 3, BackoffStrategy: enact.BackoffExponential,
		BaseDelay: enact.DurationOf(200 * time.Millisecond), MaxDelay: enact.DurationOf(time.Minute),
	}
	fmt.Println(failure.Category.Fatal(), failure.RetryPolicy.BaseDelay.Std())
	fmt.Println(enact.CategoryQuotaExceeded.Fatal())
	// Output:
	// false 200ms
	// true
}

// The JSON of a stored event is that of the log in other languages.
func ExampleStoredEvent() {
	ev := enact.StoredEvent{
		Sequence: 1, ExecutionID: "exec_1", TenantID: "acme", Timestamp: time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC),
		Event: enact.ExecutionResumed{},
	}
	line, err := ev.AppendJSON(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))

	var read enact.StoredEvent
	if err := json.Unmarshal(line, &read); err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.Sequence, read.Event.Type())
	// Output:
	// {"sequence":1,"execution_id":"exec_1","tenant_id":"acme","event":{"type":"execution_resumed"},"timestamp":"2026-02-23T12:00:00Z"}
	// 1 execution_resumed
}

// Times have the fewest digits that lose nothing. Any offset is read.
func ExampleParseTime() {
	t, err := enact.ParseTime("2026-02-23T13:00:00.250+01:00")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(enact.AppendTime(nil, t)))
	// Output: 2026-02-23T12:00:00.250Z
}

// Ids are any text of 1 to 128 bytes. Those that are made here sort by time.
func ExampleNewExecutionID() {
	id := enact.NewExecutionID()
	fmt.Println(len(id), id.Validate(), len(enact.NewStepID()))
	err := enact.ExecutionID("").Validate()
	fmt.Println(err, errors.Is(err, enact.ErrInvalidID))
	fmt.Println(enact.TenantID("zürich/west").Validate(), enact.StepID("a\xff").Validate())
	// Output:
	// 32 <nil> 32
	// enact: execution id "" is empty true
	// <nil> enact: step id "a\xff" is not valid UTF-8
}

// Whoever reads the stream without this package knows the subjects by this rule.
func ExampleNewSubjects() {
	subjects, err := enact.NewSubjects("prod.enact")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(subjects.Execution("acme", "run 7"))
	fmt.Println(subjects.Tenant("acme"), subjects.AnyTenant("run 7"), subjects.All())
	fmt.Println(subjects.Index("acme"), subjects.AllIndex())

	tenant, execution, err := subjects.ParseExecution("prod.enact.acme.run%207")
	fmt.Printf("%s, %s, %v\n", tenant, execution, err)
	tenant, err = subjects.ParseIndex("prod.enact-index.acme")
	fmt.Println(tenant, err)
	_, err = enact.NewSubjects("prod.*")
	fmt.Println(err)
	// Output:
	// prod.enact.acme.run%207
	// prod.enact.acme.* prod.enact.*.run%207 prod.enact.*.*
	// prod.enact-index.acme prod.enact-index.*
	// acme, run 7, <nil>
	// acme <nil>
	// enact: prefix: "prod.*" is not a list of tokens of letters, digits, '_' and '-'
}

// Every text has one token, and no other one is read as it.
func ExampleEncodeToken() {
	token := enact.EncodeToken("a.b *>")
	text, err := enact.DecodeToken(token)
	fmt.Printf("%s %q %v\n", token, text, err)
	_, err = enact.DecodeToken("%61")
	fmt.Println(err)
	// Output:
	// a%2Eb%20%2A%3E "a.b *>" <nil>
	// enact: invalid id: token "%61" is not percent-encoded
}
