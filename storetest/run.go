package storetest

import (
	"testing"

	"github.com/enactlog/enact"
)

// sentence is one sentence of the contract and its test.
type sentence struct {
	says string
	test func(f *fixture)
}

// Run tests every sentence of the contract. It calls open once for each group
// of sentences, and again for every sentence that shuts its store down, with the
// test whose end is the end of the store's use: open registers what must be
// cleaned up then. A store may be shut down already at that point.
//
// A sentence that takes more than five minutes fails; on a healthy store it takes seconds.
func Run(t *testing.T, open func(t *testing.T) enact.EventStore) {
	groups := []struct {
		name      string
		sentences []sentence
	}{
		{"appends", appends()},
		{"batches", batches()},
		{"large appends", largeAppends()},
		{"commits", commits()},
		{"expectations", expectations()},
		{"idempotency keys", keys()},
		{"concurrency", concurrency()},
		{"reads", reads()},
		{"iteration", iteration()},
		{"lists", lists()},
		{"queries", queries()},
		{"events", events()},
		{"raw JSON", rawJSON()},
		{"metadata", metadata()},
		{"timestamps", timestamps()},
		{"immutability", immutability()},
		{"ids", ids()},
		{"tenants", tenants()},
		{"invalid events", invalidEvents()},
		{"lifecycle", lifecycle()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			store := open(t)
			for _, s := range g.sentences {
				t.Run(s.says, func(t *testing.T) { s.test(newFixture(t, store, open)) })
			}
		})
	}
}
