package jetstore

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// maxRefusals is how many refusals are kept: more calls than that would have to be refused
// within tryTimeout for one to miss its own.
const maxRefusals = 1024

// refusals keeps what the server refused last for want of permission, on a connection of the
// store's own. It says so apart from the request, which nobody answers, and the connection
// itself remembers no more than the last thing that went wrong.
type refusals struct {
	n atomic.Uint64 // refusals so far

	mu   sync.Mutex
	kept []error // refusal i stands at i % maxRefusals
}

// hearRefusals keeps the refusals of a connection from now on. The handler that it has
// hears of them as before.
func hearRefusals(nc *nats.Conn) *refusals {
	r := new(refusals)
	told := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			r.add(err)
		}
		if told != nil {
			told(nc, sub, err)
		}
	})
	return r
}

func (r *refusals) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.n.Load(); n < maxRefusals {
		r.kept = append(r.kept, err)
	} else {
		r.kept[n%maxRefusals] = err
	}
	r.n.Add(1)
}

// count returns the number of refusals so far; 0 if nobody hears them.
func (r *refusals) count() uint64 {
	if r == nil {
		return 0
	}
	return r.n.Load()
}

// since returns the refusal of a message to the subject that was heard after so many others,
// nil if none was.
func (r *refusals) since(count uint64, subject string) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.n.Load()
	for i := max(count, n-min(n, maxRefusals)); i < n; i++ {
		if err := r.kept[i%maxRefusals]; forbids(err, subject) {
			return err
		}
	}
	return nil
}
