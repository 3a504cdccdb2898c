package record

import (
	"fmt"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// HeaderRebuilt marks entries of a rebuild: whoever wrote one has made sure that no
// other entry of its commit stands before it.
const HeaderRebuilt = "Enact-Rebuilt"

// Entry is a message of the index stream: the creation of an execution.
type Entry struct {
	TenantID    enact.TenantID
	ExecutionID enact.ExecutionID
	Commit      uuid.UUID // of the creating append
	Position    uint64    // in the index stream
	Created     time.Time // of the execution's first event
	Rebuilt     bool
}

// ParseEntry decodes a message of the index stream. It returns an
// [*enact.CorruptError] for anything that is none.
func ParseEntry(subjects enact.Subjects, subject string, position uint64, h nats.Header, data []byte) (Entry, error) {
	tenant, err := subjects.ParseIndex(subject)
	if err != nil {
		return Entry{}, &enact.CorruptError{Position: position, Reason: fmt.Sprintf("foreign subject %.300q in the index", subject)}
	}
	corrupt := func(format string, args ...any) (Entry, error) {
		return Entry{}, &enact.CorruptError{TenantID: tenant, Position: position, Reason: "index entry: " + fmt.Sprintf(format, args...)}
	}
	var e struct {
		ExecutionID enact.ExecutionID `json:"execution_id"`
		TenantID    enact.TenantID    `json:"tenant_id"`
		Timestamp   string            `json:"timestamp"`
	}
	// Unlike encoding/json it takes no key twice or in other letters, and does not put other
	// characters in the place of what is no text: that would be another id.
	if err := jsonv2.Unmarshal(data, &e); err != nil {
		return corrupt("%s", clip(err.Error()))
	}
	ids := h[nats.MsgIdHdr]
	if len(ids) != 1 {
		return corrupt("it has %d message ids", len(ids))
	}
	id, err := uuid.Parse(ids[0])
	if err != nil || id.String() != ids[0] {
		return corrupt("the message id %.100q is not a commit id", ids[0])
	}
	if e.TenantID != tenant {
		return corrupt("it names tenant %.150q", e.TenantID)
	}
	if err := e.ExecutionID.Validate(); err != nil {
		return corrupt("%v", err)
	}
	created, err := enact.ParseTime(e.Timestamp)
	if err != nil || string(enact.AppendTime(nil, created)) != e.Timestamp {
		return corrupt("the time %q is not in the log's form", clip(e.Timestamp))
	}
	rebuilt, there := h[HeaderRebuilt]
	if there && (len(rebuilt) != 1 || rebuilt[0] != "1") {
		return corrupt("%s is not 1", HeaderRebuilt)
	}
	return Entry{
		TenantID: tenant, ExecutionID: e.ExecutionID, Commit: id, Position: position, Created: created, Rebuilt: there,
	}, nil
}
