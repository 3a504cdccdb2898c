package record

import (
	"errors"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// ParseNext decodes a message of the execution as the record that follows t. That there is
// but one link which such a record can carry makes it a good deal cheaper than [Parse] and
// the checks of what was parsed: the link is not read, it is made and compared. ok says that
// the record is what [Parse] returns, that it continues t in its sequence, its number,
// its back list ([Record.LinksTo]) and its place in its batch ([Record.Torn]), and that its
// chain value is right ([Record.Follows]).
// Otherwise Parse tells what is wrong, and whether anything is.
func ParseNext(t Tail, tenant enact.TenantID, execution enact.ExecutionID, position uint64, h nats.Header, data []byte) (r *Record, ok bool) {
	if _, there := h[HeaderVersion]; there {
		return nil, false
	}
	r = blank(tenant, execution, position, data)
	if err := r.parseHeaders(h, &t); err != nil {
		return nil, false
	}
	return r, true
}

var errNotNext = errors.New("not the next record")

// nextLink returns the link of the record after t, but for its chain value.
func nextLink(t Tail, commit uuid.UUID) Link {
	if t.Number == 0 {
		t.Origin = commit
	}
	return Link{Number: t.Number + 1, Origin: t.Origin, Back: t.NextBack()}
}

// carries computes the record's chain value and reports whether text is its link, which is
// otherwise known.
func (r *Record) carries(text string, prev enact.Chain) bool {
	// Records of its own staged batch are named by distance: the text does not have their
	// positions.
	i := 0
	for n := r.Link.Number - 1; n > 0; n &= n - 1 {
		distance := r.Link.Number - n
		if distance >= uint64(r.Commit.Index) {
			break
		}
		if r.Link.Back[i].Position+distance != r.Position {
			return false
		}
		i++
	}
	r.Link.Chain = r.ChainAfter(prev)
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	h.buf = appendLink(h.buf[:0], &r.Link, r.Commit.Index)
	return string(h.buf) == text
}
