package freeport_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/freeport"
	"github.com/enactlog/enact/internal/natstest"
)

func TestFind(t *testing.T) {
	var failed error
	// Another process may take one of them in between, but not time and again.
	natstest.Eventually(t, time.Minute, func() bool {
		ports, err := freeport.Find(50)
		require.NoError(t, err)
		require.Len(t, ports, 50)
		failed = nil
		seen := make(map[int]bool)
		for _, port := range ports {
			require.False(t, seen[port])
			seen[port] = true
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				failed = err
				continue
			}
			require.NoError(t, l.Close())
		}
		return failed == nil
	}, func() string { return failed.Error() })
	_, err := freeport.Find(20_000)
	require.ErrorIs(t, err, freeport.ErrNone)
}

// A process keeps what it has found, also while nobody listens there.
func TestProcessesFindDifferentPorts(t *testing.T) {
	const mine, theirs = 8, 40 // blocks of ports, some at a time
	find := func(blocks int) map[string]bool {
		found := make(map[string]bool)
		for range blocks {
			ports, err := freeport.Find(90)
			require.NoError(t, err)
			for _, port := range ports {
				found[fmt.Sprint(port)] = true
			}
		}
		require.Len(t, found, 90*blocks)
		return found
	}
	const child = "ENACT_TEST_FREEPORT"
	if os.Getenv(child) != "" {
		fmt.Println(find(theirs))
		return
	}
	ports := find(mine)
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	other.Env = append(os.Environ(), child+"=1")
	out, err := other.CombinedOutput()
	require.NoError(t, err, "%s", out)
	found := regexp.MustCompile(`[0-9]+:true`).FindAllString(string(out), -1)
	require.Len(t, found, 90*theirs)
	for _, port := range found {
		require.False(t, ports[strings.TrimSuffix(port, ":true")], "port %s is found twice", port)
	}
}
