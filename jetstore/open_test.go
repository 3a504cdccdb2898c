package jetstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// startServer starts an embedded server without streams and returns a connection.
func startServer(t *testing.T) (*embedded.Server, *nats.Conn) {
	t.Helper()
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	nc := natstest.Connect(t, srv.ClientURL(), nats.ReconnectBufSize(-1))
	return srv, nc
}

func shutDown(t *testing.T, s *jetstore.Store) {
	t.Helper()
	require.NoError(t, s.Shutdown(context.Background()))
}

func TestOpenNeedsBothStreams(t *testing.T) {
	srv, nc := startServer(t)
	js := natstest.JetStream(t, nc)

	_, err := jetstore.Open(t.Context(), nc)
	require.ErrorIs(t, err, enact.ErrStreamNotFound)
	_, err = jetstore.Connect(t.Context(), srv.ClientURL())
	require.ErrorIs(t, err, enact.ErrStreamNotFound)

	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	require.NoError(t, js.DeleteStream(t.Context(), "ENACT_INDEX"))
	_, err = jetstore.Open(t.Context(), nc)
	require.ErrorIs(t, err, enact.ErrStreamNotFound)
	require.ErrorContains(t, err, "ENACT_INDEX")

	require.NoError(t, jetstore.EnsureStream(t.Context(), nc), "makes what is missing")
	s, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	shutDown(t, s)
	require.False(t, nc.IsClosed(), "the caller's connection stays the caller's")
}

func TestEnsureStreamChangesNothing(t *testing.T) {
	_, nc := startServer(t)
	js := natstest.JetStream(t, nc)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	before, err := js.Stream(t.Context(), "ENACT")
	require.NoError(t, err)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	after, err := js.Stream(t.Context(), "ENACT")
	require.NoError(t, err)
	require.Equal(t, before.CachedInfo().Config, after.CachedInfo().Config)
	require.Equal(t, before.CachedInfo().Created, after.CachedInfo().Created)

	cfg := after.CachedInfo().Config
	require.True(t, cfg.DenyDelete && cfg.DenyPurge && cfg.AllowDirect && cfg.AllowAtomicPublish)
	require.Equal(t, jetstream.FileStorage, cfg.Storage)
	require.Equal(t, []string{"enact.*.*"}, cfg.Subjects)
	require.NotEmpty(t, cfg.Metadata["enact.incarnation"])
	seconds := cfg.FirstSeq >> 20
	require.InDelta(t, time.Now().Unix(), seconds, 60, "first sequence is the time of creation")
}

// Every setting that breaks a guarantee is named, and only those.
func TestOpenNamesEveryBrokenSetting(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*jetstream.StreamConfig)
		broken []string
	}{
		"all at once": {
			func(c *jetstream.StreamConfig) {
				*c = jetstream.StreamConfig{
					Name: c.Name, Subjects: []string{"enact.>"}, MaxMsgs: 10, MaxBytes: 1 << 20, MaxAge: time.Hour,
					MaxMsgsPerSubject: 3, MaxMsgSize: 1024, Storage: jetstream.MemoryStorage, AllowMsgTTL: true,
				}
			},
			[]string{
				"subjects", "storage", "discard", "max_msgs", "max_bytes", "max_age", "max_msgs_per_subject", "max_msg_size",
				"deny_delete", "deny_purge", "allow_direct", "allow_atomic", "allow_msg_ttl",
			},
		},
		"interest":       {func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, []string{"retention"}},
		"max_age":        {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, []string{"max_age"}},
		"no deny_delete": {func(c *jetstream.StreamConfig) { c.DenyDelete = false }, []string{"deny_delete"}},
		"no deny_purge":  {func(c *jetstream.StreamConfig) { c.DenyPurge = false }, []string{"deny_purge"}},
		"rollup":         {func(c *jetstream.StreamConfig) { c.DenyPurge, c.AllowRollup = false, true }, []string{"deny_purge", "allow_rollup_hdrs"}},
		"no ack":         {func(c *jetstream.StreamConfig) { c.NoAck = true }, []string{"no_ack"}},
		"discard old":    {func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, []string{"discard"}},
		"not atomic":     {func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }, []string{"allow_atomic"}},
		"no direct get":  {func(c *jetstream.StreamConfig) { c.AllowDirect = false }, []string{"allow_direct"}},
		"counter":        {func(c *jetstream.StreamConfig) { c.Discard, c.AllowMsgCounter = jetstream.DiscardOld, true }, []string{"discard", "allow_msg_counter"}},
		"async persistence": {func(c *jetstream.StreamConfig) {
			c.AllowAtomicPublish, c.PersistMode = false, jetstream.AsyncPersistMode
		}, []string{"allow_atomic", "persist_mode"}},
		"half restored":      {func(c *jetstream.StreamConfig) { c.Metadata[jetstore.MetadataRestore] = "1" }, []string{"metadata enact.restore"}},
		"other subjects too": {func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "other") }, []string{"subjects"}},
		"transform": {func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "enact.*.*", Destination: "enact.{{wildcard(2)}}.{{wildcard(1)}}"}
		}, []string{"subject_transform"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, nc := startServer(t)
			js := natstest.JetStream(t, nc)
			require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
			good, err := js.Stream(t.Context(), "ENACT")
			require.NoError(t, err)
			cfg := good.CachedInfo().Config
			require.NoError(t, js.DeleteStream(t.Context(), "ENACT"))
			tc.change(&cfg)
			_, err = js.CreateStream(t.Context(), cfg)
			require.NoError(t, err)

			_, err = jetstore.Open(t.Context(), nc)
			require.ErrorIs(t, err, enact.ErrStreamConfig)
			broken, ok := errors.AsType[*enact.StreamConfigError](err)
			require.True(t, ok)
			require.Equal(t, "ENACT", broken.Stream)
			var settings []string
			for _, p := range broken.Problems {
				settings = append(settings, p.Setting)
				require.NotEmpty(t, p.Have)
				require.NotEmpty(t, p.Want)
				require.NotEmpty(t, p.Why)
				require.ErrorContains(t, err, p.Setting)
			}
			require.Equal(t, tc.broken, settings)
			require.ErrorIs(t, jetstore.EnsureStream(t.Context(), nc), enact.ErrStreamConfig, "EnsureStream does not mend it")
		})
	}
}

// A real server of the release before the oldest that will do.
func TestOpenRefusesOldServers(t *testing.T) {
	old := natstest.Start(t, natstest.Options{Version: "2.14.4"})
	_, err := jetstore.Connect(t.Context(), old.URL())
	require.ErrorIs(t, err, enact.ErrServerTooOld)
	require.ErrorContains(t, err, "2.14.4")
	nc := natstest.Connect(t, old.URL())
	require.ErrorIs(t, jetstore.EnsureStream(t.Context(), nc), enact.ErrServerTooOld)
	_, err = jetstore.Open(t.Context(), nc)
	require.ErrorIs(t, err, enact.ErrServerTooOld)
}

func TestOptionsAreChecked(t *testing.T) {
	_, nc := startServer(t)
	for name, opt := range map[string]jetstore.Option{
		"stream with a dot":   jetstore.WithStream("a.b"),
		"stream too long":     jetstore.WithStream(string(make([]byte, 300))),
		"prefix wildcard":     jetstore.WithPrefix("a.*"),
		"prefix empty token":  jetstore.WithPrefix("a..b"),
		"negative time-out":   jetstore.WithTimeout(-1),
		"negative cache":      jetstore.WithCacheSize(-1),
		"negative key window": jetstore.WithKeyWindow(-1),
		"huge key window":     jetstore.WithKeyWindow(1025),
		"six replicas":        jetstore.WithReplicas(6),
		"domain with a dot":   jetstore.WithDomain("a.b"),
		"API wildcard":        jetstore.WithAPIPrefix("$JS.*.API"),
	} {
		_, err := jetstore.Open(t.Context(), nc, opt)
		require.ErrorIs(t, err, enact.ErrInvalidOption, name)
	}
	_, err := jetstore.Open(t.Context(), nc, jetstore.WithCodec(badName{}))
	require.ErrorIs(t, err, codec.ErrInvalidName)
}

type badName struct{ codec.JSON }

func (badName) Name() string { return "JSON!" }

// Another prefix and stream name are another log on the same server.
func TestTwoLogsOnOneServer(t *testing.T) {
	_, nc := startServer(t)
	one := []jetstore.Option{jetstore.WithStream("ONE"), jetstore.WithPrefix("one")}
	two := []jetstore.Option{jetstore.WithStream("TWO"), jetstore.WithPrefix("two.deep")}
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, one...))
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, two...))
	a, err := jetstore.Open(t.Context(), nc, one...)
	require.NoError(t, err)
	defer shutDown(t, a)
	b, err := jetstore.Open(t.Context(), nc, two...)
	require.NoError(t, err)
	defer shutDown(t, b)
	_, err = a.Append(t.Context(), "x", "acme", enact.ExecutionStarted{})
	require.NoError(t, err)
	exists, err := b.ExecutionExists(t.Context(), "x")
	require.NoError(t, err)
	require.False(t, exists)
	_, err = b.Append(t.Context(), "x", "globex", enact.ExecutionPaused{Reason: "two"})
	require.NoError(t, err)
	loaded, err := b.LoadEvents(t.Context(), "x")
	require.NoError(t, err)
	require.Len(t, loaded, 1)
	require.Equal(t, enact.ExecutionPaused{Reason: "two"}, loaded[0].Event)
}

// A domain's API prefix is respected by every request.
func TestAPIPrefix(t *testing.T) {
	srv := natstest.Start(t, natstest.Options{Extra: "leafnodes { listen: \"127.0.0.1:-1\" }\n"})
	nc := natstest.Connect(t, srv.URL())
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := jetstore.Open(ctx, nc, jetstore.WithDomain("nowhere"))
	require.Error(t, err, "nobody answers for another domain")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestConnectHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := jetstore.Connect(ctx, "nats://127.0.0.1:1")
	require.ErrorIs(t, err, context.Canceled)
	_, err = jetstore.Connect(t.Context(), "nats://127.0.0.1:1")
	require.ErrorIs(t, err, nats.ErrNoServers)
	_, err = jetstore.Connect(t.Context(), "nats://me:secret@127.0.0.1:1,nats://token@127.0.0.1:2")
	require.EqualError(t, err, "enact: connect to nats://127.0.0.1:1,nats://127.0.0.1:2: nats: no servers available for connection")
}

// A stream that is gone is named by every call that asks for it, whatever it asks first.
func TestStreamIsGone(t *testing.T) {
	_, nc := startServer(t)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	s, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	defer shutDown(t, s)
	require.NoError(t, natstest.JetStream(t, nc).DeleteStream(t.Context(), "ENACT"))
	for name, call := range map[string]func() error{
		"append": func() error { _, err := s.Append(t.Context(), "run", "acme", note(1)); return err },
		"create": func() error {
			_, err := s.Append(t.Context(), "run", "acme", note(1), enact.ExpectSequence(0))
			return err
		},
		"load":           func() error { _, err := s.LoadEvents(t.Context(), "run"); return err },
		"load in tenant": func() error { _, err := s.LoadEvents(t.Context(), "run", enact.InTenant("acme")); return err },
		"latest":         func() error { _, _, err := s.LatestSequence(t.Context(), "run", enact.InTenant("acme")); return err },
	} {
		err := call()
		require.ErrorIs(t, err, enact.ErrStreamNotFound, name)
		require.ErrorContains(t, err, "ENACT", name)
	}
}
