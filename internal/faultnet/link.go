package faultnet

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// readBuffer is large enough for any control line but long INFOs.
const readBuffer = 32 << 10

// notFound is the server's answer to a get that found nothing (server/errors.json).
const notFound = `{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","error":{"code":404,"err_code":10037,"description":"no message found"}}`

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	ended          atomic.Bool // nothing is forwarded any more
}

// run forwards both ways until both sides have closed.
func (l *link) run() {
	var both sync.WaitGroup
	both.Go(func() { l.forward(Request, l.client, l.server) })
	both.Go(func() { l.forward(Reply, l.server, l.client) })
	both.Wait()
}

// cut ends the connection in order: what was written before still arrives, and each
// side learns that the other is gone.
func (l *link) cut() {
	l.ended.Store(true)
	_ = l.client.CloseWrite()
	_ = l.server.CloseWrite()
}

// close ends the connection at once.
func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// lane is one direction of a link. Only the goroutine that forwards uses it.
type lane struct {
	*link
	to    *net.TCPConn
	held  []heldFrame
	timer *time.Timer
}

// heldFrame waits until gap more frames have passed or its time has come.
type heldFrame struct {
	raw []byte
	gap int
	due time.Time
}

// forward passes frames on until the sender closes. It goes on reading after a cut, so
// that an end with unread bytes does not take back what was written before.
func (l *link) forward(d Direction, from, to *net.TCPConn) {
	frames := make(chan frame)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(frames)
		for r := bufio.NewReaderSize(from, readBuffer); ; {
			f, err := readFrame(r)
			if err != nil {
				return
			}
			frames <- f
		}
	})
	defer reader.Wait()
	n := &lane{link: l, to: to, timer: time.NewTimer(0)}
	defer n.timer.Stop()
	for {
		select {
		case f, ok := <-frames:
			if !ok {
				// What was under way when the sender left still arrives.
				n.release(func(heldFrame) bool { return true })
				l.cut()
				return
			}
			n.pass(f, l.proxy.decide(d, &f))
		case <-n.timer.C:
			now := time.Now()
			n.release(func(h heldFrame) bool { return !h.due.After(now) })
		}
	}
}

// pass does to a frame what was decided.
func (n *lane) pass(f frame, d decision) {
	switch d.fault {
	case Drop:
		return
	case Delay:
		n.pause(d.wait)
		n.write(f.raw)
	case Reorder:
		n.hold(f.raw, d)
		return
	case Duplicate:
		n.write(f.raw)
		n.write(f.raw)
	case Echo:
		n.write(f.raw)
		n.passed()
		n.hold(f.raw, d)
		return
	case CutBefore, CutAfter:
		if d.fault == CutAfter {
			n.write(f.raw)
		}
		n.proxy.mu.Lock()
		n.proxy.refuse(d.refuse)
		n.proxy.mu.Unlock()
		n.cut()
	case Deny:
		denied := f.withPayload([]byte(notFound))
		n.write(denied.raw)
	default:
		n.write(f.raw)
	}
	n.passed()
}

// write sends one frame. A side that takes no more has ended the connection.
func (n *lane) write(raw []byte) {
	if n.ended.Load() {
		return
	}
	if _, err := n.to.Write(raw); err != nil {
		n.cut()
	}
}

// pause waits, unless the proxy is closed.
func (n *lane) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.proxy.closed:
	}
}

func (n *lane) hold(raw []byte, d decision) {
	n.held = append(n.held, heldFrame{raw: raw, gap: d.gap, due: time.Now().Add(d.wait)})
	n.rearm()
}

// passed tells the frames that wait that one more has passed them.
func (n *lane) passed() {
	if len(n.held) == 0 {
		return
	}
	for i := range n.held {
		n.held[i].gap--
	}
	n.release(func(h heldFrame) bool { return h.gap <= 0 })
}

// release sends the held frames that are due, in the order they came.
func (n *lane) release(due func(heldFrame) bool) {
	kept := n.held[:0]
	for _, h := range n.held {
		if due(h) {
			n.write(h.raw)
		} else {
			kept = append(kept, h)
		}
	}
	n.held = kept
	n.rearm()
}

// rearm sets the timer to the next frame that is due.
func (n *lane) rearm() {
	n.timer.Stop()
	if len(n.held) == 0 {
		return
	}
	next := n.held[0].due
	for _, h := range n.held[1:] {
		if h.due.Before(next) {
			next = h.due
		}
	}
	n.timer.Reset(max(time.Until(next), 0))
}
