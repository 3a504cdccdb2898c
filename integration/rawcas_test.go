//go:build faults || long

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

const (
	// rawTimeout is how long a raw writer waits for an answer before it sends another
	// copy: so short that many lie before a paused server when it goes on.
	rawTimeout = 20 * time.Millisecond
	// rawAsk bounds its question for the last position after a refusal.
	rawAsk = 250 * time.Millisecond
)

// rawWriter publishes to one subject with an expected sequence, as a client does that
// takes what the server answers at its word. It remembers every answer to every copy.
type rawWriter struct {
	nc      *nats.Conn
	stream  string
	subject string
	inbox   string

	sent atomic.Int64 // copies

	mu      sync.Mutex
	answers map[string]rawAnswer // the first one to each copy, by the copy's name
	arrived chan rawAnswer
}

// rawAnswer is an acknowledgement or a refusal.
type rawAnswer struct {
	copy     string
	position uint64 // of the message, if it was acknowledged
	code     int    // of the refusal
}

func newRawWriter(t *testing.T, nc *nats.Conn, stream, subject string) *rawWriter {
	t.Helper()
	w := &rawWriter{
		nc: nc, stream: stream, subject: subject, inbox: nc.NewInbox(),
		answers: make(map[string]rawAnswer), arrived: make(chan rawAnswer, 1000),
	}
	_, err := nc.Subscribe(w.inbox+".*", w.take)
	require.NoError(t, err)
	return w
}

func (w *rawWriter) take(m *nats.Msg) {
	var ack struct {
		Sequence uint64 `json:"seq"`
		Error    struct {
			Code int `json:"err_code"`
		} `json:"error"`
	}
	if json.Unmarshal(m.Data, &ack) != nil {
		return // no responders
	}
	a := rawAnswer{copy: m.Subject[len(w.inbox)+1:], position: ack.Sequence, code: ack.Error.Code}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, again := w.answers[a.copy]; !again {
		w.answers[a.copy] = a
	}
	select {
	case w.arrived <- a:
	default: // more answers than copies: the writer is not waiting
	}
}

// run publishes until ctx ends. Each copy is sent once, under a name of its own.
func (w *rawWriter) run(ctx context.Context) {
	last := uint64(0)
	for n := 0; ctx.Err() == nil; n++ {
		name := strconv.Itoa(n)
		m := &nats.Msg{Subject: w.subject, Reply: w.inbox + "." + name, Data: []byte(name), Header: nats.Header{}}
		m.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(last, 10))
		if w.nc.PublishMsg(m) != nil {
			continue // not connected: nothing was sent
		}
		w.sent.Add(1)
		switch a, ok := w.await(ctx, name); {
		case ok && a.code == 0:
			last = a.position
		case ok:
			if position, ok := w.lastPosition(ctx); ok {
				last = position
			}
		}
	}
}

// await returns the answer to a copy, if it comes in time.
func (w *rawWriter) await(ctx context.Context, name string) (rawAnswer, bool) {
	timeout := time.NewTimer(rawTimeout)
	defer timeout.Stop()
	for {
		select {
		case a := <-w.arrived:
			if a.copy == name {
				return a, true
			}
		case <-timeout.C:
			return rawAnswer{}, false
		case <-ctx.Done():
			return rawAnswer{}, false
		}
	}
}

// refused counts the copies that were refused before anything else was said of them.
func (w *rawWriter) refused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.answers {
		if a.code != 0 {
			n++
		}
	}
	return n
}

func (w *rawWriter) lastPosition(ctx context.Context) (uint64, bool) {
	ctx, cancel := context.WithTimeout(ctx, rawAsk)
	defer cancel()
	reply, err := w.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+w.stream, fmt.Appendf(nil, `{"last_by_subj":%q}`, w.subject))
	if err != nil {
		return 0, false
	}
	var answer struct {
		Message struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
	}
	return answer.Message.Sequence, json.Unmarshal(reply.Data, &answer) == nil && answer.Message.Sequence > 0
}

// refusedAndStored reads the subject and counts the copies that are stored though the
// first answer to them was a refusal, by its code.
func (w *rawWriter) refusedAndStored(t *testing.T, nc *nats.Conn) map[int]int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	count := make(map[int]int)
	for next := uint64(1); ; {
		reply, err := nc.Request("$JS.API.STREAM.MSG.GET."+w.stream, fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q}`, next, w.subject), patience)
		require.NoError(t, err)
		var answer struct {
			Error struct {
				Code int `json:"err_code"`
			} `json:"error"`
			Message struct {
				Sequence uint64 `json:"seq"`
				Data     []byte `json:"data"`
			} `json:"message"`
		}
		require.NoError(t, json.Unmarshal(reply.Data, &answer))
		if answer.Error.Code == codeNotFound {
			return count
		}
		require.Zero(t, answer.Error.Code)
		if a := w.answers[string(answer.Message.Data)]; a.code != 0 {
			count[a.code]++
		}
		next = answer.Message.Sequence + 1
	}
}
