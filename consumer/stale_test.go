package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// fakeLink plays a server that knows one consumer.
type fakeLink struct {
	link
	sequence uint64 // of its last delivery
	position uint64 // of the last record that it delivered
	floor    uint64 // position up to which everything is acknowledged
	inFlight int
}

func (f *fakeLink) Closing() <-chan struct{} { return nil }

func (f *fakeLink) Request(_ context.Context, subject string, _, into any) error {
	if !strings.HasPrefix(subject, "CONSUMER.INFO.") {
		return errors.New("unexpected request " + subject)
	}
	return json.Unmarshal(fmt.Appendf(nil, `{"config":{},"delivered":{"consumer_seq":%d,"stream_seq":%d},"ack_floor":{"stream_seq":%d},"num_ack_pending":%d}`,
		f.sequence, f.position, f.floor, f.inFlight), into)
}

// A read that ends early is not a corrupt history before the answers are as recent as
// what was delivered: a deposed leader gives older ones.
func TestCorruptionIsConfirmed(t *testing.T) {
	corrupt := &enact.CorruptError{Position: 9, Reason: "it ends early"}
	for name, test := range map[string]struct {
		ends  []uint64 // of the history, as one leader after the other has it
		reads []error
		want  error
	}{
		"right at once":        {reads: []error{nil}},
		"an old answer":        {ends: []uint64{7, 7, 9}, reads: []error{corrupt, corrupt, corrupt, nil}},
		"caught up":            {ends: []uint64{7}, reads: []error{corrupt, nil}},
		"really so":            {ends: []uint64{9}, reads: []error{corrupt, corrupt}, want: enact.ErrCorrupt},
		"old, then really":     {ends: []uint64{5, 12}, reads: []error{corrupt, corrupt, corrupt}, want: enact.ErrCorrupt},
		"no answer":            {reads: []error{context.DeadlineExceeded, nil}},
		"of the handler":       {reads: []error{&HandlerError{Err: context.DeadlineExceeded}}, want: ErrHandler},
		"what a handler reads": {reads: []error{&HandlerError{Err: corrupt}}, want: ErrHandler},
		"another error":        {reads: []error{enact.ErrClosed}, want: enact.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			err := confirmed(t.Context(), &fakeLink{}, 9, recentReads{
				read: func(context.Context) error {
					err := test.reads[0]
					test.reads = test.reads[1:]
					return err
				},
				end: func(context.Context) (uint64, error) {
					end := test.ends[0]
					test.ends = test.ends[1:]
					return end, nil
				},
			})
			require.ErrorIs(t, err, test.want)
			require.Empty(t, test.reads)
			require.Empty(t, test.ends)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := confirmed(ctx, &fakeLink{}, 9, recentReads{
		read: func(context.Context) error { return corrupt },
		end:  func(context.Context) (uint64, error) { cancel(); return 1, nil },
	})
	require.ErrorIs(t, err, context.Canceled)
}
