package record

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// sample is a valid message that the tests break.
type sample struct {
	m        *nats.Msg
	position uint64
}

// samples returns messages of every kind. They are made anew for each call.
//
//	single    record 12: two events of different times, a key, metadata, a codec;
//	          event 22, position 1110, back=20@1100,18@1090,14@1070
//	second    record 2, event 2, position 1010, back=1@1000
//	creation1, creation2, creation3
//	          a staged batch of three that creates an execution, positions 1000 to 1002
//	staged2   record 4 of an execution, 2/5 of a batch, event 5, position 1021,
//	          back=4@~1,2@1010
//	staged5   record 7, 5/5 of the same batch, event 8, position 1024, back=7@~1,5@~3
func samples(tb testing.TB) map[string]sample {
	tb.Helper()
	out := make(map[string]sample)
	add := func(t Tail, position uint64, names []string, records ...*Record) {
		for i, r := range records {
			var err error
			t, err = r.After(t)
			require.NoError(tb, err)
			m, err := r.Message(testSubjects)
			require.NoError(tb, err)
			out[names[i]] = sample{m, position + uint64(i)}
		}
	}
	single := newRecord(12, 1, 1, 2)
	single.Times[1] = single.Times[0].Add(5)
	single.Key = "a key"
	single.Codec = "cbor;v=1"
	single.Metadata = map[string]string{"user": "ann"}
	single.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	add(historyTail(tb, 11), 1110, []string{"single"}, single)
	add(historyTail(tb, 1), 1010, []string{"second"}, newRecord(2, 1, 1, 1))
	add(Tail{}, 1000, []string{"creation1", "creation2", "creation3"}, newRecord(1, 1, 3, 1), newRecord(1, 2, 3, 1), newRecord(1, 3, 3, 1))
	add(historyTail(tb, 2), 1020, []string{"staged1", "staged2", "staged3", "staged4", "staged5"},
		newRecord(3, 1, 5, 1), newRecord(3, 2, 5, 1), newRecord(3, 3, 5, 1), newRecord(3, 4, 5, 1), newRecord(3, 5, 5, 1))
	return out
}

func (s sample) parse() (*Record, error) {
	return Parse(testSubjects, s.m.Subject, s.position, s.m.Header, s.m.Data)
}

// The samples are valid as they are, so that each case below breaks one rule only.
func TestSamplesParse(t *testing.T) {
	all := samples(t)
	for name, s := range all {
		_, err := s.parse()
		require.NoError(t, err, name)
	}
	for name, want := range map[string]string{
		"single":    "back=20@1100,18@1090,14@1070 ",
		"second":    "back=1@1000 ",
		"creation1": "back= ",
		"creation2": "back=1@~1 ",
		"creation3": "back=2@~1 ",
		"staged2":   "back=4@~1,2@1010 ",
		"staged5":   "back=7@~1,5@~3 ",
	} {
		require.Contains(t, all[name].m.Header[HeaderLink][0], want, name)
	}
}

// breakage changes a sample so that it breaks one rule.
type breakage struct {
	of       string // the sample
	name     string
	change   func(s *sample)
	reason   string // part of the error's
	sequence uint64 // the error's; 0: not known
}

// set gives a header other values.
func set(name string, values ...string) func(s *sample) {
	return func(s *sample) { s.m.Header[name] = values }
}

// drop takes a header away.
func drop(name string) func(s *sample) {
	return func(s *sample) { delete(s.m.Header, name) }
}

// edit replaces a part of a header, which must be there.
func edit(name, old, new string) func(s *sample) {
	return func(s *sample) {
		v := s.m.Header[name][0]
		if strings.Count(v, old) != 1 {
			panic("not once in " + name + ": " + old)
		}
		s.m.Header[name] = []string{strings.Replace(v, old, new, 1)}
	}
}

func both(changes ...func(s *sample)) func(s *sample) {
	return func(s *sample) {
		for _, change := range changes {
			change(s)
		}
	}
}

func subject(text string) func(s *sample) {
	return func(s *sample) { s.m.Subject = text }
}

func at(position uint64) func(s *sample) {
	return func(s *sample) { s.position = position }
}

func TestParseRefuses(t *testing.T) {
	for _, rules := range [][]breakage{brokenHeaders(), brokenTimes(), brokenMetadata(), brokenCommits(), brokenLinks(t), brokenBacks()} {
		for _, tt := range rules {
			t.Run(tt.of+"/"+tt.name, func(t *testing.T) {
				s := samples(t)[tt.of]
				tt.change(&s)
				r, err := s.parse()
				require.Nil(t, r)
				require.ErrorIs(t, err, enact.ErrCorrupt)
				corrupt, ok := errors.AsType[*enact.CorruptError](err)
				require.True(t, ok)
				require.Contains(t, corrupt.Reason, tt.reason)
				require.Equal(t, s.position, corrupt.Position)
				require.Equal(t, tt.sequence, corrupt.Sequence)
			})
		}
	}
}

func brokenHeaders() []breakage {
	const notSubject = "is not enact.<tenant>.<execution>"
	rules := []breakage{
		{"single", "subject of another prefix", subject("other.acme.x"), notSubject, 0},
		{"single", "subject of a longer prefix", subject("enactive.acme.x"), notSubject, 0},
		{"single", "subject without an execution", subject("enact.acme"), notSubject, 0},
		{"single", "subject with a further token", subject("enact.acme.x.y"), "is not percent-encoded", 0},
		{"single", "subject of an empty tenant", subject("enact..x"), "tenant id", 0},
		{"single", "subject of an empty execution", subject("enact.acme."), "execution id", 0},
		{"single", "subject with a plain byte encoded", subject("enact.acme.%61"), "is not percent-encoded", 0},
		{"single", "subject in lower-case hex", subject("enact.acme.%2e"), "is not percent-encoded", 0},
		{"single", "subject with a bare dollar", subject("enact.$acme.x"), "is not percent-encoded", 0},
		{"single", "subject that is not UTF-8", subject("enact.acme.%FF"), "is not valid UTF-8", 0},
		{"single", "subject with a long id", subject("enact.acme." + strings.Repeat("x", 129)), "at most 128", 0},

		{"single", "explicit version 1", set(HeaderVersion, "1"), "version 1 is written by leaving", 22},

		{"single", "no sequence", drop(HeaderSequence), "Enact-Sequence is missing", 0},
		{"single", "two sequences", set(HeaderSequence, "22", "22"), "Enact-Sequence is there 2 times", 0},
		{"single", "sequence below the number", set(HeaderSequence, "11"), "too low", 11},
		{"single", "sequence 1 of a later record", set(HeaderSequence, "1"), "record 12 of the execution begins with event 1", 1},
		{"second", "sequence not after the previous record's", both(set(HeaderSequence, "2"), edit(HeaderLink, "1@1000", "2@1000")), "cannot be record 1", 2},
		{"single", "sequence of the previous record", edit(HeaderLink, "20@1100", "22@1100"), "the previous record begins with event 22", 22},
		{"creation1", "sequence of a first record", set(HeaderSequence, "2"), "record 1 of the execution begins with event 2", 2},
		{"single", "sequence overflows", set(HeaderSequence, "18446744073709551615"), "overflows", 18446744073709551615},

		{"single", "count 0", set(HeaderCount, "0"), "count", 22},
		{"single", "count 1", set(HeaderCount, "1"), "count", 22},
		{"single", "count 1025", set(HeaderCount, "1025"), "count", 22},
		{"single", "count with a zero in front", set(HeaderCount, "02"), "count", 22},
		{"single", "count with a sign", set(HeaderCount, "+2"), "count", 22},
		{"single", "count that is no number", set(HeaderCount, "two"), "count", 22},
		{"single", "empty count", set(HeaderCount, ""), "count", 22},
		{"single", "two counts", set(HeaderCount, "2", "2"), "Enact-Count is there 2 times", 22},

		{"single", "explicit codec json", set(HeaderCodec, "json"), "codec", 22},
		{"single", "empty codec", set(HeaderCodec, ""), "codec", 22},
		{"single", "codec in upper case", set(HeaderCodec, "CBOR"), "codec", 22},
		{"single", "codec without a name", set(HeaderCodec, ";v=1"), "codec", 22},
		{"single", "codec with a space", set(HeaderCodec, "cbor; v=1"), "codec", 22},
		{"single", "codec with a space at the end", set(HeaderCodec, "cbor "), "codec", 22},
		{"single", "codec that is not ASCII", set(HeaderCodec, "cbor;é"), "codec", 22},
		{"single", "codec that is not UTF-8", set(HeaderCodec, "cbor;\xff"), "codec", 22},
		{"single", "codec with a control byte", set(HeaderCodec, "cbor;\x7f"), "codec", 22},
		{"single", "two codecs", set(HeaderCodec, "cbor", "cbor"), "Enact-Codec is there 2 times", 22},

		{"single", "no expected sequence", drop(HeaderExpected), "Nats-Expected-Last-Subject-Sequence is missing", 22},
		{"single", "two expected sequences", set(HeaderExpected, "1100", "1100"), "Nats-Expected-Last-Subject-Sequence is there 2 times", 22},
		{"single", "another expected sequence", set(HeaderExpected, "1090"), "the link says 1100", 22},
		{"single", "expected sequence with a zero in front", set(HeaderExpected, "01100"), "the link says 1100", 22},
		{"single", "empty expected sequence", set(HeaderExpected, ""), "the link says 1100", 22},
		{"creation1", "expected sequence of a first record", set(HeaderExpected, "1"), "the link says 0", 1},
		{"staged2", "expected sequence inside a batch", set(HeaderExpected, "1020"), "record 2 of an append carries", 5},

		{"single", "empty key", set(HeaderKey, ""), "is not an idempotency key", 22},
		{"single", "key with a plain byte encoded", set(HeaderKey, "%61"), "is not an idempotency key", 22},
		{"single", "key with a bare space", set(HeaderKey, "a key"), "is not an idempotency key", 22},
		{"single", "key that is not UTF-8", set(HeaderKey, "%FF"), "is not an idempotency key", 22},
		{"single", "key of 257 bytes", set(HeaderKey, strings.Repeat("k", 257)), "is not an idempotency key", 22},
		{"single", "two keys", set(HeaderKey, "k", "k"), "Enact-Key is there 2 times", 22},
		{"staged2", "key inside a batch", set(HeaderKey, "k"), "record 2 of an append carries", 5},

		{"single", "unknown header", set("Enact-Foo", "1"), "unknown header Enact-Foo", 22},
		{"single", "header of another spelling", set("Enact-count", "2"), "unknown header Enact-count", 22},
		{"single", "header without a name", set("Enact-", "1"), "unknown header Enact-", 22},
		{"single", "header without values", set("Enact-Foo"), "Enact-Foo is missing", 22},
	}
	for _, text := range []string{"", "0", "022", "+22", "-22", " 22", "22 ", "22.0", "0x16", "2_2", "x", "18446744073709551616"} {
		rules = append(rules, breakage{"single", "sequence " + text, set(HeaderSequence, text), "sequence", 0})
	}
	return rules
}

func brokenTimes() []breakage {
	const day = "2026-02-23T12:00:00"
	rules := []breakage{
		{"single", "no time", drop(HeaderTime), "Enact-Time is missing", 22},
		{"single", "two times", set(HeaderTime, day+"Z", day+"Z"), "Enact-Time is there 2 times", 22},
		{"single", "a list of equal times", set(HeaderTime, day+"Z,+0"), "a list of equal times", 22},
		{"single", "too many times", set(HeaderTime, day+"Z,+1,+2"), "more times than", 22},
		{"second", "a list for one event", set(HeaderTime, day+"Z,+1"), "more times than", 2},
		{"single", "too few times", both(set(HeaderCount, "3"), set(HeaderTime, day+"Z,+1")), "2 times for the record's 3", 22},
	}
	for _, text := range []string{
		"", "Z", day, day + "+00:00", day + "-00:00", day + "z", "2026-02-23t12:00:00Z", "2026-02-23 12:00:00Z", day + ".0Z", day + ".000Z", day + ".5Z",
		day + ".120000Z", day + ".1234567890Z", " " + day + "Z", day + "Z ", "+2026-02-23T12:00:00Z", "2026-02-30T12:00:00Z", "2026-02-23T12:00:60Z", "2026-02-23T13:00:00+01:00",
	} {
		rules = append(rules, breakage{"single", "time " + text, set(HeaderTime, text+",+1"), "is not in the log's form", 22})
	}
	for _, text := range []string{
		"", "1", "-0", "+", "-", "+-1", "++1", "+01", "-01", "+1 ", " +1", "+1.0", "+1s", "+9223372036854775807", "-9223372036854775808", "+9223372036854775808", "+99999999999999999999",
	} {
		rules = append(rules, breakage{"single", "distance " + text, set(HeaderTime, day+"Z,"+text), "is not a signed number of nanoseconds", 22})
	}
	return rules
}

func brokenMetadata() []breakage {
	var rules []breakage
	for _, key := range []string{"", "%61", "%2e", "%FF", "%", "%2", "a:b", "a b", "é"} {
		rules = append(rules, breakage{"single", "key " + key, set(HeaderMetaPrefix+key, "v"), "metadata key", 22})
	}
	for _, value := range []string{"%61", "%2e", "%FF", "%", "a b", " a", "é", "a.b"} {
		rules = append(rules, breakage{"single", "value " + value, set(HeaderMetaPrefix+"user", value), "the value is not percent-encoded", 22})
	}
	return append(rules, breakage{"single", "two values", set(HeaderMetaPrefix+"user", "a", "a"), "Enact-Meta-user is there 2 times", 22})
}

func brokenCommits() []breakage {
	id := testCommit(12).String()
	rules := []breakage{
		{"single", "no commit", drop(HeaderCommit), "Enact-Commit is missing", 22},
		{"single", "two commits", set(HeaderCommit, id+" 1/1", id+" 1/1"), "Enact-Commit is there 2 times", 22},
		{"creation2", "place beyond the number", both(edit(HeaderCommit, "2/3", "3/3")), "record 3 of an append cannot be record 2", 2},
	}
	for _, place := range []string{"", "1", "/", "1/", "/1", "0/1", "2/1", "1/0", "01/1", "1/01", "1/1001", "1001/1001", "1/1 ", " 1/1", "1/1/1", "+1/1", "1/x", "-1/1"} {
		rules = append(rules, breakage{"single", "place " + place, set(HeaderCommit, id+" "+place), "bad place in the batch", 22})
	}
	for _, text := range []string{
		"", "x", strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), id[:35], id + "0", strings.Replace(id, "-", "_", 1), id[:35] + "g",
	} {
		rules = append(rules, breakage{"single", "id " + text, set(HeaderCommit, text+" 1/1"), "is not a UUID in lower case", 22})
	}
	return append(rules, breakage{"single", "space before the id", set(HeaderCommit, " "+id+" 1/1"), "is not a UUID in lower case", 22})
}

// The version is looked at before anything else.
func TestParseOtherVersions(t *testing.T) {
	for _, values := range [][]string{{"2"}, {""}, {"01"}, {" 1"}, {"1.0"}, {"1", "1"}, {"2", "1"}, {}} {
		for name, header := range map[string]nats.Header{
			"alone":            {},
			"and all is wrong": {HeaderSequence: {"x", "y"}, HeaderLink: {""}, "Enact-New": {"1"}, HeaderCodec: {"json"}},
			"and all is right": samples(t)["single"].m.Header,
		} {
			header[HeaderVersion] = values
			for _, subject := range []string{testSubject, "other.subject"} {
				_, err := Parse(testSubjects, subject, 7, header, nil)
				require.Equal(t, &enact.UnsupportedVersionError{Position: 7, Version: strings.Join(values, ",")}, err, name)
			}
		}
	}
}

// A message of another program is not taken for a record.
func TestParseForeignMessage(t *testing.T) {
	for _, header := range []nats.Header{nil, {}, {"Nats-Msg-Id": {"1"}}, {"enact-sequence": {"1"}}} {
		_, err := Parse(testSubjects, testSubject, 7, header, []byte("hello"))
		require.Equal(t, &enact.CorruptError{
			TenantID: testTenant, ExecutionID: testExecution, Position: 7, Reason: "header Enact-Sequence is missing",
		}, err)
	}
}

// What others put beside the record's headers is none of its business.
func TestParseIgnoresOtherHeaders(t *testing.T) {
	s := samples(t)["single"]
	want, err := s.parse()
	require.NoError(t, err)
	for name, values := range map[string][]string{
		"Nats-Batch-Id": {"x"}, "Nats-Msg-Id": {"a", "b"}, "X-Custom": {}, "enact-count": {"7"}, "baggage": {"a=b"}, HeaderTraceState: {},
	} {
		s.m.Header[name] = values
	}
	got, err := s.parse()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// What stands exactly at a limit is within it.
func TestParseAcceptsLimits(t *testing.T) {
	const distances = ",-9223372036854775807,+9223372036854775806"
	for name, change := range map[string]func(s *sample){
		"tenant":    subject("enact." + strings.Repeat("%2E", 128) + ".x"),
		"execution": subject("enact.acme." + strings.Repeat("x", 128)),
		"sequence":  set(HeaderSequence, "18446744073709551614"),
		"count":     both(set(HeaderCount, "1024"), set(HeaderTime, "2026-02-23T12:00:00Z")),
		"distances": both(set(HeaderCount, "3"), set(HeaderTime, "2026-02-23T12:00:00Z"+distances)),
		"key":       set(HeaderKey, strings.Repeat("%C3%A9", 128)),
		"batch":     edit(HeaderCommit, "1/1", "1/1000"),
		"codec":     set(HeaderCodec, "-;!~"),
		"metadata":  set(HeaderMetaPrefix+strings.Repeat("k", 100), strings.Repeat("v", 10_000)),
	} {
		s := samples(t)["single"]
		change(&s)
		_, err := s.parse()
		require.NoError(t, err, name)
	}
}

// A hostile value does not fill the log of who reports it.
func TestParseErrorsAreShort(t *testing.T) {
	for _, name := range []string{
		HeaderExpected, HeaderSequence, HeaderCount, HeaderTime, HeaderCodec, HeaderCommit, HeaderKey, HeaderLink, HeaderMetaPrefix + "user",
		"Enact-" + strings.Repeat("x", 5000), HeaderMetaPrefix + strings.Repeat("é", 5000),
	} {
		for _, value := range []string{strings.Repeat("é", 5000), strings.Repeat("\xff", 5000), strings.Repeat("9,@ =", 5000)} {
			s := samples(t)["single"]
			s.m.Header[name] = []string{value}
			_, err := s.parse()
			require.ErrorIs(t, err, enact.ErrCorrupt)
			require.Less(t, len(err.Error()), 1000, name)
			require.True(t, utf8.ValidString(err.Error()))
		}
	}
}

func TestClip(t *testing.T) {
	require.Equal(t, strings.Repeat("x", 160), clip(strings.Repeat("x", 160)))
	require.Equal(t, strings.Repeat("x", 160)+"…", clip(strings.Repeat("x", 161)))
	require.Equal(t, "x"+strings.Repeat("é", 79)+"…", clip("x"+strings.Repeat("é", 100)))
}

// Of the trace context the first value counts, and a state without a parent does not.
func TestParseTraceContext(t *testing.T) {
	for _, tt := range []struct{ parents, states, want []string }{
		{nil, nil, []string{"", ""}},
		{[]string{"p"}, nil, []string{"p", ""}},
		{[]string{"p", "q"}, []string{"s", "t"}, []string{"p", "s"}},
		{nil, []string{"s"}, []string{"", ""}},
		{[]string{}, []string{"s"}, []string{"", ""}},
	} {
		s := samples(t)["single"]
		delete(s.m.Header, HeaderTraceParent)
		if tt.parents != nil {
			s.m.Header[HeaderTraceParent] = tt.parents
		}
		if tt.states != nil {
			s.m.Header[HeaderTraceState] = tt.states
		}
		r, err := s.parse()
		require.NoError(t, err)
		require.Equal(t, tt.want, []string{r.TraceParent, r.TraceState})
	}
}

func TestParseGivesTheRecord(t *testing.T) {
	s := samples(t)["single"]
	r, err := s.parse()
	require.NoError(t, err)
	at := testStart.Add(12 * time.Second)
	require.Equal(t, []time.Time{at, at.Add(5)}, r.Times)
	require.Equal(t, uint64(1110), r.Position)
	require.Equal(t, uint64(22), r.Sequence)
	require.Equal(t, uint64(23), r.Last())
	require.Equal(t, uint64(1100), r.Previous())
	require.Equal(t, "a key", r.Key)
	require.Equal(t, "cbor;v=1", r.Codec)
	require.Equal(t, Commit{ID: testCommit(12), Index: 1, Of: 1}, r.Commit)
	require.Equal(t, uint64(12), r.Link.Number)
	require.Equal(t, testCommit(1), r.Link.Origin)
	require.Equal(t, []Ref{{20, 1100}, {18, 1090}, {14, 1070}}, r.Link.Back)
	require.Equal(t, map[string]string{"user": "ann"}, r.Metadata)
	require.Equal(t, s.m.Data, r.Payload)
}
