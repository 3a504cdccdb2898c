// Package freeport reserves ports for servers that must be told theirs before they start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from below those that systems give to outgoing connections (Linux from
// 32768, others from 49152), in blocks. Whoever listens on a block's first port has the
// block: no other user of this package, in this process or another, takes one of its ports
// before a server listens on it, or while that server is down to be started again.
const (
	first = 20_000
	last  = 32_000
	block = 16
)

// ErrNone is returned when too many ports are in use.
var ErrNone = errors.New("freeport: no free ports")

// Reservation is a set of ports of 127.0.0.1 on which nobody else listened when it was made.
type Reservation struct {
	Ports  []int // all different
	blocks []net.Listener
}

// Reserve reserves n ports until they are released or the process ends.
func Reserve(n int) (*Reservation, error) {
	r := new(Reservation)
	for _, i := range rand.Perm((last - first) / block) {
		if len(r.Ports) >= n {
			break
		}
		r.take(first+i*block, n)
	}
	if len(r.Ports) < n {
		r.Release()
		return nil, ErrNone
	}
	return r, nil
}

// take takes the block that begins at start, if nobody has it, and of its ports as many as are
// free and wanted.
func (r *Reservation) take(start, n int) {
	l, err := listen(start)
	if err != nil {
		return
	}
	r.blocks = append(r.blocks, l)
	for port := start + 1; port < start+block && len(r.Ports) < n; port++ {
		if l, err := listen(port); err == nil {
			_ = l.Close()
			r.Ports = append(r.Ports, port)
		}
	}
}

// Release lets others have the ports. It may be called more than once, and on nil.
func (r *Reservation) Release() {
	if r == nil {
		return
	}
	for _, l := range r.blocks {
		_ = l.Close()
	}
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
