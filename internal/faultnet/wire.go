package faultnet

import (
	"net"
	"sync"
	"time"
)

// Wire forwards connections to one address, byte by byte, whatever they carry: the routes
// between servers, for example. It can be cut and made slow. It starts out harmless.
type Wire struct {
	target   string
	listener *net.TCPListener
	running  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	isCut  bool
	delay  time.Duration
	conns  map[net.Conn]struct{}
}

// wireBuffer is how many chunks of a connection may be on their way.
const wireBuffer = 1024

// NewWire starts a wire on a free port of 127.0.0.1 to an address like
// "127.0.0.1:6222". It runs until Close.
func NewWire(target string) (*Wire, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	w := &Wire{target: target, listener: listener, conns: make(map[net.Conn]struct{})}
	w.running.Go(w.accept)
	return w, nil
}

// Address returns the address that the wire listens on.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Cut ends all connections at once, with what is on its way in them, and lets none
// through until Heal.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	w.endAll()
}

// Slow makes everything take so much longer, in each direction, until Heal.
func (w *Wire) Slow(delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = delay
}

// Heal ends what Cut and Slow did.
func (w *Wire) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut, w.delay = false, 0
}

// Close ends all connections and waits until nothing of the wire runs.
func (w *Wire) Close() {
	w.mu.Lock()
	w.closed = true
	_ = w.listener.Close()
	w.endAll()
	w.mu.Unlock()
	w.running.Wait()
}

// endAll is for the one who holds the mutex.
func (w *Wire) endAll() {
	for c := range w.conns {
		_ = c.Close()
	}
}

// enter notes connections that Cut and Close end. It returns false, and closes them, if
// none may be open.
func (w *Wire) enter(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.closed || w.isCut {
			_ = c.Close()
			continue
		}
		w.conns[c] = struct{}{}
	}
	return !w.closed && !w.isCut
}

func (w *Wire) leave(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(w.conns, c)
	}
}

func (w *Wire) accept() {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		if w.enter(in) {
			w.running.Go(func() { w.serve(in) })
		}
	}
}

// serve forwards one connection until one of its sides ends.
func (w *Wire) serve(in net.Conn) {
	defer w.leave(in)
	out, err := net.DialTimeout("tcp", w.target, dialTimeout)
	if err != nil || !w.enter(out) {
		return
	}
	defer w.leave(out)
	var both sync.WaitGroup
	both.Go(func() { w.forward(in, out) })
	both.Go(func() { w.forward(out, in) })
	both.Wait()
}

// chunk is bytes that are due at a time.
type chunk struct {
	data []byte
	due  time.Time
}

// forward passes on what comes from one side, each chunk after the delay that held when
// it came, in order. When it ends, both sides do.
func (w *Wire) forward(from, to net.Conn) {
	way := make(chan chunk, wireBuffer)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range way {
			if wait := time.Until(c.due); wait > 0 {
				time.Sleep(wait)
			}
			if _, err := to.Write(c.data); err != nil {
				_ = from.Close() // what still comes has nowhere to go
			}
		}
		_ = to.Close()
	})
	defer writer.Wait()
	defer close(way)
	for buffer := make([]byte, readBuffer); ; {
		n, err := from.Read(buffer)
		if n > 0 {
			w.mu.Lock()
			delay := w.delay
			w.mu.Unlock()
			way <- chunk{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}
		}
		if err != nil {
			return
		}
	}
}
