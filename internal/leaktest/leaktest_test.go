package leaktest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { Main(m) }

// A goroutine that does not end is named; one that ends late is waited for.
func TestFind(t *testing.T) {
	others := goleak.IgnoreCurrent()
	end := make(chan struct{})
	go left(end)
	require.ErrorContains(t, findWithin(0, others), "leaktest.left")

	const late = time.Second // longer than goleak looks
	time.AfterFunc(late, func() { close(end) })
	require.NoError(t, Find(others))
}

func left(end chan struct{}) { <-end }
