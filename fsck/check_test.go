package fsck_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A byte that changed in a stored block costs the server the message. The check says which
// one, also where no history goes on behind it.
func TestByteFlippedOnDisk(t *testing.T) {
	for _, at := range []struct {
		event int
		want  finding
	}{
		{event: 3, want: finding{fsck.MissingRecord, "ENACT", "acme/a", 3, 0, 0}},
		{event: 10, want: finding{fsck.MissingMessage, "ENACT", "", 0, 0, 0}},
	} {
		t.Run(fmt.Sprint(at.event), func(t *testing.T) {
			dir, ctx := t.TempDir(), t.Context()
			store, err := embedded.Open(ctx, dir)
			require.NoError(t, err)
			run := store.Execution("acme", "a")
			for i := 1; i <= 10; i++ {
				receipt, err := run.Append(ctx, note(i))
				require.NoError(t, err)
				if i == at.event {
					at.want.position = receipt.Position
				}
			}
			require.Empty(t, check(t, ctx, store, fsck.Options{}).Findings)
			require.NoError(t, store.Shutdown(ctx))
			require.NoError(t, logtest.FlipOnDisk(dir, "ENACT", fmt.Sprintf(`"event_type":"note","data":%d}`, at.event)))

			store, err = embedded.Open(ctx, dir)
			require.NoError(t, err)
			defer func() { require.NoError(t, store.Shutdown(context.WithoutCancel(ctx))) }()
			report := check(t, ctx, store, fsck.Options{})
			require.Equal(t, []finding{at.want}, brief(report.Findings), "%+v", report.Findings)
		})
	}
}

// fill appends to many executions, in turns.
func fill(t *testing.T, store *jetstore.Store, executions, turns int) (heads []enact.Head) {
	t.Helper()
	for range turns {
		for i := range executions {
			_, err := store.Append(t.Context(), enact.ExecutionID(fmt.Sprint("e", i)), enact.TenantID(fmt.Sprint("t", i%3)), note(i))
			require.NoError(t, err)
		}
	}
	for i := range executions {
		head, err := store.Execution(enact.TenantID(fmt.Sprint("t", i%3)), enact.ExecutionID(fmt.Sprint("e", i))).Head(t.Context())
		require.NoError(t, err)
		heads = append(heads, head)
	}
	return heads
}

// More executions than there is memory for are checked in several passes, with the same
// result.
func TestPasses(t *testing.T) {
	w := newWorld(t)
	store := w.open(t)
	heads := fill(t, store, 60, 4)
	l := w.read(t)
	for _, p := range []uint64{70, 130, 200} {
		m := l.records.Edit(l.records.First + p)
		m.Data[len(m.Data)-2] ^= 1
	}
	l.records.Set(l.records.First+239, nil) // the last of all
	l.index.Messages = l.index.Messages[1:]
	w.write(t, t.Context(), l)
	store = w.open(t)
	one := check(t, t.Context(), store, fsck.Options{Heads: withHeads(heads...)})
	require.Equal(t, 1, one.Streams[0].Passes)
	require.Len(t, one.Findings, 5)
	require.Equal(t, map[fsck.Kind]uint64{fsck.BrokenChain: 3, fsck.MissingEnd: 1, fsck.Unlisted: 1}, one.Counts)
	many := check(t, t.Context(), store, fsck.Options{Heads: withHeads(heads...), Memory: 6000})
	require.Equal(t, 4, many.Streams[0].Passes)
	many.Streams[0].Passes = 1
	require.Equal(t, one, many)

	few := check(t, t.Context(), store, fsck.Options{Heads: withHeads(heads...), Findings: 2})
	require.Len(t, few.Findings, 2)
	require.Equal(t, one.Counts, few.Counts, "all are counted")
}

// A check that is broken off goes on from its state, wherever it was, with the same result.
func TestResume(t *testing.T) {
	w := newWorld(t)
	heads := fill(t, w.open(t), 30, 70) // some calls of the progress function
	l := w.read(t)
	for _, p := range []uint64{50, 900, 2050} {
		m := l.records.Edit(l.records.First + p)
		m.Data[len(m.Data)-2] ^= 1
	}
	l.records.Set(l.records.First+1100, nil)
	w.write(t, t.Context(), l)
	store := w.open(t)
	want := check(t, t.Context(), store, fsck.Options{Heads: withHeads(heads...), Memory: 6000})
	require.Len(t, want.Findings, 4)
	require.Equal(t, 2, want.Streams[0].Passes)

	file := filepath.Join(t.TempDir(), "state")
	broken := 0
	for stop := 1; ; stop++ {
		calls := 0
		ctx, cancel := context.WithCancel(t.Context())
		report, err := fsck.Check(ctx, store, fsck.Options{
			Heads: withHeads(heads...), Memory: 6000, State: file,
			// Each run comes a little further.
			Progress: func(fsck.Progress) {
				if calls++; calls == 2 {
					cancel()
				}
			},
		})
		cancel()
		if err == nil {
			require.Equal(t, want, report)
			break
		}
		broken++
		require.ErrorIs(t, err, context.Canceled)
		require.FileExists(t, file)
		require.Less(t, stop, 20)
	}
	require.Positive(t, broken)
	require.NoFileExists(t, file, "a check that is done leaves no state")
}

// A state is of no use for another check, and nothing that is no state is taken for one.
func TestStateOfAnotherCheck(t *testing.T) {
	w := newWorld(t)
	fill(t, w.open(t), 3, 1)
	store := w.open(t)
	file := filepath.Join(t.TempDir(), "state")
	breakOff := func(o fsck.Options) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o.State, o.Progress = file, func(fsck.Progress) { cancel() }
		_, err := fsck.Check(ctx, store, o)
		return err
	}
	require.ErrorIs(t, breakOff(fsck.Options{}), context.Canceled)
	saved, err := os.ReadFile(file)
	require.NoError(t, err)

	refused := func(reason string, o fsck.Options) {
		t.Helper()
		o.State = file
		_, err := fsck.Check(t.Context(), store, o)
		var state *fsck.StateError
		require.ErrorAs(t, err, &state)
		require.ErrorIs(t, err, fsck.ErrState)
		require.Equal(t, file, state.File)
		require.Contains(t, state.Reason, reason)
	}
	refused("tenant", fsck.Options{Tenant: "t1"})
	refused("heads", fsck.Options{Heads: withHeads(enact.Head{TenantID: "t1", ExecutionID: "e", Sequence: 1})})
	require.NoError(t, os.WriteFile(file, append(saved[:len(saved)-1:len(saved)-1], saved[len(saved)-1]^1), 0o600))
	refused("damaged", fsck.Options{})
	require.NoError(t, os.WriteFile(file, []byte("hello"), 0o600))
	refused("no state", fsck.Options{})

	// The stream was made anew.
	require.NoError(t, os.WriteFile(file, saved, 0o600))
	require.NoError(t, w.js.DeleteStream(t.Context(), "ENACT"))
	store = w.open(t)
	refused("incarnation", fsck.Options{})
	require.NoError(t, os.Remove(file))
	check(t, t.Context(), store, fsck.Options{State: file})
}

func TestScopes(t *testing.T) {
	s := newSample(t)
	l := s.log.clone()
	for _, p := range []uint64{s.at["a"][1], s.at["b"][2], s.at["c"][1]} {
		m := l.records.Edit(p)
		m.Data[len(m.Data)-2] ^= 1
	}
	l.index.Messages = l.index.Messages[:0] // nothing is listed
	s.write(t, t.Context(), l)
	store := s.open(t)
	for _, c := range []struct {
		o          fsck.Options
		executions []string
		records    uint64
	}{
		{fsck.Options{}, []string{"acme/a", "acme/b", "globex/c"}, 24},
		{fsck.Options{Tenant: "acme"}, []string{"acme/a", "acme/b"}, 21},
		{fsck.Options{Tenant: "globex"}, []string{"globex/c"}, 3},
		{fsck.Options{Tenant: "nobody"}, nil, 0},
		{fsck.Options{Execution: "b"}, []string{"acme/b"}, 13},
		{fsck.Options{Execution: "b", Tenant: "acme"}, []string{"acme/b"}, 13},
		{fsck.Options{Execution: "b", Tenant: "globex"}, nil, 0},
		{fsck.Options{Execution: "nobody"}, nil, 0},
	} {
		report := check(t, t.Context(), store, c.o)
		require.Equal(t, fsck.Scope{TenantID: c.o.Tenant, ExecutionID: c.o.Execution}, report.Scope)
		n := make(map[string]int)
		for _, f := range brief(report.Findings) {
			n[f.execution]++
		}
		require.Len(t, n, len(c.executions), "%+v: %+v", c.o, report.Findings)
		for _, x := range c.executions {
			require.Equal(t, 2, n[x], "%s: unlisted, and a broken chain", x)
		}
		require.Equal(t, c.records, report.Records, "%+v", c.o)
	}

	for _, o := range []fsck.Options{{Memory: -1}, {Findings: -1}, {EachReplica: true, Tenant: "acme"}} {
		_, err := fsck.Check(t.Context(), store, o)
		require.ErrorIs(t, err, enact.ErrInvalidOption)
	}
	_, err := fsck.Check(t.Context(), store, fsck.Options{Tenant: enact.TenantID(make([]byte, 200))})
	require.ErrorIs(t, err, enact.ErrInvalidID)
	_, err = fsck.Check(t.Context(), store, fsck.Options{Heads: func() iter.Seq2[enact.Head, error] {
		return func(yield func(enact.Head, error) bool) { yield(enact.Head{}, errors.New("torn file")) }
	}})
	require.EqualError(t, err, "torn file")
}

// Where each tenant has streams, all are checked, and an id may be any number of tenants'.
func TestStreamPerTenant(t *testing.T) {
	w := newWorld(t)
	store, err := jetstore.Open(t.Context(), w.nc, jetstore.WithMemoryStorage(), jetstore.WithStreamPerTenant())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Shutdown(context.Background())) })
	ctx := t.Context()
	for _, tenant := range []enact.TenantID{"a", "b", "c.d"} {
		require.NoError(t, store.EnsureTenant(ctx, tenant))
		for i := range 3 {
			_, err := store.Append(ctx, "same", tenant, note(i))
			require.NoError(t, err)
		}
	}
	report := check(t, ctx, store, fsck.Options{})
	require.Empty(t, report.Findings)
	require.Len(t, report.Streams, 3)
	require.Equal(t, uint64(9), report.Records)
	require.Equal(t, uint64(3), report.Executions)

	_, err = w.js.Publish(ctx, "enact.b.other", nil)
	require.NoError(t, err)
	require.NoError(t, w.js.DeleteStream(ctx, "ENACT_INDEX-b"))
	require.NoError(t, store.EnsureTenant(ctx, "b"))
	report = check(t, ctx, store, fsck.Options{})
	require.Equal(t, map[fsck.Kind]uint64{fsck.ForeignMessage: 1, fsck.Unlisted: 1}, report.Counts)
	require.Equal(t, "ENACT-b", report.Findings[0].Stream)
	require.Empty(t, check(t, ctx, store, fsck.Options{Tenant: "a"}).Findings)
	require.Len(t, check(t, ctx, store, fsck.Options{Tenant: "b"}).Findings, 2)

	added, err := fsck.Repair(ctx, store, "", nil)
	require.NoError(t, err)
	require.Equal(t, uint64(1), added)
	report = check(t, ctx, store, fsck.Options{Tenant: "b", EachReplica: true})
	require.Equal(t, map[fsck.Kind]uint64{fsck.ForeignMessage: 1}, report.Counts)
}

// A repair adds what is missing and touches nothing else.
func TestRepair(t *testing.T) {
	s := newSample(t)
	l := s.log.clone()
	l.index.Messages = l.index.Messages[:1]
	m := l.records.Edit(s.at["b"][2])
	m.Data[len(m.Data)-2] ^= 1
	s.write(t, t.Context(), l)
	store := s.open(t)
	before := check(t, t.Context(), store, fsck.Options{})
	require.Equal(t, map[fsck.Kind]uint64{fsck.Unlisted: 2, fsck.BrokenChain: 1}, before.Counts)
	for _, f := range before.Findings {
		require.Equal(t, f.Kind == fsck.Unlisted, f.Repair != "", "what is kept as it is says so")
	}
	_, err := fsck.Repair(t.Context(), store, "acme", nil)
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	added, err := fsck.Repair(t.Context(), store, "", nil)
	require.NoError(t, err)
	require.Equal(t, uint64(2), added)
	require.Equal(t, map[fsck.Kind]uint64{fsck.BrokenChain: 1}, check(t, t.Context(), store, fsck.Options{}).Counts)
	after := s.read(t)
	require.Equal(t, l.records.Messages, after.records.Messages)
	require.Equal(t, l.index.Messages[0].Data, after.index.Messages[0].Data)
	require.Len(t, after.index.Messages, 3)
}

// Payloads that cannot be decoded here are told apart from those that are wrong.
func TestPayloads(t *testing.T) {
	w := newWorld(t)
	keys := codec.NewMemoryKeyRing()
	for _, tenant := range []enact.TenantID{"acme", "gone"} {
		_, err := keys.Rotate(t.Context(), tenant)
		require.NoError(t, err)
	}
	sealed := func(keys codec.KeyRing) jetstore.Option {
		c, err := codec.NewAES256GCM(codec.JSON{}, keys)
		require.NoError(t, err)
		return jetstore.WithCodec(c)
	}
	writer := w.open(t, sealed(keys))
	var at []uint64
	for i := range 6 {
		tenant := enact.TenantID([]string{"acme", "gone"}[i%2])
		receipt, err := writer.Execution(tenant, enact.ExecutionID("x-"+tenant)).Append(t.Context(), note(i))
		require.NoError(t, err)
		at = append(at, receipt.Position)
	}
	require.Empty(t, check(t, t.Context(), writer, fsck.Options{}).Findings)

	report := check(t, t.Context(), w.open(t), fsck.Options{})
	require.Equal(t, []finding{
		{fsck.UnknownCodec, "ENACT", "acme/x-acme", 1, at[0], 0}, {fsck.UnknownCodec, "ENACT", "gone/x-gone", 1, at[1], 0},
	}, brief(report.Findings), "one for each execution")
	require.Equal(t, uint64(3), report.Findings[0].Records)
	require.Equal(t, uint64(2), report.Unchecked)
	require.Zero(t, report.Faults)
	require.False(t, report.Clean())

	report = check(t, t.Context(), w.open(t, sealed(codec.NewMemoryKeyRing())), fsck.Options{})
	require.Equal(t, map[fsck.Kind]uint64{fsck.MissingKey: 2}, report.Counts)

	require.NoError(t, keys.DropTenant(t.Context(), "gone"))
	report = check(t, t.Context(), writer, fsck.Options{})
	require.Empty(t, report.Findings, "an erased tenant is no fault")
	require.Equal(t, uint64(3), report.Unreadable)

	// A forger has appended what decodes to no event, with the right chain.
	forged := &record.Record{
		TenantID: "acme", ExecutionID: "forged", Times: []time.Time{time.Now().UTC()}, Codec: "json",
		Commit: record.Commit{ID: logtest.NewCommit(time.Now()), Index: 1, Of: 1}, Payload: []byte(`{"type":1}`),
	}
	_, err := forged.After(record.Tail{})
	require.NoError(t, err)
	m, err := forged.Message(writer.Subjects())
	require.NoError(t, err)
	ack, err := w.js.PublishMsg(t.Context(), m)
	require.NoError(t, err)
	report = check(t, t.Context(), writer, fsck.Options{})
	require.Equal(t, []finding{
		{fsck.BadPayload, "ENACT", "acme/forged", 1, ack.Sequence, 0}, {fsck.Unlisted, "ENACT", "acme/forged", 1, ack.Sequence, 0},
	}, brief(report.Findings))
}

// Beside writers nothing is found that is not there, but for creations that are under way; once
// they are through, nothing at all.
func TestBesideWriters(t *testing.T) {
	w := newWorld(t)
	store := w.open(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	errs := make([]error, 3)
	for n := range errs {
		random := rand.New(rand.NewPCG(uint64(n), 1))
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				run := store.Execution(enact.TenantID(fmt.Sprint("t", n)), enact.ExecutionID(fmt.Sprintf("w%d-%d", n, random.IntN(i/4+1))))
				var opts []enact.AppendOption
				if random.IntN(4) == 0 {
					opts = append(opts, enact.WithOneEventPerRecord())
				}
				if _, err := run.AppendBatch(t.Context(), notes(1, 1+random.IntN(8)), opts...); err != nil {
					errs[n] = err
					return
				}
			}
		})
	}
	for range 5 {
		report := check(t, t.Context(), store, fsck.Options{Memory: 20_000})
		for _, f := range report.Findings {
			require.Equal(t, fsck.CrashedCreation, f.Kind, "%+v", f)
		}
	}
	stop()
	writers.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Empty(t, check(t, t.Context(), store, fsck.Options{}).Findings)
}
