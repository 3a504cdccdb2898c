package jetstore

import (
	"context"

	"github.com/enactlog/enact/internal/record"
)

// mark is a record whose position is known.
type mark struct{ number, position uint64 }

func markOf(r *record.Record) mark { return mark{r.Link.Number, r.Position} }

// marks finds the positions of records ahead of a reader, so that it knows how dense a
// stretch is before the server has to look through it. The watermark's back list names
// records at halving distances, theirs name nearer ones: a point read for a mark.
type marks struct {
	s     *Store
	key   execution
	last  *record.Record // the watermark
	known []mark         // records ahead with known positions, the nearest last
}

// isDense reports whether few other messages lie between the records of a stretch.
func isDense(from, to mark) bool {
	return to.position-from.position <= denseGap*(to.number-from.number)
}

// othersBetween returns how many other messages lie between the records of a stretch.
func othersBetween(from, to mark) uint64 {
	return to.position - from.position - (to.number - from.number)
}

// nearest forgets the marks up to base and returns the nearest one ahead of it: the
// watermark, if no other is known.
func (ms *marks) nearest(base mark) mark {
	for len(ms.known) > 0 && ms.known[len(ms.known)-1].number <= base.number {
		ms.known = ms.known[:len(ms.known)-1]
	}
	if len(ms.known) == 0 {
		ms.known = append(ms.known, mark{ms.last.Link.Number, ms.last.Position})
	}
	return ms.known[len(ms.known)-1]
}

// ahead returns a mark at most n records ahead of base, the farthest that is known or a
// jump away.
func (ms *marks) ahead(ctx context.Context, base mark, n uint64) (mark, error) {
	for {
		top := ms.nearest(base)
		if top.number-base.number <= n {
			return top, nil
		}
		r, err := ms.at(ctx, top)
		if err != nil {
			return mark{}, err
		}
		// The farthest jump that stays ahead: it at least halves the way.
		i := 0
		nearer := mark{}
		for number := range record.Numbers(top.number) {
			if number <= base.number {
				break
			}
			nearer = mark{number, r.Link.Back[i].Position}
			i++
		}
		ms.known = append(ms.known, nearer)
	}
}

// at reads the record of a mark.
func (ms *marks) at(ctx context.Context, m mark) (*record.Record, error) {
	if m.position == ms.last.Position {
		return ms.last, nil
	}
	r, err := ms.s.recordAt(ctx, ms.key, m.position)
	if err == nil && r.Link.Number != m.number {
		err = r.Corrupt("link: record %d stands where a later record's link has record %d", r.Link.Number, m.number)
	}
	return r, err
}
