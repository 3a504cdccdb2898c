package codec_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
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
	goleak.VerifyTestMain(m)
}
