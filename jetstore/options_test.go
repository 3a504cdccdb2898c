package jetstore

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// What an option's zero value means is what is so without the option.
func TestZeroMeansTheDefault(t *testing.T) {
	want, err := newConfig(nil)
	require.NoError(t, err)
	got, err := newConfig([]Option{
		nil, WithStream(""), WithPrefix(""), WithDomain(""), WithAPIPrefix(""), WithTimeout(0), WithCacheSize(0), WithKeyWindow(0),
		WithNATS(), WithContext(""), WithReplicas(0),
	})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A cache without a bound to speak of does not overflow to one that holds nothing: where a
// store had seen an execution, it would forget with the next one.
func TestLargestCache(t *testing.T) {
	c, err := newConfig([]Option{WithCacheSize(math.MaxInt)})
	require.NoError(t, err)
	ls := newLanes(c.cacheSize)
	ls.meet(execution{"a", "1"}, mark{1, 7})
	ls.meet(execution{"a", "2"}, mark{1, 8})
	require.Equal(t, uint64(7), ls.highest(execution{"a", "1"}))
	index := newConfirmations(c.cacheSize * metFactor)
	index.origins.Add(execution{"a", "1"}, origin{})
	require.False(t, index.origins.Add(execution{"a", "2"}, origin{}), "the first one is not dropped")
}

// A part that is dropped takes with it what belongs to its streams. What all parts share is
// forgotten if the tenant's stream was made anew by the time that it is opened again.
func TestPartsAreBounded(t *testing.T) {
	outer := &Store{lanes: newLanes(10), index: newConfirmations(10), statuses: newStatuses(10)}
	part := func(incarnation string) *Store {
		s := &Store{lanes: outer.lanes, index: outer.index, statuses: outer.statuses, part: true}
		s.inc.Store(incarnation)
		return s
	}
	ts := newTenants()
	first := part("one")
	require.Same(t, first, ts.keep("a", first))
	require.Same(t, first, ts.keep("a", part("one")), "one part a tenant")
	require.Same(t, first, ts.get("a"))
	outer.lanes.meet(execution{"b", "e"}, mark{1, 7})
	for i := range openTenants {
		ts.keep(enact.TenantID(rune('Ā'+i)), part("other"))
	}
	require.Nil(t, ts.get("a"))
	require.Equal(t, openTenants, ts.parts.Len())

	ts.keep("a", part("one"))
	require.Equal(t, uint64(7), outer.lanes.highest(execution{"b", "e"}), "the stream is the same")
	for i := range openTenants {
		ts.keep(enact.TenantID(rune('Ā'+i)), part("other"))
	}
	ts.keep("a", part("two"))
	require.Zero(t, outer.lanes.highest(execution{"b", "e"}))
}
