package record

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// entry is an index entry as writers make it, with another payload.
func entry(payload string) *nats.Msg {
	return &nats.Msg{
		Subject: testSubjects.Index("acme"), Header: nats.Header{nats.MsgIdHdr: {testCommit(1).String()}}, Data: []byte(payload),
	}
}

func parseEntry(m *nats.Msg) (Entry, error) {
	return ParseEntry(testSubjects, m.Subject, 7, m.Header, m.Data)
}

func TestParseEntry(t *testing.T) {
	want := Entry{
		TenantID: "acme", ExecutionID: "run", Commit: testCommit(1), Position: 7, Created: time.Date(2026, 2, 23, 12, 0, 1, 500_000_000, time.UTC),
	}
	for _, payload := range []string{
		`{"execution_id":"run","tenant_id":"acme","timestamp":"2026-02-23T12:00:01.500Z"}`,
		` {"timestamp" : "2026-02-23T12:00:01.500Z", "more":[1], "tenant_id":"\u0061cme", "execution_id":"run"}` + "\n",
	} {
		e, err := parseEntry(entry(payload))
		require.NoError(t, err)
		require.Equal(t, want, e)
	}
	m := entry(`{"execution_id":"run","tenant_id":"acme","timestamp":"2026-02-23T12:00:01.500Z"}`)
	m.Header[HeaderRebuilt] = []string{"1"}
	want.Rebuilt = true
	e, err := parseEntry(m)
	require.NoError(t, err)
	require.Equal(t, want, e)
}

// What two readers could take for different entries is none.
func TestParseEntryRefuses(t *testing.T) {
	header := func(name string, values ...string) *nats.Msg {
		m := entry(`{"execution_id":"run","tenant_id":"acme","timestamp":"2026-02-23T12:00:01Z"}`)
		m.Header[name] = values
		return m
	}
	for name, m := range map[string]*nats.Msg{
		"nothing":                 entry(``),
		"null":                    entry(`null`),
		"something behind":        entry(`{"execution_id":"run","tenant_id":"acme","timestamp":"2026-02-23T12:00:01Z"}{}`),
		"no execution":            entry(`{"tenant_id":"acme","timestamp":"2026-02-23T12:00:01Z"}`),
		"another tenant":          entry(`{"execution_id":"run","tenant_id":"other","timestamp":"2026-02-23T12:00:01Z"}`),
		"no time":                 entry(`{"execution_id":"run","tenant_id":"acme"}`),
		"a key twice":             entry(`{"execution_id":"other","execution_id":"run","tenant_id":"acme","timestamp":"2026-02-23T12:00:01Z"}`),
		"a key in capitals":       entry(`{"EXECUTION_ID":"run","tenant_id":"acme","timestamp":"2026-02-23T12:00:01Z"}`),
		"an id that is no UTF-8":  entry("{\"execution_id\":\"run\xff\",\"tenant_id\":\"acme\",\"timestamp\":\"2026-02-23T12:00:01Z\"}"),
		"half a surrogate":        entry(`{"execution_id":"run\ud800","tenant_id":"acme","timestamp":"2026-02-23T12:00:01Z"}`),
		"a time with an offset":   entry(`{"execution_id":"run","tenant_id":"acme","timestamp":"2026-02-23T13:00:01+01:00"}`),
		"a time of other digits":  entry(`{"execution_id":"run","tenant_id":"acme","timestamp":"2026-02-23T12:00:01.5Z"}`),
		"no id":                   header(nats.MsgIdHdr),
		"two ids":                 header(nats.MsgIdHdr, testCommit(1).String(), testCommit(2).String()),
		"an id in another form":   header(nats.MsgIdHdr, "{"+testCommit(1).String()+"}"),
		"rebuilt, and not":        header(HeaderRebuilt, "0"),
		"rebuilt, more than once": header(HeaderRebuilt, "1", "1"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseEntry(m)
			corrupt, ok := errors.AsType[*enact.CorruptError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, uint64(7), corrupt.Position)
			require.Equal(t, enact.TenantID("acme"), corrupt.TenantID)
			require.Less(t, len(err.Error()), 1000)
		})
	}
}
