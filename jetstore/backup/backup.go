// Package backup takes snapshots of JetStream streams and restores them, over JetStream's
// own snapshot protocol (server/jetstream_api.go, ADR-2): what a stream holds, byte for
// byte, with its positions, its times and its settings.
//
// Snapshots are files as "nats stream backup" writes them, so that the nats CLI restores
// them as well. jsm.go, which has the same, is not used: its restore waits for the server
// for an hour, whatever the context says, its backup leaves a goroutine behind when a disk
// is full, and neither notices chunks that were lost with a connection.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	// chunkSize is what a snapshot and a restore send at a time, in bytes. The server's own
	// default, which fits any max_payload but a very small one.
	chunkSize = 128 << 10

	// window is how much of a snapshot the server sends ahead of the acknowledgements.
	window = 8 << 20
)

// ErrIncomplete is returned when a part of a snapshot did not arrive.
var ErrIncomplete = errors.New("backup: a part of the snapshot was lost")

// RefusedError is returned when the server ends a snapshot, or a restore, that had begun.
type RefusedError struct {
	Stream string
	Reason string // what the server said
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("backup: stream %s: %s", e.Stream, e.Reason)
}

// Requester sends one request of the JetStream API, as in "STREAM.INFO.ENACT", and decodes
// the answer into into. An answer that is an error is returned as [*jetstream.APIError].
type Requester func(ctx context.Context, verb string, body, into any) error

// Snapshot is a stream as it was when its snapshot was taken.
type Snapshot struct {
	Config json.RawMessage       `json:"config"` // as the server tells it
	State  jetstream.StreamState `json:"state"`
}

// Take writes a snapshot of a stream to w, in S2-compressed chunks that the server makes.
// begun is called with the stream's state before the first chunk, progress after each with
// the bytes written since; both may be nil. The server checks the sums of all messages
// first. Consumers are not part of it.
//
// The stream takes writes meanwhile; the snapshot is of one moment. It returns what request
// returns, [*RefusedError], [ErrIncomplete], an error of w, or that of ctx; w has then a
// part of the snapshot.
func Take(ctx context.Context, nc *nats.Conn, request Requester, stream string, w io.Writer, begun func(Snapshot), progress func(int)) (Snapshot, error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return Snapshot{}, err
	}
	defer func() { _ = sub.Unsubscribe() }() // ends the snapshot on the server, too
	// The server's window bounds what waits here.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return Snapshot{}, err
	}
	reconnects := nc.Stats().Reconnects
	var snap Snapshot
	err = request(ctx, "STREAM.SNAPSHOT."+stream, map[string]any{
		"deliver_subject": inbox, "no_consumers": true, "chunk_size": chunkSize, "window_size": window, "jsck": true,
	}, &snap)
	if err != nil {
		return snap, err
	}
	if begun != nil {
		begun(snap)
	}
	chunks := 0
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return snap, err
		}
		if len(msg.Data) == 0 {
			switch status := msg.Header.Get("Status"); status {
			case "", "204":
			default:
				return snap, &RefusedError{Stream: stream, Reason: strings.TrimSpace(status + " " + msg.Header.Get("Description"))}
			}
			if nc.Stats().Reconnects != reconnects {
				return snap, ErrIncomplete
			}
			return snap, nil
		}
		if chunks++; msg.Reply != "" {
			// The server numbers the chunks in the subject that they are acknowledged by; the
			// last, which is shorter, has none.
			number := msg.Reply[strings.LastIndexByte(msg.Reply, '.')+1:]
			if n, err := strconv.Atoi(number); err != nil || n != chunks {
				return snap, fmt.Errorf("%w: chunk %s came in place of %d", ErrIncomplete, number, chunks)
			}
		}
		if _, err := w.Write(msg.Data); err != nil {
			return snap, err
		}
		if msg.Reply != "" {
			if err := msg.Respond(nil); err != nil {
				return snap, err
			}
		}
		if progress != nil {
			progress(len(msg.Data))
		}
	}
}

// Restore makes a stream of a snapshot: r is what [Take] wrote, snap what it returned, whose
// configuration may have been changed in replicas and placement. The stream must not exist.
// It returns the state of the new stream.
//
// A restore that is broken off leaves a stream with the first part of the messages, which the
// server takes for a stream like any other. So it is marked in its metadata
// ([jetstore.MetadataRestore]) until all of it is there, and no store opens it.
//
// Errors are those of request, [*RefusedError], an error of r, and that of ctx. The restore
// is then taken back, within half a minute, whether ctx has ended or not. Where that fails, as
// without a connection, a [*LeftError] is joined to the error: the stream may be there, and
// is marked. The last request takes the mark away: if its answer alone was lost, the stream
// may be there, whole.
func Restore(ctx context.Context, nc *nats.Conn, request Requester, stream string, snap Snapshot, r io.Reader, progress func(int)) (state jetstream.StreamState, err error) {
	m := making{nc: nc, request: request, stream: stream, mark: nuid.Next()}
	marked, err := m.marked(snap)
	if err != nil {
		return state, err
	}
	var begun struct {
		Subject string `json:"deliver_subject"`
	}
	if err := request(ctx, "STREAM.RESTORE."+stream, marked, &begun); err != nil {
		return state, err
	}
	m.subject = begun.Subject
	defer func() {
		if err != nil {
			err = errors.Join(err, m.takeBack(ctx))
		}
	}()
	if m.subject == "" {
		return state, &RefusedError{Stream: stream, Reason: "the server does not say where the snapshot is to be sent"}
	}
	if err := m.send(ctx, r, progress); err != nil {
		return state, err
	}
	if state, err = m.end(ctx); err != nil {
		return state, err
	}
	return state, m.unmark(ctx, snap)
}
