package consumer_test

import (
	"sync"
	"testing"

	"github.com/enactlog/enact/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(tests{m}) }

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
