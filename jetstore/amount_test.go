package jetstore_test

import "flag"

var full = flag.Bool("full", false, "do as much as the guarantees are stated for (make histories)")

// amount returns how much of something a test does: all of it with -full; less in the
// usual run, which is to be over soon; least under the race detector, which looks at how
// goroutines meet and not at how often.
func amount(all, usual, race int) int {
	switch {
	case *full:
		return all
	case raceDetector:
		return race
	}
	return usual
}
