package fsck_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// A fault is told of also where another one stands behind it: what somebody has put on the
// subject since is not what is missing.
func TestOneFaultHidesNoOther(t *testing.T) {
	s := newSample(t)
	subjects, err := enact.NewSubjects("")
	require.NoError(t, err)
	a, b, c := s.at["a"], s.at["b"], s.at["c"]
	inLog := func(kind fsck.Kind, execution string, sequence, position uint64) finding {
		return finding{kind, "ENACT", execution, sequence, position, 0}
	}
	foreign := &nats.Msg{Subject: "enact.acme.a", Data: []byte("hello")}
	for _, tt := range []struct {
		name  string
		spoil func(l *logCopy)
		want  []finding
		heads bool
	}{
		{
			name:  "cut off, and a foreign message behind it",
			spoil: func(l *logCopy) { l.records.Cut(a[6]); l.records.Add(foreign) },
			want: []finding{
				inLog(fsck.MissingEnd, "acme/a", 13, a[5]), inLog(fsck.MissingEnd, "acme/b", 12, b[10]), inLog(fsck.ForeignMessage, "acme/a", 0, a[6]),
			}, heads: true,
		},
		{
			name:  "cut off, and an old record behind it",
			spoil: func(l *logCopy) { l.records.Cut(b[10]); l.records.Add(l.records.At(b[5])) },
			want: []finding{
				inLog(fsck.MissingEnd, "acme/b", 11, b[9]), inLog(fsck.MissingEnd, "acme/a", 13, a[5]), inLog(fsck.RepeatedRecord, "acme/b", 6, b[10]),
			}, heads: true,
		},
		{
			name: "cut off, and a forged first record of very many events behind it",
			spoil: func(l *logCopy) {
				l.records.Cut(a[6])
				r := &record.Record{
					TenantID: "acme", ExecutionID: "a", Times: make([]time.Time, record.MaxEvents), Codec: "json",
					Commit: record.Commit{ID: logtest.NewCommit(time.Now()), Index: 1, Of: 1}, Payload: []byte("{}"),
				}
				_, err := r.After(record.Tail{})
				require.NoError(t, err)
				m, err := r.Message(subjects)
				require.NoError(t, err)
				m.Header["Nats-Expected-Last-Subject-Sequence-Subject"] = []string{"enact.acme.nothing"}
				l.records.Add(m)
			},
			want: []finding{
				inLog(fsck.MissingEnd, "acme/a", 13, a[5]), inLog(fsck.MissingEnd, "acme/b", 12, b[10]), inLog(fsck.RepeatedRecord, "acme/a", 1, a[6]),
			}, heads: true,
		},
		{
			name: "a record whose place another's message has, and a foreign message behind it",
			spoil: func(l *logCopy) {
				l.records.Set(a[2], &nats.Msg{Subject: "enact.other.x"})
				l.records.Set(c[2], foreign)
			},
			want: []finding{
				inLog(fsck.ForeignMessage, "other/x", 0, a[2]), inLog(fsck.MissingRecord, "acme/a", 4, a[2]), inLog(fsck.ForeignMessage, "acme/a", 0, c[2]),
			},
		},
		{
			name: "two records apart, and between them another execution's last one",
			spoil: func(l *logCopy) {
				for _, p := range []uint64{a[1], c[1], a[2]} {
					l.records.Set(p, nil)
				}
				l.records.Set(c[2], &nats.Msg{Subject: "enact.other.x"})
			},
			want: []finding{
				{fsck.MissingMessage, "ENACT", "", 0, c[1], 0}, inLog(fsck.MissingRecord, "acme/a", 2, a[2]), inLog(fsck.ForeignMessage, "other/x", 0, c[2]),
			},
		},
		{
			name: "a torn batch at the end, and a foreign message behind it",
			spoil: func(l *logCopy) {
				l.records.Cut(b[7])
				l.records.Add(&nats.Msg{Subject: "enact.other.x"})
				l.records.Add(&nats.Msg{Subject: "enact.other.x"})
				l.records.Add(&nats.Msg{Subject: "enact.acme.b"})
			},
			want: []finding{
				inLog(fsck.TornBatch, "acme/b", 7, b[6]), inLog(fsck.ForeignMessage, "other/x", 0, b[6]+1), inLog(fsck.ForeignMessage, "other/x", 0, b[6]+2),
				inLog(fsck.ForeignMessage, "acme/b", 0, b[6]+3),
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := s.log.clone()
			tt.spoil(l)
			s.write(t, t.Context(), l)
			var o fsck.Options
			if tt.heads {
				o.Heads = withHeads(s.heads...)
			}
			require.Equal(t, tt.want, brief(check(t, t.Context(), s.open(t), o).Findings))
		})
	}
}

// A byte of a record's place in its batch is one fault, and no torn batch besides.
func TestWrongByteOfACommit(t *testing.T) {
	s := newSample(t)
	a, b := s.at["a"], s.at["b"]
	for _, position := range []uint64{a[0], a[7], b[4], b[5], b[8]} { // by themselves, and of a batch
		for _, at := range []int{0, -1, -3} { // the commit's id, "of", and which
			l := s.log.clone()
			m := l.records.Edit(position)
			commit := []byte(m.Header.Get(record.HeaderCommit))
			at = (at + len(commit)) % len(commit)
			changed := byte('1')
			if commit[at] == changed {
				changed = '2'
			}
			commit[at] = changed
			m.Header.Set(record.HeaderCommit, string(commit))
			s.write(t, t.Context(), l)
			require.Len(t, check(t, t.Context(), s.open(t), fsck.Options{}).Findings, 1, "%s at %d", commit, position)
		}
	}
}

// An index entry that is missing in one tenant's stream is told of, whatever is missing in
// another's.
func TestMissingEntryOfATenant(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	open := func() *jetstore.Store {
		store, err := jetstore.Open(ctx, w.nc, jetstore.WithMemoryStorage(), jetstore.WithStreamPerTenant())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Shutdown(context.Background())) })
		return store
	}
	store := open()
	for _, tenant := range []enact.TenantID{"a", "b"} {
		require.NoError(t, store.EnsureTenant(ctx, tenant))
		_, err := store.Append(ctx, "run", tenant, note(1))
		require.NoError(t, err)
	}
	for _, tenant := range []string{"a", "b"} {
		index, err := logtest.ReadStream(ctx, w.js, "ENACT_INDEX-"+tenant)
		require.NoError(t, err)
		if tenant == "a" {
			index.Messages = nil
		} else {
			index.Set(index.Add(nil), nil)
		}
		require.NoError(t, index.Write(ctx, w.js))
	}
	store = open()
	require.Equal(t, map[fsck.Kind]uint64{fsck.Unlisted: 1}, check(t, ctx, store, fsck.Options{Tenant: "a"}).Counts)
	require.Equal(t, map[fsck.Kind]uint64{fsck.MissingMessage: 1}, check(t, ctx, store, fsck.Options{Tenant: "b"}).Counts)
	require.Equal(t, map[fsck.Kind]uint64{fsck.Unlisted: 1, fsck.MissingMessage: 1}, check(t, ctx, store, fsck.Options{}).Counts)
}

// What is counted of a tenant is that tenant's.
func TestUnreadableOfATenant(t *testing.T) {
	w := newWorld(t)
	keys := codec.NewMemoryKeyRing()
	_, err := keys.Rotate(t.Context(), "gone")
	require.NoError(t, err)
	sealed, err := codec.NewAES256GCM(codec.JSON{}, keys)
	require.NoError(t, err)
	writer := w.open(t, jetstore.WithCodec(sealed))
	_, err = writer.Append(t.Context(), "run", "gone", note(1))
	require.NoError(t, err)
	subjects := writer.Subjects()
	other := logtest.Creation{Subjects: subjects, Tenant: "acme", Execution: "run", Commit: logtest.NewCommit(time.Now()), Time: time.Now(), Events: notes(1, 1)}
	m, err := other.Record()
	require.NoError(t, err)
	for _, m := range []*nats.Msg{m, other.Entry()} {
		_, err = w.js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
	}
	require.NoError(t, keys.DropTenant(t.Context(), "gone"))
	for tenant, want := range map[enact.TenantID]uint64{"acme": 0, "gone": 1} {
		report := check(t, t.Context(), writer, fsck.Options{Tenant: tenant, Execution: "run"})
		require.Equal(t, uint64(1), report.Records, tenant)
		require.Equal(t, want, report.Unreadable, tenant)
	}
}
