package codec_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/enactlog/enact/internal/leaktest"
)

// TestMain also is the reader process of TestManyProcessesReadOneFile.
func TestMain(m *testing.M) {
	if path := os.Getenv(readerVariable); path != "" {
		if err := readUntilDropped(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}
