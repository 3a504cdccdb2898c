package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	openFiles = 96
	// starvedWhile is mostly long enough for several questions to the server, all of which
	// it answers at once.
	starvedWhile = 300 * time.Millisecond
	// codeNotFound is the server's "no message found".
	codeNotFound = 10037
)

// A server without file descriptors says "not found" of what it cannot read, and takes
// a second first record. The store believes neither.
func TestNotFoundIsNoProof(t *testing.T) {
	server := natstest.Start(t, natstest.Options{NoSync: true, MaxOpenFiles: openFiles})
	ensure(t, server.URL())
	out := new(outgoing)
	warm := open(t, server.URL(), watched(out)) // knows the ends of the executions
	written := newLedger("w")
	first, second, raw := enact.NewExecutionID(), enact.NewExecutionID(), enact.NewExecutionID()
	for _, id := range []enact.ExecutionID{first, second, raw} {
		for range 3 {
			_, err := written.append(t.Context(), warm, id, 2)
			require.NoError(t, err)
		}
	}
	fillBlock(t, warm)
	server.Stop()
	server.Start()
	cold, nc := open(t, server.URL()), connect(t, server.URL())
	// A creation makes the server open what it writes to, in both streams.
	_, err := written.append(t.Context(), warm, enact.NewExecutionID(), 1)
	require.NoError(t, err)

	release := starve(t, server)
	for _, id := range []enact.ExecutionID{first, second, raw} {
		require.Equal(t, codeNotFound, lastMessage(t, nc, cold, id), "the server can read the last record of %s", id)
	}
	believesNothing(t, cold, written, first)
	ctx, cancel := out.context(t.Context(), "HPUB "+warm.Subjects().Execution(tenant, second)+" ", starvedWhile)
	defer cancel()
	e, err := written.append(ctx, warm, second, 1)
	require.NoError(t, err)
	require.Equal(t, unknown, e.outcome, "sent behind the end that is known, and refused by a server that cannot see it")
	e, err = written.append(within(t, patience), cold, enact.NewExecutionID(), 1, enact.ExpectSequence(0))
	require.NoError(t, err)
	require.Equal(t, stored, e.outcome, "what is new needs no reading")
	// With the same check as a creation, the server takes a message for an execution
	// that exists: believing "not found" would have been the end of it.
	require.Zero(t, publishFirst(t, nc, cold.Subjects().Execution(tenant, raw)))

	release()
	natstest.Eventually(t, patience, func() bool {
		return lastMessage(t, nc, cold, first) == 0
	}, func() string { return "the server still cannot read" })
	for _, e := range written.unsettled() {
		require.NoError(t, written.settle(within(t, patience), cold, e))
	}
	require.Equal(t, 1, written.settledAs(stored))
	executions := slices.DeleteFunc(written.executions(), func(id enact.ExecutionID) bool { return id == raw })
	for _, s := range []*jetstore.Store{cold, warm} {
		for _, id := range executions {
			_, err := written.append(t.Context(), s, id, 1)
			require.NoError(t, err)
		}
		require.NoError(t, written.verify(t.Context(), s, executions...))
		_, err = s.LoadEvents(t.Context(), raw)
		require.ErrorIs(t, err, enact.ErrCorrupt, "a second first record does not go unnoticed")
	}
}

// believesNothing checks that a store which knows nothing of an execution, and gets
// "not found" for an answer, neither says that there is none nor writes to it.
func believesNothing(t *testing.T, s *jetstore.Store, written *ledger, execution enact.ExecutionID) {
	t.Helper()
	for name, opts := range map[string][]enact.AppendOption{
		"without an expectation":              nil,
		"to an execution that does not exist": {enact.ExpectSequence(0)},
		"behind the last event":               {enact.ExpectSequence(6)},
		"to an execution that exists":         {enact.ExpectExists()},
	} {
		e, err := written.append(within(t, starvedWhile), s, execution, 1, opts...)
		require.NoError(t, err, name)
		require.Equal(t, unsent, e.outcome, name)
	}
	_, _, err := s.LatestSequence(within(t, starvedWhile), execution)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.ExecutionExists(within(t, starvedWhile), execution)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.LoadEvents(within(t, starvedWhile), execution)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.ListExecutions(within(t, starvedWhile), tenant, 10, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// publishFirst publishes a message that is to be the first of its subject and returns
// the code of the refusal, 0 if there was none.
func publishFirst(t *testing.T, nc *nats.Conn, subject string) int {
	t.Helper()
	m := nats.NewMsg(subject)
	m.Header.Set("Nats-Expected-Last-Subject-Sequence", "0")
	reply, err := nc.RequestMsg(m, patience)
	require.NoError(t, err)
	var ack struct {
		Error struct {
			Code int `json:"err_code"`
		} `json:"error"`
	}
	require.NoError(t, json.Unmarshal(reply.Data, &ack))
	return ack.Error.Code
}

// fillBlock writes more than a block of the server's (8 MiB, server/filestore.go), so
// that what was written before is in one that is closed.
func fillBlock(t *testing.T, s *jetstore.Store) {
	t.Helper()
	id := enact.NewExecutionID()
	for range 4 {
		_, err := s.Append(t.Context(), id, tenant, enact.ExecutionPaused{Reason: strings.Repeat("x", 4<<20)})
		require.NoError(t, err)
	}
}

// starve opens connections until the server has no file descriptor left. One that it has not
// accepted by then takes whichever becomes free.
func starve(t *testing.T, server *natstest.Server) (release func()) {
	t.Helper()
	var conns []net.Conn
	release = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	t.Cleanup(release)
	greeted := true
	natstest.Eventually(t, patience, func() bool {
		if greeted {
			require.Less(t, len(conns), 2*openFiles, "the server accepts more connections than it has files")
			c, err := net.Dial("tcp", strings.TrimPrefix(server.URL(), "nats://"))
			require.NoError(t, err)
			conns = append(conns, c)
		}
		// The server greets whom it accepts; who is not greeted waits in the kernel, or for
		// a server that is slow.
		c := conns[len(conns)-1]
		require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := c.Read(make([]byte, 1))
		greeted = err == nil
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", server.PID()))
		require.NoError(t, err)
		return !greeted && len(files) >= openFiles
	}, func() string { return "the server has files left" })
	return release
}

// lastMessage asks the leader for an execution's last message and returns the code of
// the error, 0 if there was none.
func lastMessage(t *testing.T, nc *nats.Conn, s *jetstore.Store, id enact.ExecutionID) (code int) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"last_by_subj": s.Subjects().Execution(tenant, id)})
	require.NoError(t, err)
	reply, err := nc.Request("$JS.API.STREAM.MSG.GET."+s.StreamName(), body, patience)
	require.NoError(t, err)
	var answer struct {
		Error struct {
			Code int `json:"err_code"`
		} `json:"error"`
	}
	require.NoError(t, json.Unmarshal(reply.Data, &answer))
	return answer.Error.Code
}
