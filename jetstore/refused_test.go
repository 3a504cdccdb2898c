package jetstore

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// Of however many refusals those are found that were heard since the message was sent, as
// far as they are kept.
func TestRefusalsAreBounded(t *testing.T) {
	r := new(refusals)
	refusal := func(i int) error {
		return fmt.Errorf("%w: Permissions Violation for Publish to \"enact.t.run-%d\"", nats.ErrPermissionViolation, i)
	}
	const all = 2*maxRefusals + 10
	for i := range all {
		r.add(refusal(i))
		require.Equal(t, uint64(i+1), r.count())
		subject := fmt.Sprintf("enact.t.run-%d", i)
		require.Equal(t, refusal(i), r.since(uint64(i), subject))
		require.NoError(t, r.since(uint64(i+1), subject), "it was heard before")
		require.NoError(t, r.since(0, subject+"0"), "it is about another subject")
	}
	require.Len(t, r.kept, maxRefusals)
	require.Error(t, r.since(0, fmt.Sprintf("enact.t.run-%d", all-maxRefusals)))
	require.NoError(t, r.since(0, fmt.Sprintf("enact.t.run-%d", all-maxRefusals-1)))
	var none *refusals
	require.Zero(t, none.count())
	require.NoError(t, none.since(0, "enact.t.run-1"))
}
