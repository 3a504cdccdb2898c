package consumer

import (
	"strconv"
	"strings"

	"github.com/enactlog/enact/internal/record"
)

// batchBytes is how much of a staged batch is kept until its last record comes. A larger
// one, of which there may be 128 MiB, is read back from the log then.
const batchBytes = 4 << 20

// unit is what is handled as a whole: one record, or the records of a staged batch.
type unit struct {
	entry *entry
	one   item   // the record; of a batch the last that came
	batch []item // the records of a batch that is kept; nil: one record
	back  bool   // one stands for what is to be read from the log: a batch that was not kept, or is torn
	first uint64 // position of the first record of the batch; of a single record its own
	last  uint64 // position of the last
	skip  uint64 // events at the beginning that were handled before
}

// assembler puts staged batches together. A consumer may be sent the first records of a
// batch before the last one is there (server/stream.go), and need not be sent the rest
// ever, if the batch is torn. Their positions are consecutive, so that at any time at
// most one batch is open.
type assembler struct {
	open *unit // nil: none
	last item  // of the open batch: the record that came last
	id   string
	of   int
	size int // bytes of the records that are kept
}

// place is what Enact-Commit says of a record, if it is one of several.
type place struct {
	id        string
	index, of int
}

// placeOf returns a record's place in its staged batch; ok is false for a record by
// itself, and for one whose header is not what it should be, which parsing it says.
func placeOf(m item) (p place, ok bool) {
	v := m.Header[record.HeaderCommit]
	if len(v) != 1 || strings.HasSuffix(v[0], " 1/1") {
		return p, false
	}
	id, rest, _ := strings.Cut(v[0], " ")
	index, of, _ := strings.Cut(rest, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(of)
	if err1 != nil || err2 != nil || i < 1 || n < 2 || i > n || n > record.MaxStaged {
		return p, false
	}
	return place{id: id, index: i, of: n}, true
}

// continues reports whether m is the next record of the open batch.
func (a *assembler) continues(m item, p place) bool {
	return a.open != nil && p.id == a.id && p.of == a.of && m.position == a.last.position+1 &&
		m.position-a.open.first == uint64(p.index-1) && m.Subject == a.last.Subject
}

// breakOff returns the open batch, which what came last does not continue: the log says
// what has become of it.
func (a *assembler) breakOff() unit {
	u := *a.open
	u.one, u.last, u.batch, u.back = a.last, u.first+uint64(a.of-1), nil, true
	a.open = nil
	return u
}

// begin opens a batch with its first record that came.
func (a *assembler) begin(m item, p place, e *entry) {
	a.open = &unit{entry: e, first: m.position - uint64(p.index-1), back: p.index > 1}
	a.id, a.of, a.size = p.id, p.of, 0
	a.add(m)
}

// add adds a record to the open batch. full is true once more has come than is kept.
func (a *assembler) add(m item) (full bool) {
	a.last = m
	if a.open.back {
		return false
	}
	a.size += m.Size()
	if a.size > batchBytes {
		a.open.batch, a.open.back = nil, true
		return true
	}
	a.open.batch = append(a.open.batch, m)
	return false
}

// complete returns the open batch, whose last record has come.
func (a *assembler) complete() unit {
	u := *a.open
	u.one, u.last = a.last, a.last.position
	a.open = nil
	return u
}
