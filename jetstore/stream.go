package jetstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
)

// MinServerVersion is the oldest server that keeps the log's promises: earlier
// ones corrupt expected-sequence checks beside batches (nats-server 39a478eec).
const MinServerVersion = "2.14.5"

// Stream metadata that the log writes.
const (
	metaIncarnation = "enact.incarnation" // UUID of this making of the stream
	metaFormat      = "enact.format"      // version of the wire format
	metaTenant      = "enact.tenant"      // whose stream it is, where each tenant has one
)

// wireFormat is the version of docs/wire-format.md that this release writes.
const wireFormat = "1"

// EnsureStream creates the log's stream and its index stream where they are
// missing, and changes nothing where they are not. Both have file storage, no
// limits, and deny deletes and purges. Errors are those of [Open].
//
// With [WithStreamPerTenant] there is nothing to create before there are tenants: see
// [EnsureTenant].
func EnsureStream(ctx context.Context, nc *nats.Conn, opts ...Option) error {
	cfg, err := newConfig(opts)
	if err != nil {
		return err
	}
	if cfg.perTenant {
		return checkServer(nc)
	}
	return ensureStreams(ctx, nc, cfg)
}

// EnsureTenant does for one tenant of a log that was opened with [WithStreamPerTenant]
// what [EnsureStream] does for a shared one. Errors are those of [Open],
// enact.ErrInvalidID, and enact.ErrInvalidOption without that option.
func EnsureTenant(ctx context.Context, nc *nats.Conn, tenant enact.TenantID, opts ...Option) error {
	cfg, err := newConfig(opts)
	if err != nil {
		return err
	}
	if !cfg.perTenant {
		return &enact.OptionError{Option: "WithStreamPerTenant", Reason: "must be given for a tenant to have streams of its own"}
	}
	if err := tenant.Validate(); err != nil {
		return err
	}
	return ensureStreams(ctx, nc, cfg.forTenant(tenant))
}

func ensureStreams(ctx context.Context, nc *nats.Conn, cfg *config) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.timeout)
		defer cancel()
	}
	a := newAPI(nc, cfg.apiPrefix, nil)
	defer a.close()
	if err := checkServer(nc); err != nil {
		return err
	}
	replicas := cfg.replicas
	if replicas == 0 {
		replicas = DefaultReplicas(nc)
	}
	// The index first: a log without an index would be a log that cannot be listed.
	for _, want := range []jetstream.StreamConfig{cfg.indexConfig(time.Now(), replicas), cfg.logConfig(time.Now(), replicas)} {
		if err := ensure(ctx, a, want); err != nil {
			return err
		}
	}
	_, err := check(ctx, cfg, a)
	return err
}

// ensure creates one stream unless it exists. While a cluster elects a leader the
// answers are errors that pass.
func ensure(ctx context.Context, a *api, want jetstream.StreamConfig) error {
	for try := 0; ; try++ {
		_, _, _, err := a.config(ctx, want.Name)
		if errors.Is(err, enact.ErrStreamNotFound) {
			var created answer
			err = a.request(ctx, "STREAM.CREATE."+want.Name, want, &created)
			if hasCode(err, codeStreamNameInUse) {
				// Made by somebody else in between; whether it will do, check says.
				err = nil
			}
		}
		if err == nil || lasting(err) {
			return err
		}
		if createRefused(err) {
			return fmt.Errorf("enact: create stream %s: %w", want.Name, err)
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return ended(waitErr, err)
		}
	}
}

// createRefused reports whether the server has said no for good: a client's
// error, other than a lack of servers, which those of a cluster that starts make up.
func createRefused(err error) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (apiErr.Code >= 400 && apiErr.Code < 500 && apiErr.ErrorCode != codeNoPeers || apiErr.ErrorCode == codeNotClustered)
}

func (c *config) baseConfig(name, subject, description string, now time.Time, replicas int) jetstream.StreamConfig {
	metadata := map[string]string{metaIncarnation: uuid.NewString(), metaFormat: wireFormat}
	if c.tenant != nil {
		metadata[metaTenant] = string(*c.tenant)
	}
	storage := jetstream.FileStorage
	if c.memory {
		storage = jetstream.MemoryStorage
	}
	return jetstream.StreamConfig{
		Name:        name,
		Description: description,
		Subjects:    []string{subject},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Storage:     storage,
		Replicas:    replicas,
		Placement:   c.placement,
		MaxMsgs:     -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		DenyDelete: true, DenyPurge: true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		FirstSeq:           firstSequence(now),
		Metadata:           metadata,
	}
}

// firstSequence is the time of creation in units of 2^-20 seconds. Positions of two
// incarnations of a stream never meet, and a later one's are higher, so that nothing
// cached from the old one fits the new one, as long as a stream takes fewer than a
// million messages a second over its life.
func firstSequence(now time.Time) uint64 {
	return uint64(now.Unix())<<20 + uint64(now.Nanosecond())<<20/uint64(time.Second)
}

func (c *config) logConfig(now time.Time, replicas int) jetstream.StreamConfig {
	return c.baseConfig(c.stream, c.logSubject(), "Agent executions: one subject an execution", now, replicas)
}

func (c *config) indexConfig(now time.Time, replicas int) jetstream.StreamConfig {
	return c.baseConfig(c.index(), c.indexSubject(), "Agent executions: one message a creation", now, replicas)
}

// streams is what the check of both streams finds out about them.
type streams struct {
	log, index string        // incarnations
	window     time.Duration // in which the index stream knows a message id again
	health     []StreamHealth
}

// check holds the server and both streams against what the log needs.
func check(ctx context.Context, cfg *config, a *api) (found streams, err error) {
	if err := checkServer(a.nc); err != nil {
		return streams{}, err
	}
	for _, want := range []struct {
		name, subject string
		incarnation   *string
	}{
		{cfg.index(), cfg.indexSubject(), &found.index},
		{cfg.stream, cfg.logSubject(), &found.log},
	} {
		var health StreamHealth
		have, err := retry(ctx, func() (c *jetstream.StreamConfig, err error) {
			c, *want.incarnation, health, err = a.config(ctx, want.name)
			return c, err
		})
		if err != nil {
			return found, err
		}
		found.health = append(found.health, health)
		if problems := streamProblems(have, want.subject, cfg.memory); len(problems) > 0 {
			return found, &enact.StreamConfigError{Stream: want.name, Problems: problems}
		}
		if want.name == cfg.index() {
			found.window = have.Duplicates
		}
	}
	return found, nil
}

// checkServer refuses servers that are too old. A pre-release counts as its release.
func checkServer(nc *nats.Conn) error {
	have := nc.ConnectedServerVersion()
	if have == "" {
		return nil // not connected just now: what is asked next says so
	}
	return CheckServerVersion(have)
}

func versionLess(a, b string) bool {
	x, y := versionNumbers(a), versionNumbers(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func versionNumbers(v string) (n [3]int) {
	v, _, _ = strings.Cut(strings.TrimPrefix(v, "v"), "-")
	for i, part := range strings.SplitN(v, ".", 3) {
		n[i], _ = strconv.Atoi(part)
	}
	return n
}

// streamProblems names every setting that breaks a guarantee of the log.
func streamProblems(c *jetstream.StreamConfig, subject string, memory bool) []enact.StreamProblem {
	var problems []enact.StreamProblem
	expect := func(ok bool, setting string, have any, want, why string) {
		if !ok {
			problems = append(problems, enact.StreamProblem{Setting: setting, Have: fmt.Sprint(have), Want: want, Why: why})
		}
	}
	const kept, addressed = "events are never lost", "every execution has one subject"
	restore := c.Metadata[MetadataRestore]
	expect(restore == "", "metadata "+MetadataRestore, restore, "unset", "a restore that is not done, or was broken off, has brought back a part of the events")
	expect(len(c.Subjects) == 1 && c.Subjects[0] == subject, "subjects", c.Subjects, subject, addressed)
	expect(c.Retention == jetstream.LimitsPolicy, "retention", c.Retention, "limits", kept)
	expect(c.Storage == jetstream.FileStorage || memory, "storage", c.Storage, "file", "events survive a restart")
	expect(c.Discard == jetstream.DiscardNew, "discard", c.Discard, "new", kept)
	expect(c.MaxMsgs <= 0, "max_msgs", c.MaxMsgs, "unlimited", kept)
	expect(c.MaxBytes <= 0, "max_bytes", c.MaxBytes, "unlimited", "the log grows without deletion")
	expect(c.MaxAge == 0, "max_age", c.MaxAge, "unlimited", kept)
	expect(c.MaxMsgsPerSubject <= 0, "max_msgs_per_subject", c.MaxMsgsPerSubject, "unlimited", kept)
	expect(c.MaxMsgSize <= 0, "max_msg_size", c.MaxMsgSize, "unlimited", "any event that the server takes can be stored")
	expect(!c.NoAck, "no_ack", c.NoAck, "false", "an append is acknowledged")
	expect(!c.Sealed, "sealed", c.Sealed, "false", "the log takes appends")
	expect(c.DenyDelete, "deny_delete", c.DenyDelete, "true", kept)
	expect(c.DenyPurge, "deny_purge", c.DenyPurge, "true", kept)
	expect(!c.AllowRollup, "allow_rollup_hdrs", c.AllowRollup, "false", kept)
	expect(c.AllowDirect, "allow_direct", c.AllowDirect, "true", "reads are served by every replica")
	expect(c.AllowAtomicPublish, "allow_atomic", c.AllowAtomicPublish, "true", "large batches are atomic")
	expect(!c.AllowMsgTTL, "allow_msg_ttl", c.AllowMsgTTL, "false", kept)
	expect(c.SubjectDeleteMarkerTTL == 0, "subject_delete_marker_ttl", c.SubjectDeleteMarkerTTL, "unset", kept)
	expect(!c.AllowMsgCounter, "allow_msg_counter", c.AllowMsgCounter, "false", "events are stored as they are sent")
	expect(!c.AllowMsgSchedules, "allow_msg_schedules", c.AllowMsgSchedules, "false", "events are stored when they are sent")
	expect(c.PersistMode == jetstream.DefaultPersistMode, "persist_mode", c.PersistMode, "default", "an acknowledged event is written")
	expect(c.SubjectTransform == nil, "subject_transform", "set", "unset", addressed)
	expect(c.Mirror == nil, "mirror", "set", "unset", "the log takes appends")
	expect(len(c.Sources) == 0, "sources", "set", "unset", "events come from appends alone")
	return problems
}
