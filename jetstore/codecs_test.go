package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/storetest"
)

// everyTenant makes a tenant's first key when it is asked for: the suite has tenants
// that nobody announced.
type everyTenant struct{ *codec.MemoryKeyRing }

func (r everyTenant) Current(ctx context.Context, tenant enact.TenantID) (*codec.Key, error) {
	key, err := r.MemoryKeyRing.Current(ctx, tenant)
	if !errors.Is(err, codec.ErrKeyUnknown) {
		return key, err
	}
	if _, err := r.Rotate(ctx, tenant); err != nil {
		return nil, err
	}
	return r.MemoryKeyRing.Current(ctx, tenant)
}

func newSealed(t *testing.T, keys codec.KeyRing) codec.Codec {
	t.Helper()
	sealed, err := codec.NewAES256GCM(nil, keys)
	require.NoError(t, err)
	return sealed
}

func newZstd(t *testing.T, opts ...codec.ZstdOption) codec.Codec {
	t.Helper()
	z, err := codec.NewZstd(nil, opts...)
	require.NoError(t, err)
	return z
}

// The contract holds whatever the records are written in.
func TestContractOfCodecs(t *testing.T) {
	for name, c := range map[string]codec.Codec{
		"zstd":      newZstd(t),
		"encrypted": newSealed(t, everyTenant{codec.NewMemoryKeyRing()}),
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) enact.EventStore {
				return embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithCodec(c)))
			})
		})
	}
}

// codecLog is a log in memory that stores with different codecs share, with keys for
// the tenants acme and globex.
type codecLog struct {
	t    *testing.T
	nc   *nats.Conn
	keys *codec.MemoryKeyRing
}

func newCodecLog(t *testing.T) *codecLog {
	t.Helper()
	_, nc := startServer(t)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithMemoryStorage()))
	l := &codecLog{t: t, nc: nc, keys: codec.NewMemoryKeyRing()}
	for _, tenant := range []enact.TenantID{"acme", "globex"} {
		_, err := l.keys.Rotate(t.Context(), tenant)
		require.NoError(t, err)
	}
	return l
}

func (l *codecLog) open(opts ...jetstore.Option) *jetstore.Store {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute) // whatever the options' time-out
	defer cancel()
	s, err := jetstore.Open(ctx, l.nc, append(opts, jetstore.WithMemoryStorage())...)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { shutDown(l.t, s) })
	return s
}

func (l *codecLog) sealed() *jetstore.Store {
	l.t.Helper()
	return l.open(jetstore.WithCodec(newSealed(l.t, l.keys)))
}

// records returns the execution's records as they are stored.
func (l *codecLog) records(run jetstore.Execution) []*record.Record {
	l.t.Helper()
	subjects := run.Store().Subjects()
	stream, err := natstest.JetStream(l.t, l.nc).Stream(l.t.Context(), "ENACT")
	require.NoError(l.t, err)
	var records []*record.Record
	for p := stream.CachedInfo().State.FirstSeq; p <= stream.CachedInfo().State.LastSeq; p++ {
		m, err := stream.GetMsg(l.t.Context(), p)
		require.NoError(l.t, err)
		if m.Subject != subjects.Execution(run.Tenant(), run.ID()) {
			continue
		}
		r, err := record.Parse(subjects, m.Subject, p, m.Header, m.Data)
		require.NoError(l.t, err)
		records = append(records, r)
	}
	return records
}

// text is an event that compresses well.
func text(n int) enact.Event {
	return enact.Custom{EventType: "text", Data: enact.JSON(strings.Repeat(fmt.Sprintf("All happy families are alike (%d). ", n), 20))}
}

func texts(from, to int) (events []enact.Event) {
	for n := from; n <= to; n++ {
		events = append(events, text(n))
	}
	return events
}

// holds requires the execution's events to be the given ones, numbered from 1.
func holds(t *testing.T, run jetstore.Execution, want []enact.Event) []enact.StoredEvent {
	t.Helper()
	loaded, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	require.Len(t, loaded, len(want))
	for i, ev := range loaded {
		require.Equal(t, uint64(i)+1, ev.Sequence)
		require.Equal(t, want[i], ev.Event)
	}
	return loaded
}

// readUntilError returns the events before the read's error, numbered from 1, and that.
func readUntilError(t *testing.T, run jetstore.Execution, opts ...enact.ReadOption) (events []enact.StoredEvent, failed error) {
	t.Helper()
	for ev, err := range run.Events(t.Context(), 0, opts...) {
		if err != nil {
			return events, err
		}
		events = append(events, ev)
		require.Equal(t, uint64(len(events)), ev.Sequence)
	}
	return events, nil
}

// One execution may hold records of every codec, single, packed and staged; whoever
// has the keys reads all of it, whoever has not reads up to the first encrypted one.
func TestMixedCodecsInOneExecution(t *testing.T) {
	l := newCodecLog(t)
	stores := []*jetstore.Store{l.open(), l.open(jetstore.WithCodec(newZstd(t))), l.sealed(), l.open(jetstore.WithCodec(nil))}
	id := enact.NewExecutionID()
	var want []enact.Event
	var plain int // events before the first encrypted one
	for round := range 3 {
		for i, s := range stores {
			run := s.Execution("acme", id)
			for _, opts := range [][]enact.AppendOption{nil, {enact.WithOneEventPerRecord()}} {
				events := append(texts(len(want), len(want)+3), note(len(want)))
				_, err := run.AppendBatch(t.Context(), events, opts...)
				require.NoError(t, err)
				want = append(want, events...)
			}
			_, err := run.Append(t.Context(), note(round))
			require.NoError(t, err)
			want = append(want, note(round))
			if round == 0 && i == 1 {
				plain = len(want)
			}
		}
	}
	sealed := stores[2]
	holds(t, sealed.Execution("acme", id), want)
	names := map[string]int{}
	for _, r := range l.records(sealed.Execution("acme", id)) {
		name, _, _ := strings.Cut(r.Codec, ";")
		names[name]++
	}
	for _, name := range []string{"json", "json+zstd", "json+aes256gcm", "json+zstd+aes256gcm"} {
		require.NotZero(t, names[name], "%s: %v", name, names)
	}
	require.Len(t, names, 4)

	for _, s := range []*jetstore.Store{stores[0], stores[1], stores[3]} {
		got, err := readUntilError(t, s.Execution("acme", id))
		unknown, ok := errors.AsType[*enact.UnknownCodecError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, uint64(plain)+1, unknown.Sequence)
		require.Len(t, got, plain)
		n, err := s.Execution("acme", id).Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(len(want)), n.Sequence)
	}
}

// Appends that wait for each other share encrypted records too.
func TestSharedRecordsAreEncrypted(t *testing.T) {
	l := newCodecLog(t)
	run := l.sealed().Execution("acme", enact.NewExecutionID())
	_, err := run.Append(t.Context(), text(0))
	require.NoError(t, err)
	const callers, each = 16, 20
	receipts := make([][]enact.Receipt, callers)
	var records []*record.Record
	appends := 1
	// One round will do, but where the callers happen not to meet.
	natstest.Eventually(t, time.Minute, func() bool {
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for range each {
					n := c*100_000 + len(receipts[c])
					receipt, err := run.AppendBatch(t.Context(), []enact.Event{text(n), note(n)})
					if err != nil {
						t.Error(err)
						return
					}
					receipts[c] = append(receipts[c], receipt)
				}
			})
		}
		wg.Wait()
		appends += callers * each
		records = l.records(run)
		return t.Failed() || len(records) < appends
	}, func() string { return "no record was shared" })
	loaded, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	require.Len(t, loaded, 1+2*(appends-1))
	for c := range receipts {
		for i, receipt := range receipts[c] {
			require.Equal(t, text(c*100_000+i), loaded[receipt.First-1].Event)
			require.Equal(t, note(c*100_000+i), loaded[receipt.Last-1].Event)
		}
	}
	for _, r := range records {
		require.Contains(t, r.Codec, "+aes256gcm;key=")
		require.NotContains(t, string(r.Payload), "happy")
	}
}

// placed notes the places that it encodes for.
type placed struct {
	*codec.AES256GCM
	mu     *sync.Mutex
	places *[]codec.Place
}

func (p placed) Encode(ctx context.Context, dst []byte, place codec.Place, events []enact.Event) ([]byte, string, error) {
	p.mu.Lock()
	*p.places = append(*p.places, place)
	p.mu.Unlock()
	return p.AES256GCM.Encode(ctx, dst, place, events)
}

// An append that another overtook is encrypted again for the place that it gets.
func TestOvertakenAppendIsEncryptedAnew(t *testing.T) {
	l := newCodecLog(t)
	var places []codec.Place
	sealed, err := codec.NewAES256GCM(nil, l.keys)
	require.NoError(t, err)
	a := l.open(jetstore.WithCodec(placed{sealed, new(sync.Mutex), &places}))
	b := l.sealed()
	id := enact.NewExecutionID()
	one, other := a.Execution("acme", id), b.Execution("acme", id)
	_, err = one.Append(t.Context(), text(1))
	require.NoError(t, err)
	places = nil // a creation is encoded again where its index entry is sent again
	_, err = other.AppendBatch(t.Context(), texts(2, 4))
	require.NoError(t, err)
	// Its tail is old. A single record first, then a staged batch.
	receipt, err := one.Append(t.Context(), text(5))
	require.NoError(t, err)
	require.Equal(t, uint64(5), receipt.First)
	_, err = other.Append(t.Context(), text(6))
	require.NoError(t, err)
	_, err = one.AppendBatch(t.Context(), texts(7, 8), enact.WithOneEventPerRecord())
	require.NoError(t, err)
	holds(t, one, texts(1, 8))
	var sequences []uint64
	for _, p := range places {
		require.Equal(t, codec.Place{TenantID: "acme", ExecutionID: id, Sequence: p.Sequence}, p)
		sequences = append(sequences, p.Sequence)
	}
	require.Equal(t, []uint64{2, 5, 6, 7, 7, 8}, sequences)
}

// The key of an append and its events are compared behind the encryption.
func TestIdempotencyKeysOfEncryptedRecords(t *testing.T) {
	l := newCodecLog(t)
	ctx := t.Context()
	id := enact.NewExecutionID()
	run := l.sealed().Execution("acme", id)
	events := texts(1, 5)
	first, err := run.AppendBatch(ctx, events, enact.WithIdempotencyKey("k"))
	require.NoError(t, err)
	staged, err := run.AppendBatch(ctx, events, enact.WithIdempotencyKey("staged"), enact.WithOneEventPerRecord())
	require.NoError(t, err)
	retries := func() {
		for _, s := range []*jetstore.Store{run.Store(), l.sealed()} { // one knows the keys, one reads them
			run := s.Execution("acme", id)
			for key, want := range map[string]enact.Receipt{"k": first, "staged": staged} {
				want.Duplicate = true
				receipt, err := run.AppendBatch(ctx, events, enact.WithIdempotencyKey(key))
				require.NoError(t, err)
				require.Equal(t, want, receipt)
				_, err = run.AppendBatch(ctx, texts(2, 6), enact.WithIdempotencyKey(key))
				require.ErrorIs(t, err, enact.ErrKeyReused)
			}
		}
	}
	retries()
	key, err := l.keys.Current(ctx, "acme")
	require.NoError(t, err)
	_, err = l.keys.Rotate(ctx, "acme")
	require.NoError(t, err)
	retries()

	// Nobody can compare with what is gone.
	require.NoError(t, l.keys.Drop(ctx, "acme", key.ID()))
	_, err = run.AppendBatch(ctx, events, enact.WithIdempotencyKey("k"))
	gone, ok := errors.AsType[*enact.PayloadError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, first.Position, gone.Position)
	require.ErrorIs(t, err, codec.ErrKeyDropped)
	_, err = run.AppendBatch(ctx, events, enact.WithIdempotencyKey("new"))
	require.NoError(t, err)
	n, err := run.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(15), n.Sequence)
}

// An append whose key is missing stores nothing, not even an entry in the index.
func TestAppendWithoutAKey(t *testing.T) {
	l := newCodecLog(t)
	ctx := t.Context()
	s := l.sealed()
	js := natstest.JetStream(t, l.nc)
	messages := func() (n uint64) {
		for _, name := range []string{"ENACT", "ENACT_INDEX"} {
			stream, err := js.Stream(ctx, name)
			require.NoError(t, err)
			n += stream.CachedInfo().State.Msgs
		}
		return n
	}
	run := s.Execution("acme", "one")
	_, err := run.AppendBatch(ctx, texts(1, 3))
	require.NoError(t, err)
	before := messages()
	refused := func(run jetstore.Execution, cause error) {
		t.Helper()
		for _, opts := range [][]enact.AppendOption{nil, {enact.WithOneEventPerRecord()}, {enact.WithIdempotencyKey("k")}} {
			_, err := run.AppendBatch(ctx, texts(1, 3), opts...)
			require.Equal(t, &codec.KeyError{TenantID: run.Tenant(), Err: cause}, err)
			require.ErrorIs(t, err, cause)
		}
		require.Equal(t, before, messages())
		list, err := s.ListExecutions(ctx, run.Tenant(), 10, 0)
		require.NoError(t, err)
		require.NotContains(t, list, enact.ExecutionID("another"))
	}
	refused(s.Execution("initech", "another"), codec.ErrKeyUnknown)
	require.NoError(t, l.keys.DropTenant(ctx, "acme"))
	refused(run, codec.ErrKeyDropped)
	refused(s.Execution("acme", "another"), codec.ErrKeyDropped)
	_, err = l.keys.Rotate(ctx, "initech")
	require.NoError(t, err)
	_, err = s.Execution("initech", "another").AppendBatch(ctx, texts(1, 3))
	require.NoError(t, err)
}

// writesElsewhere gives its payloads a name that nobody reads.
type writesElsewhere struct{ codec.JSON }

func (writesElsewhere) Name() string { return "here" }

func (writesElsewhere) Encode(_ context.Context, dst []byte, _ codec.Place, _ []enact.Event) ([]byte, string, error) {
	return append(dst, "{}"...), "elsewhere", nil
}

// What the store could not read again is not written.
func TestCodecThatNobodyReads(t *testing.T) {
	l := newCodecLog(t)
	run := l.open(jetstore.WithCodec(writesElsewhere{})).Execution("acme", "e")
	_, err := run.Append(t.Context(), note(1))
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	require.ErrorContains(t, err, `"elsewhere"`)
	head, err := run.Head(t.Context())
	require.NoError(t, err)
	require.Zero(t, head.Sequence)
}
