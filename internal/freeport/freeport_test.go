package freeport_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/freeport"
	"github.com/enactlog/enact/internal/natstest"
)

const most = 3000 // ports, about a quarter of all: those of other tests are left

func TestReserve(t *testing.T) {
	var failed error
	// A program that does not ask may take one of them in between, but not time and again.
	natstest.Eventually(t, time.Minute, func() bool {
		r, err := freeport.Reserve(50)
		require.NoError(t, err)
		defer r.Release()
		require.Len(t, r.Ports, 50)
		failed = nil
		seen := make(map[int]bool)
		for _, port := range r.Ports {
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
}

// What a reservation that fails had taken by then is free again.
func TestReserveTooMany(t *testing.T) {
	_, err := freeport.Reserve(20_000)
	require.ErrorIs(t, err, freeport.ErrNone)
	r, err := freeport.Reserve(most)
	require.NoError(t, err)
	r.Release()
	r.Release()
}

// Nobody gets what somebody has reserved, also while nobody listens there: not in the same
// process, and not in another one.
func TestReservationsDiffer(t *testing.T) {
	const child = "ENACT_TEST_FREEPORT"
	r, err := freeport.Reserve(most)
	require.NoError(t, err)
	defer r.Release()
	if os.Getenv(child) != "" {
		fmt.Println(r.Ports)
		return
	}
	taken := make(map[int]bool)
	for _, port := range r.Ports {
		taken[port] = true
	}
	again, err := freeport.Reserve(most)
	require.NoError(t, err)
	for _, port := range again.Ports {
		require.False(t, taken[port], "port %d is found twice", port)
	}
	again.Release()

	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	other.Env = append(os.Environ(), child+"=1")
	out, err := other.CombinedOutput()
	require.NoError(t, err, "%s", out)
	found := regexp.MustCompile(`\b\d{5}\b`).FindAllString(string(out), -1)
	require.Len(t, found, most)
	for _, text := range found {
		port, err := strconv.Atoi(text)
		require.NoError(t, err)
		require.False(t, taken[port], "port %d is found twice", port)
	}
}
