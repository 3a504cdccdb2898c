package storetest

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func metadata() []sentence {
	return []sentence{
		{"an append without metadata has none", func(f *fixture) {
			f.append(note(1))
			f.append(note(2), enact.WithMetadata(nil))
			f.append(note(3), enact.WithMetadata(map[string]string{}))
			for _, e := range f.loadN(3) {
				require.Nil(f.t, e.Metadata)
			}
		}},
		{"metadata is kept exactly, with every event of the append", func(f *fixture) {
			awkwardMetadata := map[string]string{
				"plain":                 "value",
				"Key":                   "upper",
				"key":                   "lower",
				"KEY":                   "shouted",
				"empty":                 "",
				" leading and trailing": " a ",
				"trailing ":             "\t",
				"colon:and/slash%and=":  "a: b, c; d=e%20%",
				"line\r\nend":           "one\r\ntwo\nthree\r",
				"nul\x00":               "\x00\x1f\x7f",
				"é":                     "é",
				"e\u0301":               "e\u0301",
				"漢字🦀":                   awkward,
				"traceparent":           "not a trace",
				"Nats-Msg-Id":           "not an id",
				"Enact-Version":         "9",
				"*":                     ">",
				".":                     "..",
			}
			f.append(note(1), enact.WithMetadata(awkwardMetadata))
			f.append(note(2))
			f.appendBatch(notes(3, 5), enact.WithMetadata(awkwardMetadata))
			f.appendBatch(notes(6, 7), enact.WithMetadata(map[string]string{"other": "x"}))
			for _, e := range f.loadN(7) {
				switch {
				case e.Sequence == 2:
					require.Nil(f.t, e.Metadata)
				case e.Sequence < 6:
					require.Equal(f.t, awkwardMetadata, e.Metadata)
				default:
					require.Equal(f.t, map[string]string{"other": "x"}, e.Metadata)
				}
			}
		}},
		{"metadata given twice is merged, the later value winning", func(f *fixture) {
			f.append(note(1), enact.WithMetadata(map[string]string{"a": "1", "b": "1"}), enact.WithMetadata(map[string]string{"b": "2", "c": "2"}))
			require.Equal(f.t, map[string]string{"a": "1", "b": "2", "c": "2"}, f.loadN(1)[0].Metadata)
		}},
		{"metadata at its limits is kept", func(f *fixture) {
			full := map[string]string{}
			for c := range 8 {
				key := strings.Repeat(string(rune('a'+c)), enact.MaxMetadataKey)
				full[key] = strings.Repeat("é", (enact.MaxMetadata/8-len(key))/2)
			}
			f.append(note(1), enact.WithMetadata(full))
			f.appendBatch(notes(2, 4), enact.WithMetadata(full))
			for _, e := range f.loadN(4) {
				require.Equal(f.t, full, e.Metadata)
			}
			one := map[string]string{"k": strings.Repeat("\n", enact.MaxMetadata-1)}
			f.append(note(5), enact.WithMetadata(one))
			require.Equal(f.t, one, f.loadN(1, enact.Backwards(), enact.Limit(1))[0].Metadata)
		}},
		{"a trace context is kept with every event of the append", func(f *fixture) {
			trace := enact.TraceContext{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", State: "vendor=a:b,other=1"}
			f.append(note(1))
			f.appendBatch(notes(2, 3), enact.WithTraceContext(trace))
			f.appendBatch(notes(4, 5), enact.WithTraceContext(trace), enact.WithOneEventPerRecord())
			for _, e := range f.loadN(5) {
				if e.Sequence == 1 {
					require.Zero(f.t, e.Trace)
				} else {
					require.Equal(f.t, trace, e.Trace)
				}
			}
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(6), enact.WithTraceContext(enact.TraceContext{Parent: "no trace\r\nEnact-Count: 2"}))
			require.ErrorIs(f.t, err, enact.ErrInvalidOption)
			f.loadN(5)
		}},
		{"metadata over its limits is refused and nothing is stored", func(f *fixture) {
			cases := []struct {
				name     string
				metadata map[string]string
				want     error
			}{
				{"an empty key", map[string]string{"": "v"}, enact.ErrInvalidOption},
				{"a key that is not UTF-8", map[string]string{"k\xff": "v"}, enact.ErrInvalidOption},
				{"a value that is not UTF-8", map[string]string{"k": "v\xff"}, enact.ErrInvalidOption},
				{"a key of 65 bytes", map[string]string{strings.Repeat("k", enact.MaxMetadataKey+1): "v"}, enact.ErrTooLarge},
				{"a value too long", map[string]string{"k": strings.Repeat("v", enact.MaxMetadata)}, enact.ErrTooLarge},
				{"too much in all", map[string]string{
					"a": strings.Repeat("v", enact.MaxMetadata/2), "b": strings.Repeat("v", enact.MaxMetadata/2),
				}, enact.ErrTooLarge},
			}
			for _, tc := range cases {
				_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.WithMetadata(tc.metadata))
				require.ErrorIs(f.t, err, tc.want, tc.name)
			}
			f.holdsNothing()
		}},
	}
}
