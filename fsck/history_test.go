package fsck

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/record"
)

// What is kept of an execution is bounded however many messages stand on its subject that are
// no records, as where a newer release has written; and what follows is told as before.
func TestDamagedIsBounded(t *testing.T) {
	const n = 100_000
	spoiled := func() *history {
		h := &history{Tail: record.Tail{Sequence: 1, Position: 5, Number: 1}, Commit: record.Commit{Index: 1, Of: 1}}
		for p := uint64(6); p < 6+2*n; p += 2 {
			h.damaged(p)
		}
		require.LessOrEqual(t, cap(h.Trouble.Damaged), 2*mostDamaged)
		return h
	}
	behind := func(missing, named uint64) *record.Record {
		return &record.Record{
			Sequence: 2 + missing, Position: 6 + 2*n,
			Link: record.Link{Number: 2 + missing, Back: []record.Ref{{Position: named}}},
		}
	}
	for _, tt := range []struct {
		missing, named uint64
		hole           bool
	}{
		{missing: n, named: 4 + 2*n},
		{missing: n, named: 6},
		{missing: n + 1, named: 4 + 2*n, hole: true},
		{missing: n, named: 7, hole: true}, // there stands something of another execution
	} {
		h := spoiled()
		h.jump(behind(tt.missing, tt.named))
		require.Equal(t, tt.hole, h.Trouble.Jump != nil, "%+v", tt)
	}
	var found []Kind
	tell := func(f Finding) { found = append(found, f.Kind) }
	for _, head := range []uint64{6, 4 + 2*n} {
		h := spoiled()
		h.Heads = []kept{{Sequence: n, Position: head}}
		h.end("e", 1, tell)
		require.Empty(t, found)
	}
	h := spoiled()
	h.Heads = []kept{{Sequence: n, Position: 7}}
	h.end("e", 1, tell)
	require.Equal(t, []Kind{MissingEnd}, found)
}
