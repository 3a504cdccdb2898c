package jetstore

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

// Appends to one execution wait in its lane. The first drives: it works on its own
// append and, when done, lets the next one drive. With every append it takes along
// those waiting behind it that can share its record without any caller being able to
// tell, so that appends which wait for each other's fsync wait for one.

// request is an append that waits in a lane.
type request struct {
	c    *commit
	wake chan wakeup // gets one value

	// Guarded by the lane's mutex.
	sent  *attempt // what its events went out in; nil: nothing was sent
	first uint64   // sequence of its first event there
	gone  bool     // its caller has left
}

// wakeup tells a waiting request to drive, or that its append is stored.
type wakeup struct {
	drive   bool
	resume  *group // with drive: a group whose driver left, to be brought to its end
	receipt enact.Receipt
}

// group is the appends that one attempt carries, in order. The first may be of any
// size; where there are more, all are one record.
type group struct {
	members []member
	attempt *attempt
	tail    record.Tail // after the attempt, not yet stored
	room    [1]member   // where members begins: most groups are one append
}

type member struct {
	c     *commit
	req   *request // nil: the one who drives
	first uint64   // sequence of its first event
}

func (m *member) receipt(t record.Tail) enact.Receipt {
	return enact.Receipt{First: m.first, Last: m.first + uint64(len(m.c.batch.Events)) - 1, Position: t.Position, Chain: t.Chain}
}

// commit queues the append and returns how it ended.
func (l *lane) commit(ctx context.Context, c *commit) (enact.Receipt, error) {
	l.mu.Lock()
	if !l.driven {
		l.driven = true
		l.mu.Unlock()
		defer l.handOver()
		return c.run(ctx, l)
	}
	req := &request{c: c, wake: make(chan wakeup, 1)}
	l.waiting = append(l.waiting, req)
	l.mu.Unlock()
	select {
	case w := <-req.wake:
		return l.woken(ctx, req, w)
	case <-ctx.Done():
	}
	l.mu.Lock()
	select {
	case w := <-req.wake: // it came just before the caller could leave
		l.mu.Unlock()
		return l.woken(ctx, req, w)
	default:
	}
	defer l.mu.Unlock()
	req.gone = true
	if i := slices.Index(l.waiting, req); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	if req.sent != nil {
		return enact.Receipt{}, req.sent.unknown(ctx.Err(), c, req.first)
	}
	return enact.Receipt{}, ctx.Err()
}

func (l *lane) woken(ctx context.Context, req *request, w wakeup) (enact.Receipt, error) {
	if !w.drive {
		return w.receipt, nil
	}
	defer l.handOver()
	if w.resume != nil {
		receipt, err := l.finish(ctx, w.resume, req)
		if !errors.Is(err, errOvertaken) {
			return receipt, err
		}
	}
	return req.c.run(ctx, l)
}

// handOver lets the next one drive: a member of a group whose driver left without
// knowing how it ended, else the first in the queue.
func (l *lane) handOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.orphan; g != nil {
		l.orphan = nil
		for _, m := range g.members {
			if m.req != nil && !m.req.gone {
				m.req.wake <- wakeup{drive: true, resume: g}
				return
			}
		}
	}
	if len(l.waiting) == 0 {
		l.driven = false
		return
	}
	next := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	next.wake <- wakeup{drive: true}
}

// gather makes a group of c and, unless it is to go alone, those who wait behind it, as
// many as can share its record. Creations go alone: what waits behind one may expect that
// it exists.
func (l *lane) gather(c *commit, alone bool) *group {
	first := l.tail.Sequence + 1
	g := new(group)
	g.members = append(g.room[:0], member{c: c, first: first})
	l.mu.Lock()
	defer l.mu.Unlock()
	if alone || len(l.waiting) == 0 || l.tail.Number == 0 || !c.shareable() {
		return g
	}
	size, events := c.size(), len(c.batch.Events)
	reserved := reservedHeaders(c)
	maxSize, maxEvents := c.s.maxRecord()-reserved, min(maxShared, maxTimes(reserved))
	for len(l.waiting) > 0 {
		req := l.waiting[0]
		n := req.c
		next := first + uint64(events)
		if !n.shareable() || !n.batch.Options.Expect.Holds(next-1) || !maps.Equal(n.batch.Options.Metadata, c.batch.Options.Metadata) ||
			!sameTrace(n, c) || events+len(n.batch.Events) > maxEvents || size+n.size() > maxSize ||
			!record.TimesFit(c.times[0], n.times[0]) {
			break
		}
		l.waiting = slices.Delete(l.waiting, 0, 1)
		g.members = append(g.members, member{c: n, req: req, first: next})
		size, events = size+n.size(), events+len(n.batch.Events)
	}
	return g
}

// sameTrace reports whether two appends may share a record as far as their trace contexts
// go: a record has one. Callers have theirs stored. Those of the store's own spans may be
// another's unless they are recorded: what is linked to one of them would show another.
func sameTrace(a, b *commit) bool {
	x, y := a.batch.Options.Trace, b.batch.Options.Trace
	return x == y || a.ownTrace && b.ownTrace && !x.Sampled() && !y.Sampled()
}

// maxShared bounds the events of a shared record, so that their times fit its headers.
const maxShared = 512

// shareable reports whether the append may share a record: it is one itself, has nothing
// that is the record's own, and is encoded without a look at the caller's events.
func (c *commit) shareable() bool {
	o := &c.batch.Options
	return len(c.groups) == 1 && o.IdempotencyKey == "" && !o.OneEventPerRecord && record.AllEqual(c.times) && codec.TakesTexts(c.s.cfg.write)
}

// size returns the bytes that the append's events take in a record, beyond those of
// its headers that all share.
func (c *commit) size() int {
	n := 0
	for _, text := range c.texts {
		n += len(text) + 1 + timeDistance
	}
	return n
}

// launch marks the group as sent. It returns false, and marks nothing, if a caller
// left since the group was gathered.
func (l *lane) launch(g *group) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range g.members[1:] {
		if m.req.gone {
			return false
		}
	}
	for _, m := range g.members[1:] {
		m.req.sent, m.req.first = g.attempt, m.first
	}
	return true
}

// giveBack puts the group's members, but for the one who drives, back at the head of
// the queue: their events were not stored.
func (l *lane) giveBack(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requeue(g)
}

// takeBack gives back a group whose attempt was not stored and never will be. It returns
// false, and gives nothing back, if nothing was sent and yet a member has left with the
// attempt as one of unknown outcome: whoever resolves that sends it, for all members.
func (l *lane) takeBack(g *group) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range g.members {
		if m.req != nil && m.req.gone && !g.attempt.sent {
			g.attempt.sent = true
			return false
		}
	}
	l.requeue(g)
	return true
}

// requeue is for the one who holds the mutex.
func (l *lane) requeue(g *group) {
	var back []*request
	for _, m := range g.members {
		if m.req != nil && !m.req.gone {
			m.req.sent = nil
			back = append(back, m.req)
		}
	}
	l.waiting = slices.Insert(l.waiting, 0, back...)
}

// finish brings a group that was sent to its end and tells its members. self is the
// one who drives: nil for the driver who sent it, or a member that took over. An
// errOvertaken is for the driver only, who tries again; the others wait anew.
func (l *lane) finish(ctx context.Context, g *group, self *request) (enact.Receipt, error) {
	s := g.members[0].c.s
	mine := &g.members[0]
	for i := range g.members {
		if self != nil && g.members[i].req == self {
			mine = &g.members[i]
		}
	}
	position, err := s.send(ctx, g.attempt)
	mine.req = nil // answered by what is returned
	if err != nil {
		l.forget()
		if !errors.Is(err, errUnproven) && l.takeBack(g) {
			return enact.Receipt{}, err
		}
		l.mu.Lock()
		l.orphan = g
		l.mu.Unlock()
		return enact.Receipt{}, g.attempt.unknown(err, mine.c, mine.first)
	}
	s.sawPosition(position)
	l.tail = g.tail.Stored(position)
	s.lanes.meet(l.key, mark{l.tail.Number, position})
	if g.attempt.predecessor == 0 {
		s.lanes.meetFirst(l.key, position-uint64(len(g.attempt.messages))+1)
	}
	if self != nil {
		// The driver that left forgot the lane; what its keys were is in the log.
		l.warm, l.incarnation, l.keys = true, g.attempt.incarnation, keyWindow{from: l.tail.Number + 1}
	}
	l.mu.Lock()
	for _, m := range g.members {
		if m.req != nil && !m.req.gone {
			m.req.wake <- wakeup{receipt: m.receipt(l.tail)}
		}
	}
	l.mu.Unlock()
	return mine.receipt(l.tail), nil
}
