package consumer

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// poolConfig is what a pool is made of. L is what is kept for a key, U a unit of work.
type poolConfig[L, U any] struct {
	workers int
	// inOrder makes one worker run all units in the order in which they were put. None of
	// them may ask to be run again.
	inOrder bool
	keep    int // idle lanes that are kept
	// run runs one unit. It asks for the unit to be run again after a wait, or ends the
	// pool with an error.
	run func(ctx context.Context, key string, state *L, unit U) (again time.Duration, err error)
	// begin and forget are called with the state of a lane that is new, and of one that is
	// forgotten, under the pool's mutex; nil: nothing is to be done.
	begin, forget func(state *L)
	// before reports whether a is to run before b, of the same key, which was put earlier;
	// nil: never.
	before func(a, b U) bool
	failed func(error) // is told the first error of a unit
}

// pool runs units of work by key: those of one key one after another in the order in
// which they were put, those of different keys in parallel, as many at a time as there
// are workers. A key whose work is slow holds up nobody else's, as long as there is
// room for what is waiting, which is for the one who puts to watch.
//
// A lane keeps what is known of its key between units. When there are more than keep, the
// idle ones that were unused for longest are forgotten; with keep 0, as soon as they are idle.
type pool[L, U any] struct {
	poolConfig[L, U]

	mu     sync.Mutex
	wake   sync.Cond // a lane is ready, or the pool ends
	lanes  *simplelru.LRU[string, *lane[L, U]]
	ready  []*lane[L, U] // in order: once for each unit
	closed bool
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

type lane[L, U any] struct {
	key   string
	state L
	queue []U
	spare []U         // the queue's other array
	busy  bool        // ready, running or parked
	timer *time.Timer // of a parked lane
}

// newPool starts the workers. close must be called. The context of a unit ends with
// ctx, with close, and with the first error of a unit.
func newPool[L, U any](ctx context.Context, cfg poolConfig[L, U]) *pool[L, U] {
	if cfg.inOrder {
		cfg.workers = 1
	}
	p := &pool[L, U]{poolConfig: cfg}
	p.wake.L = &p.mu
	// The bound is kept by trim, which spares lanes that are busy.
	p.lanes, _ = simplelru.NewLRU[string, *lane[L, U]](math.MaxInt, nil)
	ctx, p.cancel = context.WithCancel(ctx)
	for range cfg.workers {
		p.ended.Go(func() { p.work(ctx) })
	}
	return p
}

// put queues units, each under its key. It never waits.
func (p *pool[L, U]) put(units []keyed[U]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range units {
		key := units[i].key
		l, ok := p.lanes.Get(key)
		if !ok {
			l = &lane[L, U]{key: key}
			if p.begin != nil {
				p.begin(&l.state)
			}
			p.lanes.Add(key, l)
		}
		l.queue = append(l.queue, units[i].unit)
		for j := len(l.queue) - 1; p.before != nil && j > 0 && p.before(l.queue[j], l.queue[j-1]); j-- {
			l.queue[j], l.queue[j-1] = l.queue[j-1], l.queue[j]
		}
		if !l.busy || p.inOrder {
			l.busy = true
			p.ready = append(p.ready, l)
			p.wake.Signal()
		}
	}
	if p.keep > 0 {
		p.trim()
	}
}

// keyed is a unit with its key.
type keyed[U any] struct {
	key  string
	unit U
}

// trim forgets idle lanes beyond keep. It looks at as many as are beyond: those among
// them that are busy become the newest.
func (p *pool[L, U]) trim() {
	for range p.lanes.Len() - p.keep {
		key, l, _ := p.lanes.GetOldest()
		if l.busy {
			p.lanes.Get(key)
			continue
		}
		p.lanes.Remove(key)
		if p.forget != nil {
			p.forget(&l.state)
		}
	}
}

func (p *pool[L, U]) work(ctx context.Context) {
	returned := false
	defer func() {
		if !returned {
			p.fail(errGoexit)
		}
	}()
	err := guarded(func() error {
		p.loop(ctx)
		return nil
	})
	if returned = true; err != nil {
		p.fail(err)
	}
}

// errGoexit says that a unit ended its goroutine, as a test's FailNow does.
var errGoexit = errors.New("consumer: a handler ended its goroutine")

func (p *pool[L, U]) loop(ctx context.Context) {
	var l *lane[L, U]
	var units []U
	var again time.Duration
	for {
		if l, units = p.turn(l, units, again); l == nil {
			return
		}
		again = 0
		done := 0
		for _, unit := range units {
			if ctx.Err() != nil {
				return
			}
			var err error
			if again, err = p.run(ctx, l.key, &l.state, unit); err != nil {
				p.fail(err)
				return
			}
			if again > 0 {
				break
			}
			done++
		}
		units = units[done:]
	}
}

// turn puts back the lane that a worker is done with, with the units that are left, and
// waits for another.
func (p *pool[L, U]) turn(l *lane[L, U], left []U, again time.Duration) (*lane[L, U], []U) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l != nil {
		p.putBack(l, left, again)
	}
	for len(p.ready) == 0 && !p.closed {
		p.wake.Wait()
	}
	if p.closed {
		return nil, nil
	}
	l = p.ready[0]
	p.ready[0] = nil
	p.ready = p.ready[1:]
	if p.inOrder {
		l.spare = append(l.spare[:0], l.queue[0])
		l.queue = slices.Delete(l.queue, 0, 1)
	} else {
		l.queue, l.spare = l.spare[:0], l.queue
	}
	return l, l.spare
}

// putBack is for the one who holds the mutex.
func (p *pool[L, U]) putBack(l *lane[L, U], left []U, again time.Duration) {
	if len(left) > 0 {
		l.queue = append(append([]U(nil), left...), l.queue...)
	}
	clear(l.spare) // keeps nothing of what is done
	switch {
	case again > 0 && !p.closed:
		l.timer = time.AfterFunc(again, func() { p.unpark(l) })
	case len(l.queue) > 0:
		if p.inOrder {
			return // it is ready for each already
		}
		p.ready = append(p.ready, l)
	default:
		l.busy = false
		if p.keep == 0 {
			p.lanes.Remove(l.key)
		}
	}
}

func (p *pool[L, U]) unpark(l *lane[L, U]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.timer = nil
	p.ready = append(p.ready, l)
	p.wake.Signal()
}

// fail ends the pool's work with an error.
func (p *pool[L, U]) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.failed(err)
	}
	p.end()
}

// end is for the one who holds the mutex.
func (p *pool[L, U]) end() {
	p.cancel()
	p.closed = true
	p.wake.Broadcast()
}

// close ends the work and waits for the units that run. What waits is not run.
func (p *pool[L, U]) close() {
	p.mu.Lock()
	p.end()
	for _, l := range p.lanes.Values() {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	p.mu.Unlock()
	p.ended.Wait()
}
