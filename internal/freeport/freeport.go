// Package freeport finds ports for servers that must be told theirs before they start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are taken from below those that systems give to outgoing connections (Linux from
// 32768, others from 49152): between the search and the server's start nobody gets one of
// these by chance.
const (
	first = 20_000
	last  = 32_000
)

// Processes that use this package share the ports by blocks. Who listens on a block's first
// port has the block, until it ends: nobody else takes one of its ports before a server
// listens on it, or while that server is down to be started again.
const block = 100

// ErrNone is returned when too many ports are in use.
var ErrNone = errors.New("freeport: no free ports")

// reserved are the ports of the blocks that this process has, in the order in which they are
// looked at. Two servers that are started at once never get the same.
var reserved struct {
	mu    sync.Mutex
	ports []int
	next  int            // of ports; they are looked at again when no other block is free
	held  []net.Listener // on the first ports of the blocks, until the process ends
}

// Find returns n different ports of 127.0.0.1 that nobody listens on just now.
func Find(n int) ([]int, error) {
	if n > last-first {
		return nil, ErrNone
	}
	reserved.mu.Lock()
	defer reserved.mu.Unlock()
	var held []net.Listener // until all are found, so that they differ
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	ports := make([]int, 0, n)
	for range 20*n + block {
		if len(ports) == n {
			return ports, nil
		}
		port, ok := next()
		if !ok {
			return nil, ErrNone
		}
		l, err := listen(port)
		if err != nil {
			continue
		}
		held, ports = append(held, l), append(ports, port)
	}
	return nil, ErrNone
}

// next returns the next port to look at, for the one who holds the mutex; ok is false if
// there is none.
func next() (port int, ok bool) {
	if reserved.next == len(reserved.ports) && !reserve() {
		reserved.next = 0
	}
	if len(reserved.ports) == 0 {
		return 0, false
	}
	reserved.next++
	return reserved.ports[reserved.next-1], true
}

// reserve takes another block, for the one who holds the mutex, and returns false if none is
// free.
func reserve() bool {
	for _, i := range rand.Perm((last - first) / block) {
		start := first + i*block
		l, err := listen(start)
		if err != nil {
			continue
		}
		reserved.held = append(reserved.held, l)
		for port := start + 1; port < start+block; port++ {
			reserved.ports = append(reserved.ports, port)
		}
		return true
	}
	return false
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
