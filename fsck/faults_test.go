package fsck_test

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/record"
)

// sample is a log of three executions, of which records lie between each other's: a of
// single appends, b with a staged batch of five in its middle, c in another tenant.
type sample struct {
	*world
	log   *logCopy
	at    map[string][]uint64 // positions of the records by execution
	entry map[string]uint64   // positions of the index entries
	heads []enact.Head
}

func newSample(t *testing.T) *sample {
	w := newWorld(t)
	store := w.open(t)
	s := &sample{world: w, at: make(map[string][]uint64), entry: make(map[string]uint64)}
	ctx := t.Context()
	add := func(tenant enact.TenantID, id enact.ExecutionID, n int, opts ...enact.AppendOption) {
		run := store.Execution(tenant, id)
		head, err := run.Head(ctx)
		require.NoError(t, err)
		receipt, err := run.AppendBatch(ctx, notes(int(head.Sequence)+1, n), opts...)
		require.NoError(t, err)
		staged := uint64(1)
		if len(opts) > 0 {
			staged = uint64(n)
		}
		for p := receipt.Position - staged + 1; p <= receipt.Position; p++ {
			s.at[string(id)] = append(s.at[string(id)], p)
		}
	}
	for i := range 8 {
		add("acme", "a", 1+i%3)
		if i == 4 {
			add("acme", "b", 5, enact.WithOneEventPerRecord())
		}
		add("acme", "b", 1)
		if i < 3 {
			add("globex", "c", 1)
		}
	}
	s.log = w.read(t)
	for i, m := range s.log.index.Messages {
		for _, id := range []string{"a", "b", "c"} {
			if bytes.Contains(m.Data, []byte(`"execution_id":"`+id+`"`)) {
				s.entry[id] = s.log.index.First + uint64(i)
			}
		}
	}
	for id, tenant := range map[enact.ExecutionID]enact.TenantID{"a": "acme", "b": "acme", "c": "globex"} {
		head, err := store.Execution(tenant, id).Head(ctx)
		require.NoError(t, err)
		s.heads = append(s.heads, head)
	}
	return s
}

// record parses record n, from 1, of an execution.
func (s *sample) record(t *testing.T, l *logCopy, id string, n int) *record.Record {
	subjects, err := enact.NewSubjects("")
	require.NoError(t, err)
	p := s.at[id][n-1]
	m := l.records.At(p)
	r, err := record.Parse(subjects, m.Subject, p, m.Header, m.Data)
	require.NoError(t, err)
	return r
}

// forge changes record n's event and gives it the chain value that it should then have.
func (s *sample) forge(t *testing.T, l *logCopy, id string, n int) {
	r := s.record(t, l, id, n)
	var before enact.Chain
	if n > 1 {
		before = s.record(t, l, id, n-1).Link.Chain
	}
	m := l.records.Edit(s.at[id][n-1])
	m.Data = bytes.Replace(m.Data, []byte("note"), []byte("nope"), 1)
	r.Payload = m.Data
	link, _, _ := strings.Cut(m.Header.Get(record.HeaderLink), "chain=")
	m.Header[record.HeaderLink] = []string{link + "chain=" + r.ChainAfter(before).String()}
}

func withHeads(heads ...enact.Head) func() iter.Seq2[enact.Head, error] {
	return func() iter.Seq2[enact.Head, error] {
		return func(yield func(enact.Head, error) bool) {
			for _, h := range heads {
				if !yield(h, nil) {
					return
				}
			}
		}
	}
}

// Each fault is found, once, where it is; and nothing else.
func TestFaults(t *testing.T) {
	s := newSample(t)
	subjects, err := enact.NewSubjects("")
	require.NoError(t, err)
	a, b, c := s.at["a"], s.at["b"], s.at["c"]
	inLog := func(kind fsck.Kind, execution string, sequence, position uint64) finding {
		return finding{kind, "ENACT", execution, sequence, position, 0}
	}
	inIndex := func(kind fsck.Kind, execution string, position uint64) finding {
		return finding{kind, "ENACT_INDEX", execution, 0, position, 0}
	}
	// a's records have 1, 2, 3, 1, 2, 3, 1, 2 events; b's are of one each, those of 5 to 9
	// are a staged batch.
	cases := []struct {
		name  string
		spoil func(l *logCopy)
		want  []finding
		heads bool // the check is given heads
	}{
		{name: "healthy", spoil: func(*logCopy) {}},
		{name: "healthy, with heads", spoil: func(*logCopy) {}, heads: true},
		{
			name:  "changed payload",
			spoil: func(l *logCopy) { m := l.records.Edit(a[2]); m.Data[len(m.Data)/2] ^= 1 },
			want:  []finding{inLog(fsck.BrokenChain, "acme/a", 4, a[2])}, heads: true,
		},
		{
			name: "two changed payloads side by side",
			spoil: func(l *logCopy) {
				for _, p := range a[2:4] {
					m := l.records.Edit(p)
					m.Data = bytes.Replace(m.Data, []byte("note"), []byte("nope"), 1)
				}
			},
			want: []finding{inLog(fsck.BrokenChain, "acme/a", 4, a[2]), inLog(fsck.BrokenChain, "acme/a", 7, a[3])}, heads: true,
		},
		{
			name: "changed payload of the last record",
			spoil: func(l *logCopy) {
				m := l.records.Edit(a[7])
				m.Data = bytes.Replace(m.Data, []byte("note"), []byte("nope"), 1)
			},
			want: []finding{inLog(fsck.BrokenChain, "acme/a", 14, a[7])}, heads: true,
		},
		{
			name:  "changed payload of the first record",
			spoil: func(l *logCopy) { m := l.records.Edit(c[0]); m.Data[len(m.Data)-2] ^= 1 },
			want:  []finding{inLog(fsck.BrokenChain, "globex/c", 1, c[0])},
		},
		{
			name:  "changed header: time",
			spoil: func(l *logCopy) { l.records.Edit(b[1]).Header.Set(record.HeaderTime, "2020-01-01T00:00:00Z") },
			want:  []finding{inLog(fsck.BrokenChain, "acme/b", 2, b[1])}, heads: true,
		},
		{
			name:  "changed header: sequence",
			spoil: func(l *logCopy) { l.records.Edit(a[3]).Header.Set(record.HeaderSequence, "8") },
			want:  []finding{inLog(fsck.BadSequence, "acme/a", 8, a[3])}, heads: true,
		},
		{
			name:  "changed header: count",
			spoil: func(l *logCopy) { l.records.Edit(a[2]).Header.Set(record.HeaderCount, "2") },
			want:  []finding{inLog(fsck.BrokenChain, "acme/a", 4, a[2])}, heads: true,
		},
		{
			name:  "changed header: one that no record has",
			spoil: func(l *logCopy) { l.records.Edit(a[3]).Header.Set("Enact-More", "1") },
			want:  []finding{inLog(fsck.BadRecord, "acme/a", 7, a[3])}, heads: true,
		},
		{
			name: "changed header: commit",
			spoil: func(l *logCopy) {
				l.records.Edit(a[3]).Header.Set(record.HeaderCommit, logtest.NewCommit(time.Now()).String()+" 1/1")
			},
			want: []finding{inLog(fsck.BrokenChain, "acme/a", 7, a[3])}, heads: true,
		},
		{
			name: "changed header: chain",
			spoil: func(l *logCopy) {
				m := l.records.Edit(a[4])
				link, _, _ := strings.Cut(m.Header.Get(record.HeaderLink), "chain=")
				m.Header[record.HeaderLink] = []string{link + "chain=" + enact.Chain{1}.String()}
			},
			want: []finding{inLog(fsck.BrokenChain, "acme/a", 8, a[4])}, heads: true,
		},
		{
			name: "changed header: back list",
			spoil: func(l *logCopy) {
				m := l.records.Edit(a[6]) // record 7 names 6 and 4
				link := m.Header.Get(record.HeaderLink)
				astray := strings.Replace(link, "@"+strconv.FormatUint(a[3], 10), "@"+strconv.FormatUint(a[3]-1, 10), 1)
				require.NotEqual(t, link, astray)
				m.Header[record.HeaderLink] = []string{astray}
			},
			want: []finding{inLog(fsck.BadLink, "acme/a", 13, a[6])}, heads: true,
		},
		{
			name:  "message removed in the middle",
			spoil: func(l *logCopy) { l.records.Set(a[4], nil) },
			want:  []finding{inLog(fsck.MissingRecord, "acme/a", 8, a[4])}, heads: true,
		},
		{
			name:  "message replaced by another in the middle",
			spoil: func(l *logCopy) { l.records.Set(a[4], &nats.Msg{Subject: "enact.globex.x"}) },
			want:  []finding{inLog(fsck.ForeignMessage, "globex/x", 0, a[4]), inLog(fsck.MissingRecord, "acme/a", 8, a[4])},
		},
		{
			name: "messages removed in a row",
			spoil: func(l *logCopy) {
				for _, p := range b[5:8] {
					l.records.Set(p, nil)
				}
			},
			want: []finding{inLog(fsck.MissingRecord, "acme/b", 6, b[7])}, heads: true,
		},
		{
			name:  "first record removed",
			spoil: func(l *logCopy) { l.records.Set(a[0], nil) },
			want:  []finding{inLog(fsck.MissingRecord, "acme/a", 1, a[0])}, heads: true,
		},
		{
			name:  "last record removed",
			spoil: func(l *logCopy) { l.records.Set(c[2], nil) },
			want:  []finding{{fsck.MissingMessage, "ENACT", "", 0, c[2], 0}},
		},
		{
			name:  "last record removed, with heads",
			spoil: func(l *logCopy) { l.records.Set(c[2], nil) },
			want:  []finding{inLog(fsck.MissingEnd, "globex/c", 3, c[2])}, heads: true,
		},
		{
			name: "last record cut off with the end of the log",
			spoil: func(l *logCopy) {
				l.records.Messages = l.records.Messages[:a[7]-l.records.First]
			},
			want: []finding{inLog(fsck.MissingEnd, "acme/a", 14, a[6]), inLog(fsck.MissingEnd, "acme/b", 13, b[11])}, heads: true,
		},
		{
			name:  "last message of the log removed",
			spoil: func(l *logCopy) { l.records.Set(b[12], nil) },
			want:  []finding{{fsck.MissingMessage, "ENACT", "", 0, b[12], 0}},
		},
		{
			name: "execution removed, with its entry",
			spoil: func(l *logCopy) {
				for _, p := range c {
					l.records.Set(p, nil)
				}
				l.index.Messages = slices.Delete(l.index.Messages, 2, 3)
			},
			want: []finding{
				{fsck.MissingMessage, "ENACT", "", 0, c[0], 0}, {fsck.MissingMessage, "ENACT", "", 0, c[1], 0}, inLog(fsck.MissingEnd, "globex/c", 1, c[2]),
			}, heads: true,
		},
		{
			name:  "forged record",
			spoil: func(l *logCopy) { s.forge(t, l, "a", 4) },
			want:  []finding{inLog(fsck.BrokenChain, "acme/a", 8, a[4])}, heads: true,
		},
		{
			name:  "forged last record",
			spoil: func(l *logCopy) { s.forge(t, l, "c", 3) },
			want:  []finding{inLog(fsck.RewrittenEnd, "globex/c", 3, c[2])}, heads: true,
		},
		{
			name: "swapped pair",
			spoil: func(l *logCopy) {
				x, y := l.records.At(b[6]), l.records.At(b[7])
				l.records.Set(b[6], y)
				l.records.Set(b[7], x)
			},
			want: []finding{inLog(fsck.SwappedRecords, "acme/b", 8, b[6])}, heads: true,
		},
		{
			name: "swapped payloads",
			spoil: func(l *logCopy) {
				x, y := l.records.Edit(b[6]), l.records.Edit(b[7])
				x.Data, y.Data = y.Data, x.Data
			},
			want: []finding{inLog(fsck.BrokenChain, "acme/b", 7, b[6]), inLog(fsck.BrokenChain, "acme/b", 8, b[7])}, heads: true,
		},
		{
			name:  "repeated record",
			spoil: func(l *logCopy) { l.records.Set(b[6], l.records.At(b[5])) },
			want:  []finding{inLog(fsck.RepeatedRecord, "acme/b", 6, b[6])}, heads: true,
		},
		{
			name: "torn batch, and the history goes on",
			spoil: func(l *logCopy) {
				// A forger has appended behind a torn batch, with the right chain.
				r := s.record(t, l, "b", 7)
				next := s.record(t, l, "b", 10)
				next.Link.Number, next.Sequence = 0, 0
				_, err := next.After(r.Tail())
				require.NoError(t, err)
				m, err := next.Message(subjects)
				require.NoError(t, err)
				l.records.Messages = l.records.Messages[:b[7]-l.records.First]
				l.records.Add(m)
			},
			want: []finding{inLog(fsck.TornBatch, "acme/b", 7, b[6])},
		},
		{
			name:  "torn batch",
			spoil: func(l *logCopy) { l.records.Messages = l.records.Messages[:b[7]-l.records.First] },
			want:  []finding{inLog(fsck.TornBatch, "acme/b", 7, b[6])},
		},
		{
			name:  "missing index entry",
			spoil: func(l *logCopy) { l.index.Messages = slices.Delete(l.index.Messages, 1, 2) },
			want:  []finding{inLog(fsck.Unlisted, "acme/b", 1, b[0])}, heads: true,
		},
		{
			name:  "removed index entry",
			spoil: func(l *logCopy) { l.index.Set(s.entry["b"], nil) },
			want:  []finding{inLog(fsck.Unlisted, "acme/b", 1, b[0])}, heads: true,
		},
		{
			name: "crashed creation, and one that lost the race, and an entry twice",
			spoil: func(l *logCopy) {
				at := time.Now().Add(-time.Hour)
				crashed := logtest.Creation{Subjects: subjects, Tenant: "acme", Execution: "x", Commit: logtest.NewCommit(at), Time: at}
				l.index.Add(crashed.Entry())
				lost := crashed
				lost.Execution, lost.Commit = "a", logtest.NewCommit(at)
				l.index.Add(lost.Entry())
				l.index.Config.Duplicates = 100 * time.Millisecond
				l.index.Add(l.index.Messages[0])
			},
			want: []finding{
				inIndex(fsck.CrashedCreation, "acme/x", s.entry["c"]+1), inIndex(fsck.LostCreation, "acme/a", s.entry["c"]+2),
				inIndex(fsck.RepeatedEntry, "acme/a", s.entry["c"]+3),
			}, heads: true,
		},
		{
			name:  "foreign index entry",
			spoil: func(l *logCopy) { l.index.Add(&nats.Msg{Subject: "enact-index.acme", Data: []byte("hello")}) },
			want:  []finding{inIndex(fsck.BadEntry, "acme/", s.entry["c"]+1)},
		},
		{
			name: "changed time in an index entry",
			spoil: func(l *logCopy) {
				m := l.index.Edit(s.entry["b"])
				at := bytes.Index(m.Data, []byte(`"timestamp":"`)) + len(`"timestamp":"`)
				copy(m.Data[at:], "2020")
			},
			want: []finding{inIndex(fsck.BadEntry, "acme/b", s.entry["b"])}, heads: true,
		},
		{
			name:  "index message outside the scheme",
			spoil: func(l *logCopy) { l.index.Add(&nats.Msg{Subject: "enact-index.%61"}) },
			want:  []finding{inIndex(fsck.OutsideScheme, "", s.entry["c"]+1)},
		},
		{
			name:  "foreign message in a record's place",
			spoil: func(l *logCopy) { l.records.Set(a[3], &nats.Msg{Subject: "enact.acme.a", Data: []byte("hello")}) },
			want:  []finding{inLog(fsck.ForeignMessage, "acme/a", 0, a[3])}, heads: true,
		},
		{
			name:  "foreign message at the end",
			spoil: func(l *logCopy) { l.records.Add(&nats.Msg{Subject: "enact.acme.a", Data: []byte("hello")}) },
			want:  []finding{inLog(fsck.ForeignMessage, "acme/a", 0, b[12]+1)}, heads: true,
		},
		{
			name:  "foreign message of no execution that is",
			spoil: func(l *logCopy) { l.records.Add(&nats.Msg{Subject: "enact.acme.zzz"}) },
			want:  []finding{inLog(fsck.ForeignMessage, "acme/zzz", 0, b[12]+1)},
		},
		{
			name:  "message outside the scheme",
			spoil: func(l *logCopy) { l.records.Add(&nats.Msg{Subject: "enact.acme.a~b"}) },
			want:  []finding{{fsck.OutsideScheme, "ENACT", "", 0, b[12] + 1, 0}},
		},
		{
			name: "one id in two tenants",
			spoil: func(l *logCopy) {
				x := logtest.Creation{Subjects: subjects, Tenant: "other", Execution: "a", Commit: logtest.NewCommit(time.Now()), Time: time.Now(), Events: notes(1, 1)}
				m, err := x.Record()
				require.NoError(t, err)
				l.records.Add(m)
				l.index.Add(x.Entry())
			},
			want: []finding{inLog(fsck.TwoTenants, "other/a", 0, b[12]+1)}, heads: true,
		},
		{
			name: "unsupported version",
			spoil: func(l *logCopy) {
				for _, p := range a[3:5] {
					l.records.Edit(p).Header.Set(record.HeaderVersion, "2")
				}
			},
			want: []finding{inLog(fsck.UnsupportedVersion, "acme/a", 0, a[3])}, heads: true,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := s.log.clone()
			c.spoil(l)
			s.write(t, t.Context(), l)
			var o fsck.Options
			if c.heads {
				o.Heads = withHeads(s.heads...)
			}
			report := check(t, t.Context(), s.open(t), o)
			if c.want == nil {
				c.want = []finding{}
			}
			require.Equal(t, c.want, brief(report.Findings), "%+v", report.Findings)
			for _, f := range report.Findings {
				require.NotEmpty(t, f.Reason)
				require.Equal(t, f.Kind.Severity(), f.Severity)
			}
		})
	}
}
