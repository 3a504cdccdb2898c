//go:build !race

package jetstore_test

// unlessRace returns how much of something a test does: less under the race detector,
// which looks at how goroutines meet and not at how often.
func unlessRace(many, _ int) int { return many }
