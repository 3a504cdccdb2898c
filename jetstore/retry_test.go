package jetstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// What ended a call is told beside what it waited for, also when the last try was cut
// short by the end of the context.
func TestRetryKeepsWhatSaysMore(t *testing.T) {
	stale := fmt.Errorf("%w: behind", enact.ErrStale)
	for name, answers := range map[string][]error{
		"the last answer":          {context.DeadlineExceeded, stale},
		"an earlier answer":        {stale, context.DeadlineExceeded},
		"an answer joined already": {ended(context.Canceled, stale), context.Canceled},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		_, err := retry(ctx, func() (int, error) {
			calls++
			if calls == len(answers) {
				cancel()
			}
			return 0, answers[calls-1]
		})
		require.ErrorIs(t, err, context.Canceled, name)
		require.ErrorIs(t, err, enact.ErrStale, name)
	}
}
