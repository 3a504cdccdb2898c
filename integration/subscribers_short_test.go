//go:build !subscribers

package integration

// The size of the tests of subscribers: enough to show every fault, in seconds.
const (
	stormExecutions = 60
	stormAppends    = 320
	stormTails      = 4
	stormRestarts   = 1
)
