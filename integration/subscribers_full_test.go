//go:build subscribers

package integration

// The size of the tests of subscribers, see make subscribers.
const (
	stormExecutions = 1000
	stormAppends    = 6400
	stormTails      = 24
	stormRestarts   = 4
)
