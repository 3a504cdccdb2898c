// Package leaktest finds goroutines that tests leave behind. It is package goleak with the
// patience that a busy machine needs: goleak looks for less than half a second, and what ends
// after a connection is closed, or a server is stopped, may not have had its turn by then.
package leaktest

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines have to end. Only one that is left behind takes it all.
const patience = 30 * time.Second

// Main runs a package's tests and exits with their code: 1 where they pass and leave
// goroutines behind. It is called by TestMain.
func Main(m goleak.TestingM) {
	code := m.Run()
	if code == 0 {
		if err := Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Find waits until there are no other goroutines than the caller's and those that the options
// leave out, and returns an error that names those that do not end.
func Find(opts ...goleak.Option) error { return findWithin(patience, opts...) }

func findWithin(patience time.Duration, opts ...goleak.Option) error {
	for began := time.Now(); ; {
		err := goleak.Find(opts...) // looks several times itself
		if err == nil || time.Since(began) > patience {
			return err
		}
	}
}
