package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/replay"
)

// forge appends a record as someone does who may publish to the log but has no keys: its
// headers and chain are right, its payload is another's.
func (l *codecLog) forge(run jetstore.Execution, header string, payload []byte, events int) (position uint64) {
	l.t.Helper()
	records := l.records(run)
	tail := records[len(records)-1].Tail()
	id, err := uuid.NewV7()
	require.NoError(l.t, err)
	r := &record.Record{
		TenantID: run.Tenant(), ExecutionID: run.ID(), Commit: record.Commit{ID: id, Index: 1, Of: 1},
		Codec: header, Payload: payload,
	}
	for range events {
		r.Times = append(r.Times, time.Unix(1_770_000_000, 0).UTC())
	}
	_, err = r.After(tail)
	require.NoError(l.t, err)
	m, err := r.Message(run.Store().Subjects())
	require.NoError(l.t, err)
	ack, err := l.nc.RequestMsg(m, time.Minute)
	require.NoError(l.t, err)
	require.NotContains(l.t, string(ack.Data), "error")
	all := l.records(run)
	return all[len(all)-1].Position
}

// What was changed, or stands where it was not written, is corrupt, though its headers
// and its chain are right; it is not taken for something whose key is gone.
func TestForgedCiphertexts(t *testing.T) {
	l := newCodecLog(t)
	ctx := t.Context()
	s := l.sealed()
	build := func(tenant enact.TenantID, id enact.ExecutionID) jetstore.Execution {
		run := s.Execution(tenant, id)
		for _, events := range [][]enact.Event{texts(1, 3), {text(4)}} {
			_, err := run.AppendBatch(ctx, events)
			require.NoError(t, err)
		}
		return run
	}
	// A key with the same id in both tenants, so that nothing but the payload can tell.
	for _, tenant := range []enact.TenantID{"acme", "globex"} {
		require.NoError(t, l.keys.Add(ctx, tenant, "same", slices.Repeat([]byte{'k'}, codec.KeySize)))
	}
	own := l.records(build("acme", "own"))
	sibling := l.records(build("acme", "sibling"))
	stranger := l.records(build("globex", "stranger"))
	flip := func(i int) []byte {
		payload := slices.Clone(own[1].Payload)
		payload[(i+len(payload))%len(payload)] ^= 1
		return payload
	}
	// forged puts a payload where own's second record is, in a log that is like it up to
	// there.
	forged := func(t *testing.T, header string, payload []byte, events int) (jetstore.Execution, uint64) {
		t.Helper()
		copied := newCodecLog(t)
		copied.keys = l.keys
		run := copied.sealed().Execution("acme", "own")
		_, err := run.AppendBatch(t.Context(), texts(1, 3))
		require.NoError(t, err)
		position := copied.forge(run, header, payload, events)
		_, err = run.Append(t.Context(), text(9))
		require.NoError(t, err)
		return run, position
	}
	run, _ := forged(t, own[1].Codec, own[1].Payload, 1)
	holds(t, run, append(texts(1, 4), text(9)))

	for name, tt := range map[string]struct {
		header  string
		payload []byte
		events  int
	}{
		"an earlier payload of the execution":        {own[0].Codec, own[0].Payload, 3},
		"the payload of another execution":           {sibling[1].Codec, sibling[1].Payload, 1},
		"the payload of another tenant":              {stranger[1].Codec, stranger[1].Payload, 1},
		"a flipped nonce":                            {own[1].Codec, flip(0), 1},
		"a flipped ciphertext":                       {own[1].Codec, flip(20), 1},
		"a flipped tag":                              {own[1].Codec, flip(-1), 1},
		"a payload that was cut":                     {own[1].Codec, own[1].Payload[:40], 1},
		"an empty payload":                           {own[1].Codec, nil, 1},
		"a payload that claims not to be compressed": {strings.Replace(own[1].Codec, "+zstd", "", 1), own[1].Payload, 1},
		"a payload that claims another event":        {own[1].Codec, own[1].Payload, 2},
		"a header without its key":                   {"json+zstd+aes256gcm", own[1].Payload, 1},
		"a header with a parameter more":             {own[1].Codec + ";v=1", own[1].Payload, 1},
	} {
		t.Run(name, func(t *testing.T) {
			run, position := forged(t, tt.header, tt.payload, tt.events)
			events, err := readUntilError(t, run)
			require.Len(t, events, 3)
			corrupt, ok := errors.AsType[*enact.CorruptError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, position, corrupt.Position)
			require.Equal(t, uint64(4), corrupt.Sequence)
			require.Equal(t, run.ID(), corrupt.ExecutionID)
			require.NotErrorIs(t, err, enact.ErrPayload)
		})
	}
	// The id of a key that only another tenant has: an error, and no enact.Unreadable.
	key, err := l.keys.Rotate(ctx, "globex")
	require.NoError(t, err)
	run, position := forged(t, "json+zstd+aes256gcm;key="+key, stranger[1].Payload, 1)
	events, err := readUntilError(t, run)
	require.Len(t, events, 3)
	unknown, ok := errors.AsType[*enact.PayloadError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, position, unknown.Position)
	require.ErrorIs(t, err, codec.ErrKeyUnknown)
}

// Dropping a tenant's keys takes the content away and leaves everything else.
func TestDroppedTenant(t *testing.T) {
	l := newCodecLog(t)
	ctx := t.Context()
	s := l.sealed()
	plain := l.open()
	at := time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)
	build := func(tenant enact.TenantID, id enact.ExecutionID) (jetstore.Execution, []enact.StoredEvent, enact.Head) {
		run := s.Execution(tenant, id)
		options := []enact.AppendOption{enact.WithTimestamp(at), enact.WithMetadata(map[string]string{"user": "ann"}), enact.WithIdempotencyKey("start")}
		_, err := run.AppendBatch(ctx, append([]enact.Event{enact.ExecutionStarted{}}, texts(1, 5)...), options...)
		require.NoError(t, err)
		_, err = plain.Execution(tenant, id).Append(ctx, enact.ExecutionPaused{Reason: "in the open"})
		require.NoError(t, err)
		_, err = run.AppendBatch(ctx, texts(6, 9), enact.WithOneEventPerRecord())
		require.NoError(t, err)
		events, err := run.LoadEvents(ctx)
		require.NoError(t, err)
		head, err := run.Head(ctx)
		require.NoError(t, err)
		return run, events, head
	}
	run, before, head := build("acme", "run-1")
	other, untouched, _ := build("globex", "run-2")
	key, err := l.keys.Current(ctx, "acme")
	require.NoError(t, err)
	require.NoError(t, l.keys.DropTenant(ctx, "acme"))

	for _, s := range []*jetstore.Store{s, l.sealed()} {
		run := s.Execution("acme", run.ID())
		after, err := run.LoadEvents(ctx)
		require.NoError(t, err)
		require.Len(t, after, len(before))
		for i, ev := range after {
			want := before[i]
			if _, open := want.Event.(enact.ExecutionPaused); !open {
				gone, ok := ev.Event.(enact.Unreadable)
				require.True(t, ok, "event %d is a %T", i, ev.Event)
				require.Equal(t, key.ID(), gone.KeyID)
				require.Contains(t, []string{"json+zstd+aes256gcm;key=" + key.ID(), "json+aes256gcm;key=" + key.ID()}, gone.Codec)
				want.Event = gone
			}
			require.Equal(t, want, ev, "number, time, metadata and position stay")
		}
		// Backwards, in the middle, one by one: the same.
		last, err := run.LoadEvents(ctx, enact.Backwards(), enact.Limit(4))
		require.NoError(t, err)
		slices.Reverse(last)
		require.Equal(t, after[len(after)-4:], last)
		middle, err := run.LoadEventsAfter(ctx, 7)
		require.NoError(t, err)
		require.Equal(t, after[7:], middle)

		again, err := run.Head(ctx)
		require.NoError(t, err)
		require.Equal(t, head, again, "sequence, position and chain stay")
		n, err := s.CountEvents(ctx, run.ID())
		require.NoError(t, err)
		require.Equal(t, uint64(len(before)), n)
		exists, err := s.ExecutionExists(ctx, run.ID())
		require.NoError(t, err)
		require.True(t, exists)
		list, err := s.ListExecutions(ctx, "acme", 10, 0)
		require.NoError(t, err)
		require.Equal(t, []enact.ExecutionID{run.ID()}, list)
		state, err := replay.Of(after)
		require.NoError(t, err)
		require.Equal(t, uint64(len(before)-1), state.Unreadable)
		again2, err := s.Execution("globex", other.ID()).LoadEvents(ctx)
		require.NoError(t, err)
		require.Equal(t, untouched, again2, "and no other tenant")
	}
}

// A key that the ring does not know is an error of the read: the ring may be the wrong
// one, or behind. Once it is declared lost, what it encrypted is unreadable.
func TestLostKey(t *testing.T) {
	l := newCodecLog(t)
	ctx := t.Context()
	id := enact.NewExecutionID()
	run := l.sealed().Execution("acme", id)
	_, err := run.AppendBatch(ctx, texts(1, 3))
	require.NoError(t, err)
	lost, err := l.keys.Rotate(ctx, "acme")
	require.NoError(t, err)
	receipt, err := run.AppendBatch(ctx, texts(4, 5))
	require.NoError(t, err)
	first := l.records(run)[0]
	_, oldKey, _ := strings.Cut(first.Codec, ";key=")

	// Another ring with the older key only: as a copy that is behind, or restored.
	behind := codec.NewMemoryKeyRing()
	reader := l.open(jetstore.WithCodec(newSealed(t, both{behind, l.keys, oldKey}))).Execution("acme", id)
	for range 2 {
		events, err := readUntilError(t, reader)
		require.Len(t, events, 3)
		require.Equal(t, text(1), events[0].Event)
		unknown, ok := errors.AsType[*enact.PayloadError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, receipt.Position, unknown.Position)
		require.Equal(t, uint64(4), unknown.Sequence)
		require.Equal(t, "json+zstd+aes256gcm;key="+lost, unknown.Codec)
		require.ErrorIs(t, err, enact.ErrPayload)
		require.ErrorIs(t, err, codec.ErrKeyUnknown)
		_, err = reader.LoadEvents(ctx)
		require.ErrorIs(t, err, codec.ErrKeyUnknown)
		head, err := reader.Head(ctx)
		require.NoError(t, err)
		require.Equal(t, uint64(5), head.Sequence)
	}
	require.NoError(t, behind.Drop(ctx, "acme", lost))
	events, err := reader.LoadEvents(ctx)
	require.NoError(t, err)
	require.Equal(t, text(3), events[2].Event)
	for _, ev := range events[3:] {
		require.Equal(t, enact.Unreadable{Codec: "json+zstd+aes256gcm;key=" + lost, KeyID: lost}, ev.Event)
	}
}

// both is a key ring that takes one key from another ring.
type both struct {
	*codec.MemoryKeyRing
	other codec.KeyRing
	id    string
}

func (b both) Lookup(ctx context.Context, tenant enact.TenantID, id string) (*codec.Key, error) {
	if id == b.id {
		return b.other.Lookup(ctx, tenant, id)
	}
	return b.MemoryKeyRing.Lookup(ctx, tenant, id)
}

// What was written under each key that a tenant ever had is read.
func TestRotatedKeys(t *testing.T) {
	l := newCodecLog(t)
	run := l.sealed().Execution("acme", enact.NewExecutionID())
	var want []enact.Event
	for n := range 10 {
		events := texts(n*3, n*3+2)
		_, err := run.AppendBatch(t.Context(), events)
		require.NoError(t, err)
		want = append(want, events...)
		_, err = l.keys.Rotate(t.Context(), "acme")
		require.NoError(t, err)
	}
	holds(t, run, want)
	keys := map[string]bool{}
	for _, r := range l.records(run) {
		keys[r.Codec] = true
	}
	require.Len(t, keys, 10)
}

// awayRing does not answer for a while.
type awayRing struct {
	codec.KeyRing
	away  atomic.Pointer[error]
	asked chan struct{} // gets a value when somebody waits in vain
	waits atomic.Int64  // how often somebody has
}

func (r *awayRing) wait(ctx context.Context) error {
	err := r.away.Load()
	if err == nil {
		return nil
	}
	if *err == nil { // silence
		r.waits.Add(1)
		select {
		case r.asked <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}
	return *err
}

func (r *awayRing) Current(ctx context.Context, tenant enact.TenantID) (*codec.Key, error) {
	if err := r.wait(ctx); err != nil {
		return nil, err
	}
	return r.KeyRing.Current(ctx, tenant)
}

func (r *awayRing) Lookup(ctx context.Context, tenant enact.TenantID, id string) (*codec.Key, error) {
	if err := r.wait(ctx); err != nil {
		return nil, err
	}
	return r.KeyRing.Lookup(ctx, tenant, id)
}

// While the key ring does not answer, reads and appends fail with its error, and do
// later what they would have done. No event is called unreadable.
func TestKeyRingIsAway(t *testing.T) {
	l := newCodecLog(t)
	ctx := t.Context()
	ring := &awayRing{KeyRing: l.keys, asked: make(chan struct{}, 1)}
	run := l.open(jetstore.WithCodec(newSealed(t, ring))).Execution("acme", enact.NewExecutionID())
	// It waits for the ring only so long, and for the server, too: what ended before it came to
	// the ring is done again.
	hurried := l.open(jetstore.WithCodec(newSealed(t, ring)), jetstore.WithTimeout(time.Second)).Execution("acme", run.ID())
	plain := l.open().Execution("acme", run.ID())
	_, err := plain.Append(ctx, note(0))
	require.NoError(t, err)
	receipt, err := run.AppendBatch(ctx, texts(1, 3), enact.WithIdempotencyKey("k"))
	require.NoError(t, err)

	throttled := errors.New("throttled")
	for name, tt := range map[string]struct {
		of    jetstore.Execution
		cause error
		is    error
	}{
		"an error": {run, throttled, throttled},
		"silence":  {hurried, nil, context.DeadlineExceeded}, // the store's time-out bounds the wait
	} {
		t.Run(name, func(t *testing.T) {
			ring.away.Store(&tt.cause)
			// fails returns the error of a call that came to the ring.
			fails := func(call func() error) error {
				t.Helper()
				for {
					before := ring.waits.Load()
					err := call()
					if tt.cause != nil || ring.waits.Load() > before {
						require.ErrorIs(t, err, tt.is)
						return err
					}
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
			}
			var events []enact.StoredEvent
			err := fails(func() (err error) {
				events, err = readUntilError(t, tt.of)
				return err
			})
			require.Len(t, events, 1)
			failed, ok := errors.AsType[*enact.PayloadError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, receipt.Position, failed.Position)
			require.Equal(t, uint64(2), failed.Sequence)
			require.ErrorIs(t, err, codec.ErrUnavailable)
			require.NotErrorIs(t, err, enact.ErrCorrupt)
			_ = fails(func() error {
				_, err := tt.of.LoadEvents(ctx)
				return err
			})
			_ = fails(func() error {
				_, err := tt.of.LoadEvents(ctx, enact.Backwards(), enact.Limit(1))
				return err
			})
			_ = fails(func() error {
				_, err := tt.of.AppendBatch(ctx, texts(1, 3), enact.WithIdempotencyKey("k"))
				return err
			})
			err = fails(func() error {
				_, err := tt.of.Append(ctx, text(4))
				return err
			})
			keyErr, ok := errors.AsType[*codec.KeyError](err)
			require.True(t, ok, "%v", err)
			require.Empty(t, keyErr.KeyID)
			require.NotErrorIs(t, err, enact.ErrUnknownOutcome, "nothing was sent")
			head, err := run.Head(ctx)
			require.NoError(t, err)
			require.Equal(t, uint64(4), head.Sequence)

			if tt.cause == nil {
				// The caller's context ends the wait too.
				<-ring.asked
				ctx, cancel := context.WithCancel(ctx)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					<-ring.asked
					cancel()
				}()
				_, err = run.LoadEvents(ctx)
				require.ErrorIs(t, err, context.Canceled)
				<-ended
			}
			ring.away.Store(nil)
			holds(t, run, append([]enact.Event{note(0)}, texts(1, 3)...))
			again, err := run.AppendBatch(ctx, texts(1, 3), enact.WithIdempotencyKey("k"))
			require.NoError(t, err)
			require.True(t, again.Duplicate)
		})
	}
}

// A log and its key file outlive the process.
func TestEncryptionSurvivesARestart(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	created, err := codec.CreateFileKeyRing(ctx, path)
	require.NoError(t, err)
	_, err = created.Rotate(ctx, "acme")
	require.NoError(t, err)
	var want []enact.Event
	for n := range 3 {
		keys, err := codec.OpenFileKeyRing(path)
		require.NoError(t, err)
		s, err := embedded.Open(ctx, filepath.Join(dir, "log"), embedded.WithStore(jetstore.WithCodec(newSealed(t, keys))))
		require.NoError(t, err)
		run := s.Execution("acme", "run-1")
		holds(t, run, want)
		want = append(want, texts(n*3, n*3+2)...)
		_, err = run.AppendBatch(ctx, texts(n*3, n*3+2))
		require.NoError(t, err)
		holds(t, run, want)
		_, err = keys.Rotate(ctx, "acme")
		require.NoError(t, err)
		shutDown(t, s)
	}
}

// A store that encrypts each tenant's events under keys of its own.
func ExampleWithCodec() {
	ctx := context.Background()
	keys := codec.NewMemoryKeyRing() // in production, a codec.FileKeyRing or one in front of a KMS
	if _, err := keys.Rotate(ctx, "acme"); err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := codec.NewAES256GCM(nil, keys)
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := embedded.Open(ctx, dir, embedded.WithStore(jetstore.WithCodec(sealed)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Shutdown(ctx)

	run := store.Execution("acme", "run-1")
	if _, err := run.Append(ctx, enact.ExecutionPaused{Reason: "waiting for Ann"}); err != nil {
		fmt.Println(err)
		return
	}
	print := func() {
		for ev, err := range run.Events(ctx, 0) {
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(ev.Sequence, ev.Event.Type())
		}
	}
	print()
	// The tenant leaves: nobody reads its events again, and the history still holds.
	if err := keys.DropTenant(ctx, "acme"); err != nil {
		fmt.Println(err)
		return
	}
	print()
	// Output:
	// 1 execution_paused
	// 1 enact.unreadable
}
