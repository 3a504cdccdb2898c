// Package logtest makes messages of the log without a store, for tests and benchmarks
// that need logs which no store would write, or many executions at once.
package logtest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

// Creation is the creation of an execution by one append.
type Creation struct {
	Subjects  enact.Subjects
	Tenant    enact.TenantID
	Execution enact.ExecutionID
	Commit    uuid.UUID
	Time      time.Time     // of the events
	Events    []enact.Event // of the append, which is one record
}

// NewCommit returns a commit id, as stores make them, that was made at a time.
func NewCommit(at time.Time) uuid.UUID {
	id := uuid.New()
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 0x70 | id[6]&0x0f
	return id
}

// Entry returns the message of the index stream.
func (c Creation) Entry() *nats.Msg {
	// A map is written in the order of its keys, which is that of the format.
	data, err := json.Marshal(map[string]string{
		"execution_id": string(c.Execution), "tenant_id": string(c.Tenant), "timestamp": string(enact.AppendTime(nil, c.Time.UTC())),
	})
	if err != nil {
		panic(err) // strings can be written
	}
	return &nats.Msg{Subject: c.Subjects.Index(c.Tenant), Header: nats.Header{nats.MsgIdHdr: {c.Commit.String()}}, Data: data}
}

// Record returns the message of the log.
func (c Creation) Record() (*nats.Msg, error) {
	payload, header, err := codec.JSON{}.Encode(context.Background(), nil, codec.Place{}, c.Events)
	if err != nil {
		return nil, err
	}
	times := make([]time.Time, len(c.Events))
	for i := range times {
		times[i] = c.Time.UTC()
	}
	r := &record.Record{
		TenantID: c.Tenant, ExecutionID: c.Execution, Times: times, Codec: header,
		Commit: record.Commit{ID: c.Commit, Index: 1, Of: 1}, Payload: payload,
	}
	if _, err := r.After(record.Tail{}); err != nil {
		return nil, err
	}
	return r.Message(c.Subjects)
}
