package jetstore

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/natstest"
)

func connectBare(t *testing.T) *nats.Conn {
	t.Helper()
	return natstest.Connect(t, natstest.Start(t, natstest.Options{NoSync: true}).URL())
}

// answerer answers each request on subject so many times.
func answerer(t *testing.T, nc *nats.Conn, subject string, times int) {
	t.Helper()
	_, err := nc.Subscribe(subject, func(m *nats.Msg) {
		for range times {
			_ = m.Respond(m.Data)
		}
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
}

// A second answer to an earlier request is not taken for the answer to a later one.
func TestInboxTakesTheAnswerToItsRequest(t *testing.T) {
	nc := connectBare(t)
	answerer(t, nc, "twice", 2)
	a := newAPI(nc, "", nil)
	defer a.close()
	for i := range 100 {
		reply, err := a.roundTrip(t.Context(), &nats.Msg{Subject: "twice", Data: []byte{byte(i)}}, enough)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(i)}, reply.Data)
	}
	require.Len(t, a.inboxes.idle, 1)
}

func TestInboxEnds(t *testing.T) {
	nc := connectBare(t)
	_, err := nc.SubscribeSync("silent")
	require.NoError(t, err)
	a := newAPI(nc, "", nil)
	defer a.close()
	ended, end := context.WithCancel(t.Context())
	end()
	leaving, leave := context.WithCancel(t.Context())
	defer leave()
	_, err = nc.Subscribe("leave", func(*nats.Msg) { leave() })
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		ctx      context.Context
		subject  string
		patience time.Duration
		want     error
	}{
		"nobody listens":     {t.Context(), "nobody", enough, nats.ErrNoResponders},
		"nobody answers":     {t.Context(), "silent", time.Millisecond, errNoAnswer},
		"the context ends":   {leaving, "leave", enough, context.Canceled},
		"the context is old": {ended, "silent", enough, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.roundTrip(tc.ctx, &nats.Msg{Subject: tc.subject}, tc.patience)
			require.ErrorIs(t, err, tc.want)
			require.Empty(t, a.inboxes.idle, "an answer may still come")
		})
	}
	lost := make(chan struct{})
	close(lost)
	in, err := a.inboxes.take()
	require.NoError(t, err)
	defer a.inboxes.drop(in)
	require.NoError(t, in.send(nc, &nats.Msg{Subject: "silent"}))
	_, err = in.next(t.Context(), lost, enough)
	require.ErrorIs(t, err, errLost)
}

// Idle inboxes are bounded, and none is left on the connection.
func TestInboxesLeaveNothing(t *testing.T) {
	nc := connectBare(t)
	before := nc.NumSubscriptions()
	a := newAPI(nc, "", nil)
	var taken []*inbox
	for range maxIdle + 10 {
		in, err := a.inboxes.take()
		require.NoError(t, err)
		taken = append(taken, in)
	}
	for _, in := range taken[1:] {
		a.inboxes.give(in)
	}
	require.Len(t, a.inboxes.idle, maxIdle)
	require.Equal(t, before+maxIdle+1, nc.NumSubscriptions())
	a.close()
	a.inboxes.give(taken[0])
	require.Equal(t, before, nc.NumSubscriptions())
}

// The acknowledgement of a stored message is read without a JSON parser, and nothing
// else is.
func TestPlainAck(t *testing.T) {
	for text, want := range map[string]uint64{
		`{"stream":"LOG","seq":1}`:                                       1,
		`{"stream":"LOG","seq":18446744073709551615}`:                    18446744073709551615,
		`{"stream":"LOG","seq":18446744073709551616}`:                    0,
		`{"stream":"LOG","seq":0}`:                                       0,
		`{"stream":"LOG","seq":-1}`:                                      0,
		`{"stream":"LOG","seq":+1}`:                                      0,
		`{"stream":"LOG","seq":1,"duplicate":true}`:                      0,
		`{"stream":"LOG","domain":"hub","seq":1}`:                        0,
		`{"stream":"LOGS","seq":1}`:                                      0,
		`{"error":{"code":400,"err_code":10071},"stream":"LOG","seq":1}`: 0,
		`{"stream":"LOG","seq":`:                                         0,
		``:                                                               0,
	} {
		position, ok := plainAck([]byte(text), "LOG")
		require.Equal(t, want > 0, ok, text)
		if ok {
			require.Equal(t, want, position)
		}
	}
}
