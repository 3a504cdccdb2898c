package record

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/eventgen"
)

// chainField is a field of the chain's layout.
type chainField struct{ name, value string }

// chainFields lists the fields in the order of docs/wire-format.md, which the
// package's own code is held against.
func chainFields(r *Record) []chainField {
	fields := []chainField{
		{"tenant", string(r.TenantID)},
		{"execution", string(r.ExecutionID)},
		{"version", "1"},
		{"sequence", strconv.FormatUint(r.Sequence, 10)},
		{"count", strconv.Itoa(len(r.Times))},
		{"time", r.timesText},
		{"codec", r.Codec},
		{"commit", r.Commit.ID.String() + " " + strconv.Itoa(r.Commit.Index) + "/" + strconv.Itoa(r.Commit.Of)},
		{"key", r.Key},
		{"number", strconv.FormatUint(r.Link.Number, 10)},
		{"org", r.Link.Origin.String()},
		{"pairs", strconv.Itoa(len(r.Metadata))},
	}
	for _, k := range slices.Sorted(maps.Keys(r.Metadata)) {
		fields = append(fields, chainField{"metadata key", k}, chainField{"metadata value", r.Metadata[k]})
	}
	return append(fields, chainField{"payload", string(r.Payload)})
}

// chainBytes is what the chain value of r is the SHA-256 of.
func chainBytes(r *Record, prev enact.Chain) []byte {
	b := prev[:]
	for _, f := range chainFields(r) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f.value)))
		b = append(b, f.value...)
	}
	return b
}

func TestChainLayout(t *testing.T) {
	for name, s := range samples(t) {
		r, err := s.parse()
		require.NoError(t, err)
		prev := enact.Chain(sha256.Sum256([]byte(name)))
		require.Equal(t, enact.Chain(sha256.Sum256(chainBytes(r, prev))), r.ChainAfter(prev), name)
	}
}

// A change of anything that the chain covers breaks it.
func TestFollowsSeesChanges(t *testing.T) {
	s := samples(t)["single"]
	prev := historyTail(t, 11).Chain
	for name, change := range map[string]func(r *Record, prev *enact.Chain){
		"tenant":                  func(r *Record, _ *enact.Chain) { r.TenantID = "acme2" },
		"execution":               func(r *Record, _ *enact.Chain) { r.ExecutionID += "x" },
		"tenant to execution":     func(r *Record, _ *enact.Chain) { r.TenantID, r.ExecutionID = "acm", "e"+r.ExecutionID },
		"sequence":                func(r *Record, _ *enact.Chain) { r.Sequence++ },
		"count":                   func(r *Record, _ *enact.Chain) { r.Times = append(r.Times, r.Times[0]) },
		"first time":              func(r *Record, _ *enact.Chain) { r.timesText = "2027" + r.timesText[4:] },
		"time distance":           func(r *Record, _ *enact.Chain) { r.timesText += "0" },
		"codec":                   func(r *Record, _ *enact.Chain) { r.Codec = "cbor" },
		"codec's parameters":      func(r *Record, _ *enact.Chain) { r.Codec = "cbor;v=2" },
		"default codec":           func(r *Record, _ *enact.Chain) { r.Codec = "json" },
		"commit id":               func(r *Record, _ *enact.Chain) { r.Commit.ID[15]++ },
		"place in the commit":     func(r *Record, _ *enact.Chain) { r.Commit.Index++ },
		"records of the commit":   func(r *Record, _ *enact.Chain) { r.Commit.Of++ },
		"key":                     func(r *Record, _ *enact.Chain) { r.Key = "another key" },
		"no key":                  func(r *Record, _ *enact.Chain) { r.Key = "" },
		"number":                  func(r *Record, _ *enact.Chain) { r.Link.Number++ },
		"origin":                  func(r *Record, _ *enact.Chain) { r.Link.Origin[0]++ },
		"metadata value":          func(r *Record, _ *enact.Chain) { r.Metadata["user"] = "bob" },
		"metadata key":            func(r *Record, _ *enact.Chain) { r.Metadata = map[string]string{"use": "ann"} },
		"metadata key to value":   func(r *Record, _ *enact.Chain) { r.Metadata = map[string]string{"use": "rann"} },
		"more metadata":           func(r *Record, _ *enact.Chain) { r.Metadata["x"] = "" },
		"no metadata":             func(r *Record, _ *enact.Chain) { r.Metadata = nil },
		"payload":                 func(r *Record, _ *enact.Chain) { r.Payload[3] ^= 1 },
		"longer payload":          func(r *Record, _ *enact.Chain) { r.Payload = append(r.Payload, ' ') },
		"shorter payload":         func(r *Record, _ *enact.Chain) { r.Payload = r.Payload[:len(r.Payload)-1] },
		"no payload":              func(r *Record, _ *enact.Chain) { r.Payload = nil },
		"chain value":             func(r *Record, _ *enact.Chain) { r.Link.Chain[31] ^= 1 },
		"previous chain value":    func(_ *Record, prev *enact.Chain) { prev[0] ^= 1 },
		"no previous chain value": func(_ *Record, prev *enact.Chain) { *prev = enact.Chain{} },
	} {
		r, err := s.parse()
		require.NoError(t, err)
		r.Payload = slices.Clone(r.Payload)
		before := prev
		require.True(t, r.Follows(before))
		change(r, &before)
		require.False(t, r.Follows(before), name)
	}
}

// Positions belong to a stream and the trace context to a call: a history keeps its
// chain without them.
func TestFollowsLeavesPositionsOut(t *testing.T) {
	s := samples(t)["single"]
	prev := historyTail(t, 11).Chain
	for name, change := range map[string]func(s *sample){
		"position":        at(5000),
		"back":            edit(HeaderLink, "18@1090,14@1070", "17@1080,13@1075"),
		"previous record": both(edit(HeaderLink, "20@1100", "20@1101"), set(HeaderExpected, "1101")),
		"trace context":   set(HeaderTraceParent, "00-00000000000000000000000000000001-0000000000000001-00"),
		"other headers":   set("Nats-Batch-Id", "x"),
	} {
		changed := samples(t)["single"]
		change(&changed)
		require.NotEqual(t, s, changed, name)
		r, err := changed.parse()
		require.NoError(t, err)
		require.True(t, r.Follows(prev), name)
	}
}

// Computing chain values at the same time mixes nothing up.
func TestChainConcurrently(t *testing.T) {
	r, err := samples(t)["single"].parse()
	require.NoError(t, err)
	prev := historyTail(t, 11).Chain
	follows := make(chan bool)
	for range 8 {
		go func() {
			all := true
			for range 200 {
				all = all && r.Follows(prev)
			}
			follows <- all
		}()
	}
	for range 8 {
		require.True(t, <-follows)
	}
}

// No two records have the same bytes: what is in one field cannot pass for another's.
func TestChainBytesLaw(t *testing.T) {
	draw := func(t *rapid.T, label string) *Record {
		text := rapid.SampledFrom([]string{"", "a", "b", "ab", "1"})
		r := newRecord(1, 1, 1, 1)
		r.TenantID = rapid.SampledFrom([]enact.TenantID{"a", "b", "ab"}).Draw(t, label+" tenant")
		r.ExecutionID = rapid.SampledFrom([]enact.ExecutionID{"a", "b", "ba"}).Draw(t, label+" execution")
		r.Key = text.Draw(t, label+" key")
		r.Metadata = rapid.OneOf(rapid.MapOfN(text, text, 0, 3), eventgen.Metadata()).Draw(t, label+" metadata")
		r.Payload = []byte(text.Draw(t, label+" payload"))
		return r
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		same := a.TenantID == b.TenantID && a.ExecutionID == b.ExecutionID && a.Key == b.Key &&
			maps.Equal(a.Metadata, b.Metadata) && string(a.Payload) == string(b.Payload)
		require.Equal(t, same, a.ChainAfter(enact.Chain{}) == b.ChainAfter(enact.Chain{}))
		require.Equal(t, enact.Chain(sha256.Sum256(chainBytes(a, enact.Chain{}))), a.ChainAfter(enact.Chain{}))
	})
}
