package record

import (
	"encoding/json"
	"fmt"
	"time"

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
	if err := json.Unmarshal(data, &e); err != nil {
		return corrupt("%v", err)
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
	if err != nil {
		return corrupt("%v", err)
	}
	return Entry{
		TenantID: tenant, ExecutionID: e.ExecutionID, Commit: id, Position: position, Created: created, Rebuilt: len(h[HeaderRebuilt]) > 0,
	}, nil
}
