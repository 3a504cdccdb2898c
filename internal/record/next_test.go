package record

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// nextCase is a sample and the tail of the history before it.
type nextCase struct {
	sample
	before Tail
}

// nextCases returns the samples that have something before them, or begin a history.
func nextCases(tb testing.TB) map[string]nextCase {
	tb.Helper()
	all := samples(tb)
	cases := map[string]nextCase{
		"single": {all["single"], historyTail(tb, 11)}, "second": {all["second"], historyTail(tb, 1)},
		"creation1": {all["creation1"], Tail{}}, "staged1": {all["staged1"], historyTail(tb, 2)},
	}
	for name, before := range map[string]string{
		"creation2": "creation1", "creation3": "creation2", "staged2": "staged1", "staged3": "staged2", "staged4": "staged3", "staged5": "staged4",
	} {
		r, err := all[before].parse()
		require.NoError(tb, err)
		cases[name] = nextCase{all[name], r.Tail()}
	}
	return cases
}

func (c nextCase) next(t Tail, position uint64, h nats.Header, data []byte) (*Record, bool) {
	tenant, execution, err := testSubjects.ParseExecution(c.m.Subject)
	if err != nil {
		return nil, false
	}
	return ParseNext(t, tenant, execution, position, h, data)
}

// agree holds ParseNext against Parse and the checks: what it takes, they take.
func (c nextCase) agree(t *testing.T, before Tail, position uint64, h nats.Header, data []byte) {
	t.Helper()
	r, err := Parse(testSubjects, c.m.Subject, position, h, data)
	continues := err == nil && r.Sequence == before.Sequence+1 && r.Link.Number == before.Number+1 && position > before.Position &&
		(before.Number == 0 || r.Link.Origin == before.Origin) && r.LinksTo(before) && r.Torn(before) == nil && r.Follows(before.Chain)
	next, ok := c.next(before, position, h, data)
	require.Equal(t, continues, ok)
	if ok {
		require.Equal(t, r, next)
	}
}

// The record that follows is taken, and no other, whatever is changed of it.
func TestParseNext(t *testing.T) {
	cases := nextCases(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, ok := c.next(c.before, c.position, c.m.Header, c.m.Data)
			require.True(t, ok)
			c.agree(t, c.before, c.position, c.m.Header, c.m.Data)
			for _, position := range []uint64{0, 1, c.position - 1, c.position + 1, c.before.Position} {
				c.agree(t, c.before, position, c.m.Header, c.m.Data)
			}
			c.agree(t, c.before, c.position, c.m.Header, append([]byte("x"), c.m.Data...))
			for other := range cases {
				c.agree(t, cases[other].before, c.position, c.m.Header, c.m.Data)
			}
			for key, values := range c.m.Header {
				text := values[0]
				for i := 0; i < len(text); i += 3 {
					for _, changed := range []string{text[:i] + text[i+1:], text[:i] + "1" + text[i+1:], text[:i] + "~" + text[i:]} {
						h := nats.Header{}
						for k, v := range c.m.Header {
							h[k] = v
						}
						h[key] = []string{changed}
						c.agree(t, c.before, c.position, h, c.m.Data)
					}
				}
			}
		})
	}
	m := cases["second"]
	h := nats.Header{HeaderVersion: {"2"}}
	for k, v := range m.m.Header {
		h[k] = v
	}
	_, ok := m.next(m.before, m.position, h, m.m.Data)
	require.False(t, ok, "another version")
	_, err := Parse(testSubjects, m.m.Subject, m.position, h, m.m.Data)
	require.ErrorIs(t, err, enact.ErrUnsupportedVersion)
}

func FuzzParseNext(f *testing.F) {
	cases := nextCases(f)
	for name, c := range cases {
		f.Add(name, c.position, headerText(c.m.Header), c.m.Data)
	}
	f.Fuzz(func(t *testing.T, name string, position uint64, block, data []byte) {
		h, err := nats.DecodeHeadersMsg(block)
		c, ok := cases[name]
		if err != nil || !ok {
			return
		}
		c.agree(t, c.before, position, h, data)
	})
}

func BenchmarkParseNext(b *testing.B) {
	c := nextCases(b)["single"]
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.next(c.before, c.position, c.m.Header, c.m.Data); !ok {
			b.Fatal("not the next record")
		}
	}
}
