package consumer

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// order is what the active member of an ordered group knows of the order in which it
// hands records over.
//
// A record is handed over when all that precede it in the log, as far as the group wants
// them, are handed over or were handled. The member knows that of those up to the group's
// ack floor: each member acknowledges what it has handled. From there on it has to have
// each record itself. So nothing comes for the first time before what precedes it,
// whatever another member does at the same time, and whatever becomes of deliveries and of
// word of them.
//
// First deliveries come in the order of the log, and deliveries are numbered (server,
// consumer.go: getNextMsg, deliverMsg). As long as the numbers have no gap, nothing lies
// between two records that are new; that costs no request. Where that is broken (the member
// has become the active one, its connection or a delivery was lost, the group's consumer has
// another leader), it gathers: first until it holds as many records as the server waits for
// word of, for what others hold comes once they have given it back, or the server misses
// word of it; with the count of its deliveries. Then it looks through the log, from what is
// handed over to the last record that it holds. A record there that it neither holds nor has
// handled was handled by another member and acknowledged out of order, or is still in its
// hands, or lost on the way: which, the server does not tell. It is handed over from the log.
type order struct {
	cursor    uint64 // what precedes this position is handed over, or was handled
	sequence  uint64 // of the last delivery
	pointer   uint64 // position up to which the deliveries so far leave nothing out; 0: not known
	gathering bool
	target    uint64 // position up to which the log is looked through; 0: not yet
	search    *search
}

// gather begins to gather, from the start.
func (o *order) gather() {
	o.endSearch()
	o.gathering, o.pointer, o.target = true, 0, 0
}

// saw notes a delivery.
func (o *order) saw(d delivery) {
	// What was sent before is no news, except to one who did not see all that was sent.
	proven := o.pointer > 0 && d.sequence == o.sequence+1 && (d.attempt == 1 || d.position <= o.pointer)
	o.sequence = d.sequence
	switch {
	case proven:
		o.pointer = max(o.pointer, d.position)
		if !o.gathering {
			o.cursor = o.pointer + 1
		}
	case o.gathering || d.position >= o.cursor:
		o.gather()
	default:
		o.pointer = 0
	}
}

// gather hands over what is held as far as nothing is missing before it. It returns errors
// that last.
func (m *member) gather(ctx context.Context) error {
	if m.order.target == 0 && !m.complete(ctx) {
		return nil // it is asked again
	}
	return m.walk(ctx)
}

// complete reports whether the member holds all that the server waits for word of.
func (m *member) complete(ctx context.Context) bool {
	info, err := m.consumerInfo(ctx, m.group.name)
	if err != nil {
		return false
	}
	cfg, err := info.config()
	if err != nil || cfg.Metadata[metaRemade] != "" && info.Now.Sub(info.Created) < m.group.cfg.failover {
		// A consumer that was made again knows nothing of what the active member of the one
		// before held: that one has to have noticed first.
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	sent, last := 0, uint64(0)
	for _, h := range m.held {
		if h.msg.Reply != "" {
			sent++
		}
		last = max(last, h.position)
	}
	// An answer from before the last delivery is that of a leader which is none any more.
	o := &m.order
	if info.InFlight > sent || info.Delivered.Consumer < o.sequence {
		return false
	}
	o.cursor = max(o.cursor, info.acknowledged(cfg)+1)
	o.target = max(last, o.cursor-1)
	o.sequence = info.Delivered.Consumer
	if o.target >= info.Delivered.Stream {
		o.pointer = o.target
	}
	return true
}

// walk hands over what the search finds, as far as that has come.
func (m *member) walk(ctx context.Context) error {
	o := &m.order
	for o.cursor <= o.target {
		if o.search == nil {
			o.search = m.searchLog(ctx, o.cursor, o.target)
		}
		select {
		case items, more := <-o.search.found:
			if !more && o.search.err != nil {
				return o.search.err
			}
			if !more {
				o.cursor = o.target + 1 // its last record is not there any more
			}
			for _, it := range items {
				if it.position >= o.cursor && it.position <= o.target {
					m.pass(it)
					o.cursor = it.position + 1
				}
			}
		default:
			return nil
		}
	}
	o.endSearch()
	m.mu.Lock()
	defer m.mu.Unlock()
	o.gathering, o.target = false, 0
	if o.pointer > 0 {
		o.cursor = o.pointer + 1 // what has come meanwhile is proven
	}
	for _, position := range slices.Sorted(maps.Keys(m.held)) {
		if position < o.cursor {
			m.queue(m.held[position])
		}
	}
	return nil
}

// pass hands over a record that the log has.
func (m *member) pass(it item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.held[it.position]
	if h == nil {
		var whole bool
		h, whole = newHeld(&nats.Msg{Subject: it.Subject, Header: it.Header, Data: it.Data}, it.position)
		if m.finished.Contains(it.position) || !whole {
			return
		}
		m.held[it.position] = h
	}
	m.queue(h)
}

// search is a look through the log.
type search struct {
	found chan []item // closed at the end
	err   error       // why it has ended, once found is closed; nil: the target was reached
	stop  context.CancelFunc
}

// searchLog looks through the log from one position to another, which the group wants.
func (m *member) searchLog(ctx context.Context, from, to uint64) *search {
	ctx, cancel := context.WithCancel(ctx)
	s := &search{found: make(chan []item, 1), stop: cancel}
	log := &feed{
		site: m.site, incarnation: m.group.incarnation, position: from - 1,
		cfg: feedConfig{
			common: common{heartbeat: m.group.cfg.heartbeat, label: m.group.name}, kind: KindFollow, filters: m.group.filters,
			batch: memberBatch, bytes: memberBytes,
		},
	}
	m.searches.Go(func() {
		defer log.close(ctx)
		defer close(s.found)
		for log.position < to {
			var items []item
			if items, s.err = log.next(ctx, nil, memberBatch); s.err != nil {
				return
			}
			select {
			case s.found <- items:
				m.wake()
			case <-ctx.Done():
				s.err = ctx.Err()
				return
			}
		}
	})
	return s
}

// endSearch ends the look through the log. The member waits for that at the end of a spell.
func (o *order) endSearch() {
	if o.search != nil {
		o.search.stop()
		o.search = nil
	}
}

// pinned reports whether the server cannot have pinned another member yet, unless the
// group's consumer has another leader. A process that stood still for a while finds here
// that it did.
func (m *member) pinned() bool { return int64(time.Since(m.began)) < m.lease.Load() }
