package consumer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// What a member asks the server for at a time, and how much it holds for each worker.
const (
	memberBatch     = 64
	memberBytes     = 4 << 20
	heldPerWorker   = 8 // records that wait or are handled
	leastHeartbeat  = 100 * time.Millisecond
	gatherPause     = 20 * time.Millisecond
	acksPerAckWait  = 3 // signs of life for a record
	givebackTimeout = 2 * time.Second
)

// finishedPositions is how many positions of records a member remembers that it has
// acknowledged. Should the server send one of them again, it is not handled again.
const finishedPositions = 8192

// Answers to a delivery (server/consumer.go).
var (
	ackDone     = []byte("+ACK")
	ackBack     = []byte("-NAK")
	ackProgress = []byte("+WPI")
)

// errDeposed ends what an active member of an ordered group does: another one is or may
// be active.
var errDeposed = errors.New("consumer: no longer the active member")

// Run makes this process a member of the group: it hands the events to the handler until
// its context ends, which is no error, and acknowledges a record after its last event
// was handled. Events that are left are given back, for other members. It outlives
// reconnects and changes of leaders. If the group is removed meanwhile it is made again
// from where the server last said that everything before is acknowledged.
//
// A failed attempt (an error or a panic) is tried again after a wait (see [Backoff]);
// later events of the execution wait behind it, in an [Ordered] group all events. See
// [MaxDeliveries] for an end of that, and [Stop].
//
// Errors: a [*HandlerError] whose error was marked by [Stop], a [*GroupConfigError] when
// the group has got other settings meanwhile, a [*StreamChangedError],
// enact.ErrNotPermitted, enact.ErrStreamNotFound, and enact.ErrClosed when the store is
// shut down.
func (g *Group) Run(ctx context.Context, handler Handler) error {
	if handler == nil {
		return invalid("handler", "is nil")
	}
	att, err := g.store.Attach()
	if err != nil {
		return err
	}
	defer att.Close()
	m := &member{
		reader: reader{site: siteOf(att), store: g.store}, group: g, handler: observed(g.store, g.name, handler),
		heartbeat: g.cfg.heartbeat, floor: g.floor, freed: make(chan struct{}, 1), began: time.Now(),
	}
	m.finished, _ = lru.New[uint64, string](finishedPositions)
	if g.mode == Ordered {
		m.heartbeat = max(min(m.heartbeat, g.cfg.failover/8), leastHeartbeat)
	}
	return callersEnd(ctx, m.run(ctx))
}

// member is one Run of a group.
//
// In an ordered group only one member is sent anything: the server has pinned it (ADR-42),
// until it asks for nothing for some time. The server sends it records ahead of those
// that it handles, at most MaxInFlight. So a member that becomes the active one may be
// sent later records first: the earlier ones are in the hands of the one before. It hands
// nothing over before what precedes it, see [order]. A member that cannot know any more
// that it is pinned begins nothing new.
type member struct {
	reader
	group     *Group
	handler   Handler
	heartbeat time.Duration
	freed     chan struct{} // of one place: a record is done with, or the log was searched
	active    atomic.Int32  // records that are handled just now
	began     time.Time
	lease     atomic.Int64               // nanoseconds after began until which the member is pinned for certain
	answered  atomic.Pointer[string]     // the last delivery that was acknowledged
	finished  *lru.Cache[uint64, string] // positions that were, lately, and their deliveries; "": of none, or not of this consumer

	// Of the goroutine that serves.
	pool     *pool[struct{}, *held]
	pin      string // by which the server knows the active member; "": standing by
	order    order  // of an ordered group
	searches sync.WaitGroup
	created  time.Time // when the group's consumer was made

	mu    sync.Mutex
	held  map[uint64]*held // by position
	floor uint64           // everything up to here is acknowledged, as the server last said
}

// held is a record that the server waits for word of.
type held struct {
	position uint64
	of       int // records of the staged batch that it ends; 1: it is one by itself

	// Under the member's mutex: a record that is sent again while it is held gets the new
	// delivery's. One that the log has, and that has not been sent, has no reply subject.
	msg    *nats.Msg
	before int  // deliveries before this one
	queued bool // a worker has it, or will

	// Of the worker that has it.
	events   []enact.StoredEvent // decoded; of a batch nil
	done     uint64              // events that were handled, or have become dead letters
	failures int                 // of the event behind those
	givenUp  *givenUp            // that event, once it is not tried any more
}

// newHeld returns a record to hold. whole is false for one of a staged batch that is not its
// last: that one brings the whole, or nothing does.
func newHeld(msg *nats.Msg, position uint64) (h *held, whole bool) {
	h = &held{position: position, of: 1, msg: msg}
	p, staged := placeOf(item{Msg: msg, position: position})
	if staged {
		h.of = p.of
	}
	return h, !staged || p.index == p.of
}

// run serves one spell after another: an ordered group's member that is not the active
// one any more begins anew, with nothing in its hands.
func (m *member) run(ctx context.Context) error {
	for {
		if err := m.spell(ctx); err != errDeposed {
			return err
		}
	}
}

func (m *member) spell(ctx context.Context) error {
	m.held, m.pin, m.order = make(map[uint64]*held), "", order{}
	ctx, stop := context.WithCancelCause(m.within(ctx))
	defer stop(nil)
	workers := m.group.cfg.workers
	if m.group.mode == Ordered {
		workers = 1
	}
	m.pool = newPool(ctx, poolConfig[struct{}, *held]{
		workers: workers, run: m.handle, failed: stop,
		before: func(a, b *held) bool { return a.position < b.position },
	})
	var signs sync.WaitGroup
	signs.Go(func() {
		if err := m.signs(ctx); err != nil {
			stop(err)
		}
	})
	err := m.serve(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	stop(err)
	m.pool.close()
	signs.Wait()
	m.searches.Wait()
	m.giveBack(ctx, err)
	return err
}

// serve takes records from the server until ctx ends or an error lasts.
func (m *member) serve(ctx context.Context) error {
	for p := (pause{}); ; {
		err := m.ready(ctx)
		if err == nil {
			began := time.Now()
			err = m.pull(ctx)
			if time.Since(began) > longPause {
				p = pause{}
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case lasting(err) || errors.Is(err, errRefused):
			return err
		case err == errDeposed || m.pin != "" && (errors.Is(err, errUnpinned) || !m.pinned()):
			return errDeposed
		}
		if err := p.wait(ctx, m); err != nil {
			return err
		}
	}
}

// ready makes sure that the group is there, with its settings, on the stream that it was
// opened on. One that was removed is made again behind what is known to be acknowledged.
func (m *member) ready(ctx context.Context) error {
	state, err := m.State(ctx, 0)
	if err != nil {
		return err
	}
	if state.Incarnation != m.group.incarnation {
		return &StreamChangedError{Stream: m.stream, Want: m.group.incarnation, Have: state.Incarnation}
	}
	m.mu.Lock()
	again := start{kind: startToken, token: Token{incarnation: state.Incarnation, next: m.floor + 1}}
	m.mu.Unlock()
	info, err := m.group.ensure(ctx, m.site, again, state, false, true)
	if err != nil {
		return err
	}
	if m.pin != "" && !info.Created.Equal(m.created) {
		return errDeposed // the consumer that pinned it is gone
	}
	if !info.Created.Equal(m.created) {
		for _, position := range m.finished.Keys() {
			m.finished.Add(position, "")
		}
	}
	m.created = info.Created
	return m.note(info)
}

// answerAgain gives word once more of all that was handled and, as far as the server has said,
// is not acknowledged. It was lost with the server or the connection, and would be missed for as
// long as AckWait.
func (m *member) answerAgain() {
	m.mu.Lock()
	floor := m.floor
	m.mu.Unlock()
	for _, position := range m.finished.Keys() {
		if reply, ok := m.finished.Peek(position); ok && reply != "" && position > floor {
			_ = m.nc.Publish(reply, ackDone)
		}
	}
}

// note remembers how far everything is acknowledged.
func (m *member) note(info *consumerInfo) error {
	cfg, err := info.config()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.floor = info.acknowledged(cfg)
	return nil
}

// pull takes records until the server is lost.
func (m *member) pull(ctx context.Context) error {
	p := puller{
		site: m.site, subject: m.prefix + ".CONSUMER.MSG.NEXT." + m.stream + "." + m.group.name,
		batch: memberBatch, bytes: memberBytes, heartbeat: m.heartbeat, expiry: expiryFor(m.heartbeat), room: m.room, freed: m.freed,
	}
	if m.group.mode == Ordered {
		// A request has to come before the pin expires. What was sent to the active member
		// over a connection that was lost comes again, later than what follows it.
		p.group, p.pin, p.expiry = pinGroup, m.pin, m.group.cfg.failover/2
		m.order.gather()
		m.order.sequence = 0
		defer m.order.endSearch()
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	m.answerAgain()
	defer func() {
		// What has been sent is the member's, whatever ended this: to handle or to give back.
		for _, msg := range p.leave(ctx) {
			m.take(msg)
		}
	}()
	for {
		a, err := m.next(ctx, &p)
		if err != nil {
			return err
		}
		// A puller that is new has not heard from the server yet: what the one before knew holds.
		m.lease.Store(max(m.lease.Load(), int64(p.confirmed.Add(m.group.cfg.failover).Sub(m.began))))
		if a.msg != nil {
			if pin := a.msg.Header.Get("Nats-Pin-Id"); pin != m.pin {
				if m.pin != "" {
					// By a request from before it knew its pin; another one may have been pinned meanwhile.
					stintWithin(ctx, m.store).broken.Store(true)
				}
				m.pin, p.pin = pin, pin
				m.order.gather()
			}
			m.take(a.msg)
		}
		if m.order.gathering {
			if err := m.gather(ctx); err != nil {
				return err
			}
		}
	}
}

// next waits for the next thing from the server; while the member gathers, not for long.
func (m *member) next(ctx context.Context, p *puller) (arrival, error) {
	if !m.order.gathering {
		return p.next(ctx)
	}
	short, cancel := context.WithTimeout(ctx, gatherPause)
	defer cancel()
	a, err := p.next(short)
	if err != nil && err == short.Err() && ctx.Err() == nil {
		err = nil // what else has ended the puller is said once
	}
	return a, err
}

// room returns how many more records the member wants to hold: while all its workers
// are busy, none for a few only, each of which would cost a request. The active member
// of an ordered group always asks for one at least, or its pin would expire; the server
// does not send more than the group may hold.
func (m *member) room() int {
	cfg := &m.group.cfg
	workers, most, least := cfg.workers, heldPerWorker*cfg.workers, 0
	if m.group.mode == Ordered {
		workers, most, least = 1, cfg.maxInFlight, 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	left := most - len(m.held)
	if left < most/4 && int(m.active.Load()) >= workers {
		left = 0
	}
	return max(left, least)
}

// take queues a record.
func (m *member) take(msg *nats.Msg) {
	d, ok := parseDelivery(msg.Reply)
	if !ok {
		return // the server sends it again
	}
	h, whole := newHeld(msg, d.position)
	h.before = int(min(d.attempt, 1<<30)) - 1
	if m.group.mode == Ordered {
		m.order.saw(d)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.held[d.position]; ok {
		at.msg = msg
		return
	}
	if m.finished.Contains(d.position) || !whole {
		// It was handled, and word of that was lost; or the last record of its batch stands
		// for it.
		m.finished.Add(d.position, msg.Reply)
		m.answer(msg, ackDone)
		return
	}
	m.held[d.position] = h
	if m.group.mode == Parallel || d.position < m.order.cursor {
		m.queue(h)
	}
}

// queue gives a record to the workers, all of an ordered group to one after another. It
// is for the one who holds the mutex.
func (m *member) queue(h *held) {
	if h.queued {
		return
	}
	h.queued = true
	key := ""
	if m.group.mode == Parallel {
		key = h.msg.Subject
	}
	m.pool.put([]keyed[*held]{{key: key, unit: h}})
}

// signs tells the server of the records that are held, asks it how far everything is
// acknowledged, and looks for a permission that is missing.
func (m *member) signs(ctx context.Context) error {
	ticker := time.NewTicker(m.group.cfg.ackWait / acksPerAckWait)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		m.mu.Lock()
		replies := make([]string, 0, len(m.held))
		for _, h := range m.held {
			if h.msg.Reply != "" {
				replies = append(replies, h.msg.Reply)
			}
		}
		m.mu.Unlock()
		for _, reply := range replies {
			_ = m.nc.Publish(reply, ackProgress)
		}
		if reply := m.answered.Load(); reply != nil {
			replies = append(replies, *reply)
		}
		for _, reply := range replies {
			if err := m.Denied(reply); err != nil {
				return err
			}
		}
		if info, err := m.consumerInfo(ctx, m.group.name); err == nil {
			if err := m.note(info); err != nil {
				return err
			}
		}
	}
}

// giveBack returns what is held at the end of a spell, for other members.
func (m *member) giveBack(ctx context.Context, end error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), givebackTimeout)
	defer cancel()
	if m.pin != "" && end != errDeposed {
		// First: what is given back would come here again.
		_ = m.Request(ctx, "CONSUMER.UNPIN."+m.stream+"."+m.group.name, map[string]string{"group": pinGroup}, nil)
	}
	// A question about the consumer makes the server forget this member's requests. One of
	// them that is left takes what is given back, cannot be answered, and puts it behind the
	// rest (server/consumer.go, nextWaiting).
	_, _ = m.consumerInfo(ctx, m.group.name)
	// In the order of positions, in which the server sends them again.
	for _, position := range slices.Sorted(maps.Keys(m.held)) {
		m.answer(m.held[position].msg, ackBack)
	}
	_ = m.nc.FlushWithContext(ctx)
}
