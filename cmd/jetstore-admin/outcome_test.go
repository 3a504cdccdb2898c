package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/doctor"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/scratch"
	"github.com/enactlog/enact/jetstore"
)

// An append that was interrupted while it was under way may be stored: that is said, and
// not that it was interrupted alone. So is what a restore could not take back.
func TestInterruptTellsWhatStays(t *testing.T) {
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	a := &app{interrupt: interrupted, began: true}
	unknown := &enact.UnknownOutcomeError{TenantID: "acme", ExecutionID: "run", CommitID: "c", Events: 2, Cause: context.Canceled}
	for name, c := range map[string]struct {
		err  error
		tell []string
	}{
		"nothing": {err: fmt.Errorf("%w; last: %w", context.Canceled, nats.ErrTimeout)},
		"append":  {err: errors.Join(unknown, nil), tell: []string{`execution "run" of tenant "acme" is unknown`, "look at the execution"}},
		"import":  {err: &lineError{lineAt{"f", 3, 3}, unknown}, tell: []string{"is unknown"}},
		"restore": {
			err:  errors.Join(context.Canceled, errors.Join(&leftError{errors.New("A is left half restored")}, &leftError{errors.New("B is left half restored")})),
			tell: []string{"A is left", "B is left"},
		},
		"bench": {
			err:  fmt.Errorf("scratch log: %w", errors.Join(context.Canceled, &scratch.LeftError{Stream: "S", Err: nats.ErrTimeout})),
			tell: []string{"remove stream S, which may be left behind"},
		},
	} {
		code, text := a.outcome(new(cobra.Command), c.err)
		require.Equal(t, exitError, code, name)
		first, rest, _ := strings.Cut(text, "\n")
		require.Equal(t, "jetstore-admin: interrupted", first, name)
		for _, tell := range c.tell {
			require.Contains(t, rest, tell, name)
		}
		require.Equal(t, len(c.tell) == 0, rest == "", text)
	}
}

// An append that found no time to learn how it ended must not be sent again without a look.
func TestUnknownOutcomeIsNoMatterOfTime(t *testing.T) {
	a := &app{interrupt: t.Context(), began: true}
	_, text := a.outcome(new(cobra.Command), &enact.UnknownOutcomeError{TenantID: "acme", ExecutionID: "run", CommitID: "c", Cause: context.DeadlineExceeded})
	require.Contains(t, text, "look at the execution")
	require.NotContains(t, text, "more time")
}

// serverWithMaker starts a server with a user, maker, who may make streams and not remove
// them. The connection is of one who may do everything.
func serverWithMaker(t *testing.T) (url string, nc *nats.Conn) {
	t.Helper()
	maker := &server.User{Username: "maker", Password: "x", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.DELETE.>"}},
	}}
	boss := &server.User{Username: "boss", Password: "x"}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{maker, boss},
	})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(time.Minute))
	nc, err = dial(srv.ClientURL(), nats.UserInfo("boss", "x"))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return srv.ClientURL(), nc
}

// A bench or a doctor that is interrupted, and may not remove its scratch streams, names them.
func TestInterruptedWithoutTheRightToRemove(t *testing.T) {
	url, nc := serverWithMaker(t)
	for _, args := range [][]string{{"bench", "--events", "10000000"}, {"doctor"}} {
		ctx, interrupt := context.WithCancel(t.Context())
		exit := make(chan int, 1)
		var out, errs bytes.Buffer
		go func() {
			exit <- run(ctx, append(args, "--server", url, "--user", "maker", "--password", "x", "--timeout", "1m"), nil, &out, &errs)
		}()
		var left []string
		natstest.Eventually(t, time.Minute, func() bool {
			left = scratchStreams(t, nc)
			return len(left) == 2
		}, func() string { return "no scratch log" })
		interrupt()
		// A doctor that was through before says so in its report.
		require.NotZero(t, <-exit)
		for _, stream := range left {
			require.Contains(t, out.String()+errs.String(), stream+", which may be left behind")
			_, err := nc.Request("$JS.API.STREAM.DELETE."+stream, nil, time.Minute)
			require.NoError(t, err)
		}
	}
}

// That a doctor may not remove its scratch streams is a warning of its own, and says nothing
// of the log's appends.
func TestDoctorWithoutTheRightToRemove(t *testing.T) {
	url, nc := serverWithMaker(t)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	code, out, errs := admin(t, "", "doctor", "--server", url, "--user", "maker", "--password", "x", "-o", "json")
	require.Equal(t, exitWarn, code, out+errs)
	left := scratchStreams(t, nc)
	require.Len(t, left, 2)
	var report doctor.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	told := 0
	for _, f := range report.Findings {
		require.NotEqual(t, doctor.Fail, f.Status, f)
		if f.Check == "leftovers" && f.Status == doctor.Warn {
			told++
			require.Contains(t, f.Found, left[0])
			require.Contains(t, f.Found, left[1])
		}
	}
	require.Equal(t, 1, told)
}

// A check whose reader has seen enough, as after "| head", fails all the same.
func TestReaderGoneFromACheck(t *testing.T) {
	srv := listen(t, t.TempDir(), true)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	nc, err := dial(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := nc.JetStream(nats.MaxWait(patience))
	require.NoError(t, err)
	// More than is written at once.
	for _, id := range []string{"a", "b"} {
		code, _, errs := admin(t, "", "append", "--server", srv.ClientURL(), "--tenant", "acme", id,
			fmt.Sprintf(`{"type":"custom","event_type":"large","data":"%s"}`, strings.Repeat(id, 100_000)))
		require.Zero(t, code, errs)
	}
	for i := range 500 {
		_, err := js.Publish(fmt.Sprintf("enact.acme.%s-%d", strings.Repeat("foreign", 10), i), nil)
		require.NoError(t, err)
	}
	for _, args := range [][]string{{"fsck"}, {"fsck", "-o", "jsonl"}, {"execution", "diff", "a", "b", "-o", "json"}} {
		var errs bytes.Buffer
		code := run(t.Context(), append(args, "--server", srv.ClientURL()), nil, goneReader{}, &errs)
		require.Equal(t, exitError, code, args)
		require.Empty(t, errs.String(), args)
	}
	var errs bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"export", "--server", srv.ClientURL(), "a", "b"}, nil, goneReader{}, &errs), errs.String())
}

type goneReader struct{}

func (goneReader) Write([]byte) (int, error) { return 0, syscall.EPIPE }
