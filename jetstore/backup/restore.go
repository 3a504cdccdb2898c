package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact/jetstore"
)

const (
	takeBackTimeout = 30 * time.Second // bounds the way back from a restore that failed: an election takes up to 9 s
	takeBackPause   = 100 * time.Millisecond

	// The server that is connected to may hear late that another one of its cluster takes the
	// snapshot. That one waits for 5 s (server, processStreamRestore).
	knownWithin = 4 * time.Second
	knownPause  = 10 * time.Millisecond
)

// LeftError is joined to the error of a restore that could not be taken back. The stream
// may hold a part of the snapshot; it is marked ([jetstore.MetadataRestore]), so that no
// store opens it, and has to be deleted.
type LeftError struct {
	Stream string
	Err    error // what kept it from being deleted
}

func (e *LeftError) Error() string {
	return fmt.Sprintf("backup: stream %s may be left half restored, delete it: %v", e.Stream, e.Err)
}

func (e *LeftError) Unwrap() error { return e.Err }

// making is a stream that a restore makes.
type making struct {
	nc      *nats.Conn
	request Requester
	stream  string
	mark    string // tells the stream from one that others make
	subject string // takes the snapshot
}

// marked returns the snapshot with the mark in its metadata.
func (m *making) marked(snap Snapshot) (Snapshot, error) {
	config, metadata := make(map[string]json.RawMessage), make(map[string]string)
	if err := json.Unmarshal(snap.Config, &config); err != nil {
		return snap, fmt.Errorf("backup: configuration of stream %s: %w", m.stream, err)
	}
	if had := config["metadata"]; had != nil {
		if err := json.Unmarshal(had, &metadata); err != nil {
			return snap, fmt.Errorf("backup: metadata of stream %s: %w", m.stream, err)
		}
	}
	metadata[jetstore.MetadataRestore] = m.mark
	var err error
	if config["metadata"], err = json.Marshal(metadata); err != nil {
		return snap, err
	}
	snap.Config, err = json.Marshal(config)
	return snap, err
}

// send sends the snapshot, chunk by chunk.
func (m *making) send(ctx context.Context, r io.Reader, progress func(int)) error {
	buf := make([]byte, min(chunkSize, int(m.nc.MaxPayload())))
	for send := m.firstChunk; ; send = m.chunk {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := send(ctx, buf[:n]); err != nil {
				return err
			}
			if progress != nil {
				progress(n)
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// firstChunk sends the first chunk as soon as it is known where to.
func (m *making) firstChunk(ctx context.Context, chunk []byte) error {
	for began := time.Now(); ; {
		err := m.chunk(ctx, chunk)
		if !errors.Is(err, nats.ErrNoResponders) || time.Since(began) > knownWithin {
			return err
		}
		select {
		case <-time.After(knownPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// chunk sends one chunk and waits until the server has taken it.
func (m *making) chunk(ctx context.Context, chunk []byte) error {
	reply, err := m.nc.RequestWithContext(ctx, m.subject, chunk)
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
	return &RefusedError{Stream: m.stream, Reason: answer.Error.Description}
}

// end says that there are no more chunks, with an empty one. The answer comes when the
// server is done with what it has.
func (m *making) end(ctx context.Context) (state jetstream.StreamState, err error) {
	reply, err := m.nc.RequestWithContext(ctx, m.subject, nil)
	if err != nil {
		return state, err
	}
	var made struct {
		Error *jetstream.APIError   `json:"error"`
		State jetstream.StreamState `json:"state"`
	}
	if err := json.Unmarshal(reply.Data, &made); err != nil {
		return state, fmt.Errorf("backup: unexpected answer to the end of a restore: %w", err)
	}
	if made.Error != nil {
		return state, &RefusedError{Stream: m.stream, Reason: made.Error.Description}
	}
	return made.State, nil
}

// unmark gives the stream the configuration of the snapshot.
func (m *making) unmark(ctx context.Context, snap Snapshot) error {
	return m.request(ctx, "STREAM.UPDATE."+m.stream, snap.Config, new(struct{}))
}

// takeBack deletes what the server has made of the restore.
func (m *making) takeBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTimeout)
	defer cancel()
	if m.subject != "" {
		// Whatever the server makes of the part that it has, with the answer it is made. There
		// is none where the server has given up already.
		_, _ = m.end(ctx)
	}
	for {
		gone, err := m.remove(ctx)
		if gone {
			return nil
		}
		if m.nc.IsClosed() {
			return &LeftError{Stream: m.stream, Err: errors.Join(err, nats.ErrConnectionClosed)}
		}
		select {
		case <-time.After(takeBackPause):
		case <-ctx.Done():
			return &LeftError{Stream: m.stream, Err: errors.Join(err, ctx.Err())}
		}
	}
}

// remove deletes the stream if it is the restore's own, and returns whether it has nothing
// there any more.
func (m *making) remove(ctx context.Context) (gone bool, err error) {
	var info struct {
		Config struct {
			Metadata map[string]string `json:"metadata"`
		} `json:"config"`
	}
	switch err := m.request(ctx, "STREAM.INFO."+m.stream, nil, &info); {
	case isNotFound(err):
		// A cluster keeps the name of a restore that failed until the stream is deleted, whether
		// there is one or not (server, processStreamAssignmentResults).
		if m.nc.ConnectedClusterName() == "" {
			return true, nil
		}
	case err != nil:
		return false, err
	case info.Config.Metadata[jetstore.MetadataRestore] != m.mark:
		return true, nil
	}
	err = m.request(ctx, "STREAM.DELETE."+m.stream, nil, new(struct{}))
	if isNotFound(err) {
		err = nil
	}
	return err == nil, err
}

func isNotFound(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refused.ErrorCode == jetstream.JSErrCodeStreamNotFound
}
