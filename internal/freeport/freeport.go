// Package freeport finds ports for servers that must be told theirs before they start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// Ports are taken from below those that systems give to outgoing connections (Linux from
// 32768, others from 49152): between the search and the server's start nobody gets one of
// these by chance.
const (
	first = 20_000
	last  = 32_000
)

// ErrNone is returned when too many ports are in use.
var ErrNone = errors.New("freeport: no free ports")

// taken counts the ports that this process has looked at, from a random one on: two servers
// that are started at once never get the same, and other processes hardly ever do.
var taken = func() *atomic.Uint32 {
	var a atomic.Uint32
	a.Store(rand.Uint32N(last - first))
	return &a
}()

// Find returns n different ports of 127.0.0.1 that nobody listens on just now.
func Find(n int) ([]int, error) {
	if n > last-first {
		return nil, ErrNone
	}
	var held []net.Listener // until all are found, so that they differ
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	ports := make([]int, 0, n)
	for range 20*n + 100 {
		if len(ports) == n {
			return ports, nil
		}
		port := first + int(taken.Add(1))%(last-first)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		held, ports = append(held, l), append(ports, port)
	}
	return nil, ErrNone
}
