package storetest_test

import (
	"context"
	"testing"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/memstore"
	"github.com/enactlog/enact/storetest"
)

// The test of a store of one's own, in a file of its tests.
func ExampleRun() {
	open := func(t *testing.T) enact.EventStore {
		store := memstore.New() // here, one's own
		t.Cleanup(func() { _ = store.Shutdown(context.Background()) })
		return store
	}
	TestConformance := func(t *testing.T) {
		storetest.Run(t, open)
	}
	_ = TestConformance // go test runs it
}

// The same store beside a model of it, in random operations.
func ExampleRunModel() {
	open := func(t *testing.T) enact.EventStore {
		store := memstore.New() // here, one's own
		t.Cleanup(func() { _ = store.Shutdown(context.Background()) })
		return store
	}
	TestAgainstTheModel := func(t *testing.T) {
		storetest.RunModel(t, open)
	}
	_ = TestAgainstTheModel // go test runs it
}
