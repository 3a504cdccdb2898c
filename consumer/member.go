package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// What a member asks the server for at a time, and how much it holds for each worker.
const (
	memberBatch     = 64
	memberBytes     = 4 << 20
	heldPerWorker   = 8 // records that wait or are handled
	leastHeartbeat  = 100 * time.Millisecond
	acksPerAckWait  = 3 // signs of life for a record
	givebackTimeout = 2 * time.Second
)

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
		reader: reader{site: siteOf(att), store: g.store}, group: g, handler: handler,
		heartbeat: g.cfg.heartbeat, floor: g.floor, freed: make(chan struct{}, 1),
	}
	if g.mode == Ordered {
		m.heartbeat = max(min(m.heartbeat, g.cfg.failover/8), leastHeartbeat)
	}
	return callersEnd(ctx, m.run(ctx))
}

// member is one Run of a group.
type member struct {
	reader
	group     *Group
	handler   Handler
	heartbeat time.Duration
	pin       string                 // by which the server knows the active member; "": standing by
	heard     time.Time              // when the server last sent something
	freed     chan struct{}          // of one place: a record is done with
	active    atomic.Int32           // records that are handled just now
	answered  atomic.Pointer[string] // the last delivery that was acknowledged

	mu    sync.Mutex
	held  map[uint64]*held // by position
	floor uint64           // everything up to here is acknowledged, as the server last said
}

// held is a record that the server waits for word of.
type held struct {
	position uint64
	of       int // records of the staged batch that it ends; 1: it is one by itself
	place    int

	// Under the member's mutex: a record that is sent again while it is held gets the new
	// delivery's.
	msg    *nats.Msg
	before int // deliveries before this one

	// Of the worker that has it.
	events   []enact.StoredEvent // decoded; of a batch nil
	done     uint64              // events that were handled, or have become dead letters
	failures int                 // of the event behind those
}

// run serves one spell after another: an ordered group's member that another one has
// taken the place of begins anew, with nothing in its hands.
func (m *member) run(ctx context.Context) error {
	for {
		if err := m.spell(ctx); err != errDeposed {
			return err
		}
	}
}

func (m *member) spell(ctx context.Context) error {
	m.held, m.pin, m.heard = make(map[uint64]*held), "", time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	workers := m.group.cfg.workers
	if m.group.mode == Ordered {
		workers = 1
	}
	pool := newPool(ctx, poolConfig[struct{}, *held]{
		workers: workers, run: m.handle, failed: stop,
		before: func(a, b *held) bool { return a.position < b.position },
	})
	var signs sync.WaitGroup
	signs.Go(func() {
		if err := m.signs(ctx); err != nil {
			stop(err)
		}
	})
	err := m.serve(ctx, pool)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	stop(err)
	pool.close()
	signs.Wait()
	m.giveBack(ctx, err)
	return err
}

// serve takes records from the server until ctx ends or an error lasts.
func (m *member) serve(ctx context.Context, pool *pool[struct{}, *held]) error {
	for p := (pause{}); ; {
		err := m.ready(ctx)
		if err == nil {
			began := time.Now()
			err = m.pull(ctx, pool)
			if time.Since(began) > longPause {
				p = pause{}
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errUnpinned):
			if m.pin != "" {
				return errDeposed
			}
		case lasting(err) || errors.Is(err, errRefused):
			return err
		case m.pin != "" && time.Since(m.heard) > m.group.cfg.failover:
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
	info, err := m.group.ensure(ctx, m.site, again, state, false)
	if err != nil {
		return err
	}
	return m.note(info)
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
func (m *member) pull(ctx context.Context, pool *pool[struct{}, *held]) error {
	p := puller{
		site: m.site, subject: m.prefix + ".CONSUMER.MSG.NEXT." + m.stream + "." + m.group.name,
		batch: memberBatch, bytes: memberBytes, heartbeat: m.heartbeat, expiry: expiryFor(m.heartbeat),
	}
	if m.group.mode == Ordered {
		// The server holds back all but one. A request has to come before the pin expires.
		p.batch, p.group, p.pin, p.expiry = 1, pinGroup, m.pin, m.group.cfg.failover/2
	} else {
		p.room, p.freed = m.room, m.freed
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	defer func() {
		// What has been sent is the member's, whatever ended this: to handle or to give back.
		for _, msg := range p.leave(ctx) {
			m.take(msg, pool)
		}
	}()
	for {
		a, err := p.next(ctx)
		if err != nil {
			return err
		}
		m.heard = time.Now()
		if a.msg == nil {
			continue
		}
		if pin := a.msg.Header.Get("Nats-Pin-Id"); pin != "" {
			m.pin, p.pin = pin, pin
		}
		m.take(a.msg, pool)
	}
}

// room returns how many more records the member wants to hold: while all its workers
// are busy, none for a few only, each of which would cost a request.
func (m *member) room() int {
	workers := m.group.cfg.workers
	most := heldPerWorker * workers
	m.mu.Lock()
	defer m.mu.Unlock()
	left := most - len(m.held)
	if left < most/4 && int(m.active.Load()) >= workers {
		return 0
	}
	return left
}

// take queues a record.
func (m *member) take(msg *nats.Msg, pool *pool[struct{}, *held]) {
	d, ok := parseDelivery(msg.Reply)
	if !ok {
		return // the server sends it again
	}
	h := &held{position: d.position, of: 1, place: 1}
	if p, staged := placeOf(item{Msg: msg, position: d.position}); staged {
		if h.of, h.place = p.of, p.index; p.index < p.of {
			// The last record of the batch brings the whole, or nothing does.
			m.answer(msg, ackDone)
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.held[d.position]; ok {
		at.msg = msg
		return
	}
	h.msg, h.before = msg, int(min(d.attempt, 1<<30))-1
	m.held[d.position] = h
	pool.put([]keyed[*held]{{key: msg.Subject, unit: h}})
}

// handle handles a record in a worker: it returns a wait before it is to be tried again,
// or an error that ends the member.
func (m *member) handle(ctx context.Context, _ string, _ *struct{}, h *held) (again time.Duration, err error) {
	m.active.Add(1)
	defer m.active.Add(-1)
	m.mu.Lock()
	msg := h.msg
	m.mu.Unlock()
	n := uint64(0)
	pass := func(ev enact.StoredEvent) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n++; n <= h.done {
			return nil
		}
		if m.group.selects == nil || m.group.selects(ev.Event) {
			if err := m.attempt(ctx, h, ev); err != nil {
				return err
			}
		}
		h.done, h.failures = n, 0
		return nil
	}
	err = m.events(ctx, msg, h, pass)
	if ctx.Err() != nil {
		return 0, nil // it is given back
	}
	if unreadable(err) {
		// The record as a whole is what failed.
		err = m.failed(ctx, h, unreadEvent(m.reader, msg, h.position), err)
	}
	switch wait, retry := errors.AsType[*tryAgain](err); {
	case retry:
		return wait.after, nil
	case err != nil && (stops(err) || lasting(err)):
		return 0, err
	case err != nil:
		// The log could not be read just now.
		return longPause, nil
	}
	m.finish(h)
	return 0, nil
}

// tryAgain says that an event is to be tried again.
type tryAgain struct{ after time.Duration }

func (e *tryAgain) Error() string { return fmt.Sprintf("consumer: again in %v", e.after) }

// events passes on the events of a record, or of the batch that it ends.
func (m *member) events(ctx context.Context, msg *nats.Msg, h *held, pass func(enact.StoredEvent) error) error {
	if h.of > 1 {
		var unknown history
		unknown.floor = h.position // nothing is known: from the batch's first record on
		return m.reader.events(ctx, msg.Subject, &unknown, h.position-uint64(h.of-1), h.position, pass)
	}
	if h.events == nil {
		r, err := m.parse(msg, h.position)
		if err != nil {
			return err
		}
		if h.events, err = r.Events(ctx, m.store.Codecs()); err != nil {
			return err
		}
	}
	for _, ev := range h.events {
		if err := pass(ev); err != nil {
			return err
		}
	}
	return nil
}

// attempt tries one event. nil means that it is done with.
func (m *member) attempt(ctx context.Context, h *held, ev enact.StoredEvent) error {
	cfg := &m.group.cfg
	if most := cfg.maxDeliveries; most > 0 && h.before >= most {
		return m.bury(ctx, ev, h.before, errNoAnswer)
	}
	err := cfg.pass(ctx, m.handler, ev, h.before+h.failures+1)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case stops(err):
		cfg.onFailure(Failure{Group: m.group.name, Err: err})
		return err
	}
	return m.failed(ctx, h, ev, err)
}

// errNoAnswer is the reason of a dead letter whose deliveries were not answered.
var errNoAnswer = errors.New("no member answered: it crashed, hung, was cut off or was stopped each time")

// failed counts a failed attempt and says whether there is to be another one.
func (m *member) failed(ctx context.Context, h *held, ev enact.StoredEvent, cause error) error {
	cfg := &m.group.cfg
	h.failures++
	attempts := h.before + h.failures
	if cfg.maxDeliveries > 0 && attempts >= cfg.maxDeliveries {
		return m.bury(ctx, ev, attempts, cause)
	}
	again := cfg.backoff[min(attempts, len(cfg.backoff))-1]
	cfg.onFailure(Failure{Group: m.group.name, Err: cause, Again: again})
	return &tryAgain{again}
}

// bury makes a dead letter of an event. Only when that is stored is it done with.
func (m *member) bury(ctx context.Context, ev enact.StoredEvent, attempts int, cause error) error {
	if err := m.storeDeadLetter(ctx, newDeadLetter(m.group.name, ev, attempts, cause)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.group.cfg.onFailure(Failure{Group: m.group.name, Err: errors.Join(cause, err), Again: longPause})
		return &tryAgain{longPause}
	}
	m.group.cfg.onFailure(Failure{Group: m.group.name, Err: cause, DeadLetter: true})
	return nil
}

// finish acknowledges a record.
func (m *member) finish(h *held) {
	m.mu.Lock()
	delete(m.held, h.position)
	msg := h.msg
	m.mu.Unlock()
	m.answer(msg, ackDone)
	m.answered.Store(&msg.Reply)
	select {
	case m.freed <- struct{}{}:
	default:
	}
}

// answer sends word of a delivery. One that is lost is missed by the server, which sends
// the record again.
func (m *member) answer(msg *nats.Msg, what []byte) { _ = m.nc.Publish(msg.Reply, what) }

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
			replies = append(replies, h.msg.Reply)
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

// giveBack returns what is held at the end of a spell, for other members, unless
// another one has or may have it.
func (m *member) giveBack(ctx context.Context, end error) {
	if end == errDeposed {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), givebackTimeout)
	defer cancel()
	if m.pin != "" {
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

// unreadEvent stands for the events of a record that cannot be read.
func unreadEvent(rd reader, msg *nats.Msg, position uint64) enact.StoredEvent {
	ev := enact.StoredEvent{Position: position}
	ev.TenantID, ev.ExecutionID, _ = rd.store.Subjects().ParseExecution(msg.Subject)
	return ev
}
