package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// keys looks for an idempotency key at most a few appends back: how far a store
// looks is its own to say.
func keys() []sentence {
	return []sentence{
		{"an append with a known key and the same event returns its sequence and stores nothing", func(f *fixture) {
			f.append(note(1))
			require.Equal(f.t, uint64(2), f.append(note(2), enact.WithIdempotencyKey("k")))
			require.Equal(f.t, uint64(2), f.append(note(2), enact.WithIdempotencyKey("k")))
			f.append(note(3))
			require.Equal(f.t, uint64(2), f.append(note(2), enact.WithIdempotencyKey("k")))
			f.holds(notes(1, 3)...)
		}},
		{"a batch with a known key and the same events returns its first sequence and stores nothing", func(f *fixture) {
			f.append(note(0))
			require.Equal(f.t, uint64(2), f.appendBatch(notes(1, 5), enact.WithIdempotencyKey("k")))
			f.append(note(6))
			require.Equal(f.t, uint64(2), f.appendBatch(notes(1, 5), enact.WithIdempotencyKey("k")))
			f.holds(notes(0, 6)...)
		}},
		{"a known key is found some appends later", func(f *fixture) {
			f.append(note(0), enact.WithIdempotencyKey("k"))
			for n := 1; n <= 20; n++ {
				f.append(note(n))
			}
			require.Equal(f.t, uint64(1), f.append(note(0), enact.WithIdempotencyKey("k")))
			f.holds(notes(0, 20)...)
		}},
		{"an append of the same events without the key is another append", func(f *fixture) {
			f.append(note(1), enact.WithIdempotencyKey("k"))
			require.Equal(f.t, uint64(2), f.append(note(1)))
			require.Equal(f.t, uint64(3), f.append(note(1), enact.WithIdempotencyKey("")))
			require.Equal(f.t, uint64(4), f.append(note(1), enact.WithIdempotencyKey("other")))
			f.holds(note(1), note(1), note(1), note(1))
		}},
		{"a known key with other events is ErrKeyReused and stores nothing", func(f *fixture) {
			f.appendBatch(notes(1, 3), enact.WithIdempotencyKey("k"))
			for _, other := range [][]enact.Event{notes(1, 2), notes(1, 4), notes(2, 4), {note(1), note(3), note(2)}, notes(1, 1)} {
				_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, other, enact.WithIdempotencyKey("k"))
				require.ErrorIs(f.t, err, enact.ErrKeyReused)
			}
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.WithIdempotencyKey("k"))
			require.ErrorIs(f.t, err, enact.ErrKeyReused)
			f.holds(notes(1, 3)...)
		}},
		{"a retry at another time with other metadata is the same append", func(f *fixture) {
			first := time.Date(2026, 2, 23, 12, 0, 0, 1, time.UTC)
			f.append(note(1), enact.WithIdempotencyKey("k"), enact.WithTimestamp(first), enact.WithMetadata(map[string]string{"try": "1"}))
			require.Equal(f.t, uint64(1), f.append(note(1), enact.WithIdempotencyKey("k"),
				enact.WithTimestamp(first.Add(time.Hour)), enact.WithMetadata(map[string]string{"try": "2"})))
			f.holds(note(1))
			kept := f.loadN(1)[0]
			sameTime(f.t, first, kept.Timestamp)
			require.Equal(f.t, map[string]string{"try": "1"}, kept.Metadata)
		}},
		{"a retry with events as they were loaded, or with space around their JSON, is the same append", func(f *fixture) {
			spaced := func(raw string) []enact.Event {
				return []enact.Event{
					note(1), enact.Custom{EventType: "x", Data: json.RawMessage(raw)}, enact.Unknown{Tag: "later", Raw: json.RawMessage(`{"type":"later"}` + raw[1:])},
				}
			}
			key := enact.WithIdempotencyKey("k")
			require.Equal(f.t, uint64(1), f.appendBatch(spaced("1 \n"), key))
			var loaded []enact.Event
			for _, e := range f.loadN(3) {
				loaded = append(loaded, e.Event)
			}
			require.Equal(f.t, uint64(1), f.appendBatch(loaded, key))
			require.Equal(f.t, uint64(1), f.appendBatch(spaced("1 \n"), key))
			require.Equal(f.t, uint64(1), f.appendBatch(spaced("1\t"), key))
			_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, spaced("2"), key)
			require.ErrorIs(f.t, err, enact.ErrKeyReused)
			f.loadN(3)
		}},
		{"a retry succeeds even though its expectation no longer holds", func(f *fixture) {
			expect, key := enact.ExpectSequence(0), enact.WithIdempotencyKey("k")
			require.Equal(f.t, uint64(1), f.appendBatch(notes(1, 2), expect, key))
			require.Equal(f.t, uint64(1), f.appendBatch(notes(1, 2), expect, key))
			f.append(note(3))
			require.Equal(f.t, uint64(1), f.appendBatch(notes(1, 2), expect, key))
			_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, notes(7, 8), expect, key)
			require.ErrorIs(f.t, err, enact.ErrKeyReused)
			f.holds(notes(1, 3)...)
		}},
		{"a key whose append was refused is not known", func(f *fixture) {
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.ExpectExists(), enact.WithIdempotencyKey("k"))
			require.ErrorIs(f.t, err, enact.ErrConflict)
			require.Equal(f.t, uint64(1), f.append(note(2), enact.WithIdempotencyKey("k")))
			f.holds(note(2))
		}},
		{"keys belong to one execution", func(f *fixture) {
			other := f.on(enact.NewExecutionID())
			f.append(note(1), enact.WithIdempotencyKey("k"))
			require.Equal(f.t, uint64(1), other.append(note(2), enact.WithIdempotencyKey("k")))
			f.holds(note(1))
			other.holds(note(2))
		}},
		{"a key is any UTF-8 of up to 256 bytes and kept apart from its like", func(f *fixture) {
			alike := []string{
				"k", "K", " k", "k ", "k\n", "k\r\n", "k\x00", "\x7f", "%6B", "%", "%25", "k,l", "k:l", "k=l", "*", ">", ".", "é", "e\u0301", "漢🦀",
				strings.Repeat("%", enact.MaxIdempotencyKey), strings.Repeat("🦀", enact.MaxIdempotencyKey/4), strings.Repeat("k", 255) + "\t",
			}
			for i, key := range alike {
				require.Equal(f.t, uint64(i)+1, f.append(note(i), enact.WithIdempotencyKey(key)), "%q", key)
			}
			for i, key := range alike {
				require.Equal(f.t, uint64(i)+1, f.append(note(i), enact.WithIdempotencyKey(key)), "%q again", key)
			}
			f.holds(notes(0, len(alike)-1)...)
		}},
		{"a key over its limit or not UTF-8 is refused", func(f *fixture) {
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.WithIdempotencyKey(strings.Repeat("k", enact.MaxIdempotencyKey+1)))
			var large *enact.TooLargeError
			require.ErrorAs(f.t, err, &large)
			require.ErrorIs(f.t, err, enact.ErrTooLarge)
			_, err = f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.WithIdempotencyKey("k\xff"))
			require.ErrorIs(f.t, err, enact.ErrInvalidOption)
			f.holdsNothing()
		}},
		{"of concurrent appends with one key one is stored and all get its sequence", func(f *fixture) {
			f.append(note(0))
			const callers = 8
			seqs, errs := make([]uint64, callers), make([]error, callers)
			together(callers, func(i int) {
				seqs[i], errs[i] = f.store.AppendBatch(f.ctx, f.execution, f.tenant, notes(1, 2), enact.WithIdempotencyKey("k"))
			})
			for i := range callers {
				require.NoError(f.t, errs[i])
				require.Equal(f.t, uint64(2), seqs[i])
			}
			f.holds(notes(0, 2)...)
		}},
		{"concurrent creations with one key create once", func(f *fixture) {
			const callers = 8
			errs := make([]error, callers)
			together(callers, func(i int) {
				_, errs[i] = f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.ExpectSequence(0), enact.WithIdempotencyKey("k"))
			})
			for i := range callers {
				require.NoError(f.t, errs[i], "caller %d", i)
			}
			f.holds(note(1))
		}},
		{"concurrent appends with keys of their own are all stored", func(f *fixture) {
			const callers = 8
			seqs, errs := make([]uint64, callers), make([]error, callers)
			for range 2 { // the second round finds every key
				together(callers, func(i int) {
					seqs[i], errs[i] = f.store.Append(f.ctx, f.execution, f.tenant, note(i), enact.WithIdempotencyKey(fmt.Sprint("k", i)))
				})
				loaded := f.loadN(callers)
				for i := range callers {
					require.NoError(f.t, errs[i])
					sameEvent(f.t, note(i), f.at(loaded, seqs[i]))
				}
			}
		}},
	}
}

// together calls work(0) to work(n-1) at the same time and waits for them.
func together(n int, work func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			work(i)
		})
	}
	close(start)
	wg.Wait()
}
