package consumer_test

import (
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// tests stops the examples' server at the end, before it is looked for leaks.
type tests struct{ *testing.M }

var (
	running  *exampleServer
	examples = sync.OnceValue(func() *exampleServer {
		running = startExamples()
		return running
	})
)

// Run implements goleak.TestingM.
func (t tests) Run() int {
	code := t.M.Run()
	if running != nil {
		running.stop()
	}
	return code
}
