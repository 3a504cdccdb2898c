// Package scratch makes a log to try things in, beside the one that is looked after: it has
// streams and subjects of its own, the settings of a real log, and is removed at the end.
package scratch

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/ask"
	"github.com/enactlog/enact/jetstore"
)

// namePart is in the names of scratch streams, before an id.
const namePart = "_SCRATCH_"

// scratchName matches the names of scratch streams: an id of package nuid has 22 letters and
// digits.
var scratchName = regexp.MustCompile(namePart + `[0-9A-Za-z]{22}(_INDEX)?$`)

// removeTimeout bounds the removal, also after an interrupt.
const removeTimeout = 15 * time.Second

// Log is a scratch log.
type Log struct {
	*jetstore.Store
	nc     *nats.Conn
	layout jetstore.Layout
	names  [2]string
}

// IsScratch reports whether a stream is, or was left behind by, a scratch log.
// A log's own name may have the like of a scratch log's in it.
func IsScratch(stream string) bool { return scratchName.MatchString(stream) }

// Open makes a scratch log on the connection, beside a log and with its API, with so many
// replicas (0: as many as a new log would have). opts are further options of the store, none
// of them about where it is. It must be closed, also when ctx has ended. Errors are those of
// jetstore.EnsureStream and jetstore.Open; then nothing is left, or there is a [*LeftError].
func Open(ctx context.Context, nc *nats.Conn, beside jetstore.Layout, replicas int, opts ...jetstore.Option) (*Log, error) {
	id := nuid.Next()
	const longest = 150 // of the name beside, so that the whole is a valid one
	name := beside.Log.Name[:min(len(beside.Log.Name), longest)] + namePart + id
	opts = append(
		opts[:len(opts):len(opts)], jetstore.WithAPIPrefix(beside.APIPrefix), jetstore.WithStream(name),
		// A prefix that no other stream's subjects match.
		jetstore.WithPrefix("enact-scratch-"+id), jetstore.WithReplicas(replicas),
	)
	layout, err := jetstore.LayoutOf("", opts...)
	if err != nil {
		return nil, err
	}
	l := &Log{nc: nc, layout: layout, names: [2]string{layout.Log.Name, layout.Index.Name}}
	err = jetstore.EnsureStream(ctx, nc, opts...)
	refused := errors.Is(err, enact.ErrNotPermitted)
	if err == nil {
		l.Store, err = jetstore.Open(ctx, nc, opts...)
	}
	if err == nil {
		return l, nil
	}
	if removeErr := l.remove(ctx); !refused || !errors.Is(removeErr, enact.ErrNotPermitted) {
		// Where none was made, nothing stays that may not be removed.
		err = errors.Join(err, removeErr)
	}
	return nil, err
}

// LeftError says that a stream of a scratch log could not be removed. Where there was no
// answer, it may never have been made, or be gone.
type LeftError struct {
	Stream string
	Err    error
}

func (e *LeftError) Error() string {
	return fmt.Sprintf("remove stream %s, which may be left behind: %v", e.Stream, e.Err)
}

func (e *LeftError) Unwrap() error { return e.Err }

// Names returns the names of the log's streams.
func (l *Log) Names() []string { return l.names[:] }

// Close removes the log, also when ctx has ended. Of each stream that stays there is a
// [*LeftError].
func (l *Log) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	return errors.Join(l.Shutdown(ctx), l.remove(ctx))
}

// remove removes what there may be of the log.
func (l *Log) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	var errs []error
	for _, name := range l.names {
		if err := l.removeStream(ctx, name); err != nil {
			errs = append(errs, &LeftError{Stream: name, Err: err})
		}
	}
	return errors.Join(errs...)
}

// removeStream removes a stream, which need not exist, and asks again while there is no
// leader to do it.
func (l *Log) removeStream(ctx context.Context, name string) error {
	for {
		err := ask.JSON(ctx, l.nc, l.layout.APIPrefix+".STREAM.DELETE."+name, nil, nil)
		apiErr, ok := errors.AsType[*jetstream.APIError](err)
		switch {
		case err == nil, ok && apiErr.ErrorCode == jetstream.JSErrCodeStreamNotFound:
			return nil
		case errors.Is(err, enact.ErrNotPermitted), errors.Is(err, nats.ErrConnectionClosed), ok && apiErr.Code < 500:
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
