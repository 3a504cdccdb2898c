package jetstore_test

import (
	"flag"
	"strconv"
	"testing"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/storetest"
)

func TestMain(m *testing.M) {
	// Laws are checked this often where -rapid.checks does not say otherwise.
	checks := flag.Lookup("rapid.checks")
	if err := checks.Value.Set(strconv.Itoa(amount(100, 100, 30))); err != nil {
		panic(err)
	}
	leaktest.Main(m)
}

// The contract holds on disk, with every append fsynced.
func TestContractOnDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) enact.EventStore { return embedded.ForTest(t) })
}

// The contract holds in the server's memory.
func TestContractInMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) enact.EventStore { return embedded.ForTest(t, embedded.WithMemoryStorage()) })
}

// Any interleaving of operations gives what the model gives.
func TestContractModel(t *testing.T) {
	store := embedded.ForTest(t, embedded.WithMemoryStorage())
	storetest.RunModel(t, func(t *testing.T) enact.EventStore { return store })
}
