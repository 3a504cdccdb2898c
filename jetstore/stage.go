package jetstore

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// Headers of atomic batch publish (ADR-50).
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// stagedBytes is what these add to a message, at most.
const stagedBytes = len(headerBatchID+headerBatchSequence+headerBatchCommit) + len("22 bytes of batch id..1000"+"1") + 3*len(": \r\n")

const (
	// maxOpenBatches bounds a store's open transactions: the server takes 50 a
	// stream, over all clients.
	maxOpenBatches = 16
	// stageWindow is how many bytes are sent before the server is asked whether it
	// has staged them: its ingest queue holds 128 MiB over all clients.
	stageWindow = 8 << 20
)

// stage sends messages to a stream as one transaction: all are staged, and the last
// commits them or none. Each sending has a batch id of its own; using one
// again costs a spurious 10176. A transaction that is given up before its commit is
// dropped by the server when its time-out ends, 10 s after its last message.
func (s *Store) stage(ctx context.Context, stream string, messages []*nats.Msg) (position uint64, err error) {
	select {
	case s.batches <- struct{}{}:
		defer func() { <-s.batches }()
	case <-ctx.Done():
		return 0, notSent(ctx.Err())
	}
	id := nuid.Next()
	last := len(messages) - 1
	unasked := 0
	for i, m := range messages[:last] {
		msg := stagedMessage(m, id, i+1)
		if unasked += len(msg.Data); i > 0 && unasked < stageWindow {
			if err := s.asks.nc.PublishMsg(msg); err != nil {
				return 0, notSent(err)
			}
			continue
		}
		// The first message is asked about so that a refusal (10210, 10174) shows
		// before the bulk is sent, the others to bound what is under way.
		if err := s.stageAsked(ctx, stream, msg); err != nil {
			return 0, notSent(err)
		}
		unasked = 0
	}
	msg := stagedMessage(messages[last], id, last+1)
	msg.Header[headerBatchCommit] = []string{"1"}
	return s.asks.publish(ctx, stream, msg)
}

// stageAsked stages one message and waits for the server's word: nothing at all for
// a message that is staged, an error otherwise.
func (s *Store) stageAsked(ctx context.Context, stream string, msg *nats.Msg) error {
	reply, err := s.asks.roundTrip(ctx, msg, s.asks.patience)
	if err != nil || len(reply.Data) == 0 {
		return err
	}
	_, err = parseAck(reply.Data, stream)
	return err
}

func stagedMessage(m *nats.Msg, id string, sequence int) *nats.Msg {
	h := make(nats.Header, len(m.Header)+3)
	for k, v := range m.Header {
		h[k] = v
	}
	h[headerBatchID] = []string{id}
	h[headerBatchSequence] = []string{strconv.Itoa(sequence)}
	return &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data}
}
