package faultnet

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds the connection to the server.
const dialTimeout = 5 * time.Second

// Proxy forwards connections to one server. It starts out harmless.
type Proxy struct {
	target   string
	listener *net.TCPListener
	running  sync.WaitGroup
	closed   chan struct{}
	injected [faults]atomic.Int64

	mu           sync.Mutex
	schedule     *Schedule
	refusedUntil time.Time
	links        map[*link]struct{}
	asked        map[string]Class // class of the request that is answered on a subject
}

// Start starts a proxy on a free port of 127.0.0.1 in front of the server at an
// address like "127.0.0.1:4222". It runs until Close.
func Start(target string) (*Proxy, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		target: target, listener: listener, closed: make(chan struct{}),
		links: make(map[*link]struct{}), asked: make(map[string]Class),
	}
	p.running.Go(p.accept)
	return p, nil
}

// URL returns the URL that clients connect to.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Apply makes the schedule decide about the frames from now on; nil passes everything.
func (p *Proxy) Apply(s *Schedule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule = s
}

// Heal ends all faults: everything passes and nobody is refused. Frames that wait
// already still come late.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule, p.refusedUntil = nil, time.Time{}
}

// Cut ends all connections, and refuses new ones for a time.
func (p *Proxy) Cut(refuse time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse(refuse)
	for l := range p.links {
		l.cut()
	}
}

// refuse is for the one who holds the mutex.
func (p *Proxy) refuse(d time.Duration) {
	if until := time.Now().Add(d); until.After(p.refusedUntil) {
		p.refusedUntil = until
	}
}

// Injected returns how often a fault was applied.
func (p *Proxy) Injected(f Fault) int { return int(p.injected[f].Load()) }

// Close ends all connections and waits until nothing of the proxy runs.
func (p *Proxy) Close() {
	p.mu.Lock()
	if !p.ended() {
		close(p.closed)
	}
	_ = p.listener.Close()
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) ended() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.AcceptTCP()
		if err != nil {
			return // closed
		}
		if p.refuses() {
			_ = client.Close()
			continue
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.refusedUntil)
}

// serve forwards one connection until both sides have ended it.
func (p *Proxy) serve(client *net.TCPConn) {
	conn, err := net.DialTimeout("tcp", p.target, dialTimeout)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: conn.(*net.TCPConn)}
	defer l.close()
	p.mu.Lock()
	if p.ended() || time.Now().Before(p.refusedUntil) {
		// Closed or cut while the server was dialled.
		p.mu.Unlock()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	l.run()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// decide classes a frame and asks the schedule about it.
func (p *Proxy) decide(d Direction, f *frame) decision {
	p.mu.Lock()
	at := Point{Direction: d}
	if d == Request {
		at.Class = classify(f)
		// Answers are told by their subject. The entry stays: a request may be
		// answered more than once. A proxy lives for one test.
		if at.Class != None && f.reply != "" {
			p.asked[f.reply] = at.Class
		}
	} else {
		at.Class = p.asked[f.subject]
	}
	schedule := p.schedule
	p.mu.Unlock()
	decided := schedule.next(at)
	if decided.fault == Deny && at != (Point{Reply, LeaderGet}) {
		decided.fault = Pass
	}
	if decided.fault != Pass {
		p.injected[decided.fault].Add(1)
	}
	return decided
}
