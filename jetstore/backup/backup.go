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
// Errors are those of request, [*RefusedError], an error of r, and that of ctx. The restore
// is then called off, and the server keeps nothing of it, unless it had the last chunk: it
// makes the stream as soon as the snapshot is whole, and the caller has to delete it.
func Restore(ctx context.Context, nc *nats.Conn, request Requester, stream string, snap Snapshot, r io.Reader, progress func(int)) (jetstream.StreamState, error) {
	var none jetstream.StreamState
	var begun struct {
		Subject string `json:"deliver_subject"`
	}
	if err := request(ctx, "STREAM.RESTORE."+stream, snap, &begun); err != nil {
		return none, err
	}
	if begun.Subject == "" {
		return none, &RefusedError{Stream: stream, Reason: "the server does not say where the snapshot is to be sent"}
	}
	buf := make([]byte, min(chunkSize, int(nc.MaxPayload())))
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if sendErr := send(ctx, nc, stream, begun.Subject, buf[:n]); sendErr != nil {
				callOff(nc, begun.Subject)
				return none, sendErr
			}
			if progress != nil {
				progress(n)
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			callOff(nc, begun.Subject)
			return none, err
		}
	}
	if err := ctx.Err(); err != nil {
		callOff(nc, begun.Subject)
		return none, err
	}
	// The empty message ends it; the answer comes when the stream is there.
	reply, err := nc.RequestWithContext(ctx, begun.Subject, nil)
	if err != nil {
		return none, err
	}
	var made struct {
		Error *jetstream.APIError   `json:"error"`
		State jetstream.StreamState `json:"state"`
	}
	if err := json.Unmarshal(reply.Data, &made); err != nil {
		return none, fmt.Errorf("backup: unexpected answer to the end of a restore: %w", err)
	}
	if made.Error != nil {
		return none, &RefusedError{Stream: stream, Reason: made.Error.Description}
	}
	return made.State, nil
}

// send sends one chunk and waits until the server has taken it.
func send(ctx context.Context, nc *nats.Conn, stream, subject string, chunk []byte) error {
	reply, err := nc.RequestWithContext(ctx, subject, chunk)
	if err != nil {
		return err
	}
	if len(reply.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil || answer.Error == nil {
		return fmt.Errorf("backup: unexpected answer to a chunk: %.200q", reply.Data)
	}
	return &RefusedError{Stream: stream, Reason: answer.Error.Description}
}

// callOff makes the server drop a restore at once: a chunk that says of no place for its
// answer is an error to it. Without one it would wait some seconds for more.
func callOff(nc *nats.Conn, subject string) {
	// Should the connection be gone, the server finds out by itself.
	_ = nc.Publish(subject, []byte("off"))
	_ = nc.FlushTimeout(flushTimeout)
}
