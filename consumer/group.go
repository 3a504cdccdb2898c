package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Mode is how the members of a group share its events.
type Mode string

// Modes of groups.
const (
	// Ordered groups have one active member, which handles the log in the order of
	// positions, one event at a time; the others stand by. No event comes for the first
	// time before one that precedes it in the log: a new active member begins where
	// everything before is acknowledged, and leaves nothing out. Some may come again after
	// a change of the active member.
	Ordered Mode = "ordered"
	// Parallel groups have all members active. One member handles the events of one
	// execution that it is sent in order and one at a time, also while one of them is tried
	// again. Two members may have events of one execution at the same time, and what the
	// server sends again, because a member ended or was lost, may come behind later events.
	Parallel Mode = "parallel"
)

// Defaults and bounds of groups.
const (
	DefaultAckWait  = 30 * time.Second
	DefaultFailover = 10 * time.Second
	MaxGroupName    = 64 // bytes

	DefaultInFlightOrdered  = 128  // records
	DefaultInFlightParallel = 1000 // records
)

// defaultBackoff is the wait before the second attempt, the third and so on.
var defaultBackoff = []time.Duration{250 * time.Millisecond, time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

// groupConfig is what the options of a group come to.
type groupConfig struct {
	common
	handling
	start         start
	ackWait       time.Duration
	backoff       []time.Duration
	maxDeliveries int
	maxInFlight   int
	failover      time.Duration
	onFailure     func(Failure)
}

// AckWait sets how long the server waits for word of a record from the member that it
// was sent to before it sends it to another one, or again. A member that works on a
// record gives word three times in that time, so that a handler may take longer.
// Default (and 0): [DefaultAckWait]. At least 1 s.
func AckWait(d time.Duration) GroupOption {
	return groupOption(func(c *groupConfig) error {
		if d == 0 {
			d = DefaultAckWait
		}
		if d < time.Second {
			return invalid("AckWait", "%v is below 1s", d)
		}
		c.ackWait = d
		return nil
	})
}

// Backoff sets the waits before the second attempt, the third and so on; the last one
// counts for all that follow. Default (and none): 250 ms, 1 s, 5 s, 15 s, 1 min.
func Backoff(waits ...time.Duration) GroupOption {
	return groupOption(func(c *groupConfig) error {
		for _, d := range waits {
			if d <= 0 {
				return invalid("Backoff", "%v is not above 0", d)
			}
		}
		if c.backoff = slices.Clone(waits); len(waits) == 0 {
			c.backoff = defaultBackoff
		}
		return nil
	})
}

// MaxDeliveries makes the group give an event up when its n-th attempt has failed: it
// becomes a dead letter (see [EnsureDeadLetters], which must have been called before)
// and only then counts as handled. Deliveries that ended without an answer count as
// attempts: of a member that crashed, hung, was cut off for longer than [AckWait] or
// was stopped; after n of those the event is not tried again. Default (and 0): never.
func MaxDeliveries(n int) GroupOption {
	return groupOption(func(c *groupConfig) error {
		if n < 0 {
			return invalid("MaxDeliveries", "%d is below 0", n)
		}
		c.maxDeliveries = n
		return nil
	})
}

// MaxInFlight bounds the records that the members of a group hold together. Those of an
// [Ordered] group the active member holds: it handles one and is sent the next ones.
// Default (and 0): [DefaultInFlightOrdered], [DefaultInFlightParallel].
func MaxInFlight(records int) GroupOption {
	return groupOption(func(c *groupConfig) error {
		if records < 0 {
			return invalid("MaxInFlight", "%d is below 0", records)
		}
		c.maxInFlight = records
		return nil
	})
}

// FailoverAfter sets the silence of the active member of an [Ordered] group after which
// another one takes over. A record that the silent one holds is sent again after
// [AckWait]. Default (and 0): [DefaultFailover]. At least 1 s.
func FailoverAfter(d time.Duration) GroupOption {
	return groupOption(func(c *groupConfig) error {
		if d = cmp.Or(d, DefaultFailover); d < time.Second {
			return invalid("FailoverAfter", "%v is below 1s", d)
		}
		c.failover = d
		return nil
	})
}

// OnFailure calls f for each failed attempt, a panic included, from several goroutines.
// Default (and nil): failures are logged by slog.Default.
func OnFailure(f func(Failure)) GroupOption {
	return groupOption(func(c *groupConfig) error {
		if f == nil {
			f = logFailure
		}
		c.onFailure = f
		return nil
	})
}

// Group is a durable subscription to the log that the processes which run it share. Its
// position is kept by the server, as a durable JetStream consumer of the group's name
// on the log's stream.
type Group struct {
	store       *jetstore.Store
	name        string
	mode        Mode
	cfg         groupConfig
	filters     []string
	selects     func(enact.Event) bool
	incarnation string
	floor       uint64 // everything up to here was acknowledged when the group was opened
}

// OpenGroup opens the group of that name, and makes it where it does not exist: there it
// begins at its start, which otherwise does not count. The name has 1 to [MaxGroupName]
// letters, digits, '_' and '-'.
//
// Errors: an [*enact.OptionError] or [*enact.IDError] of the name, the filter or an
// option, an [*UnknownTenantError], a [*GroupConfigError] if the group exists with other
// settings (see [UpdateGroup]), a [*TokenError], a [*StreamChangedError],
// enact.ErrNotPermitted, enact.ErrStreamNotFound (also of the dead letters' stream, with
// [MaxDeliveries]), enact.ErrClosed, the context's, or the connection's.
func OpenGroup(ctx context.Context, store *jetstore.Store, name string, mode Mode, filter Filter, opts ...GroupOption) (*Group, error) {
	return openGroup(ctx, store, name, mode, filter, opts, false)
}

// UpdateGroup is OpenGroup for a group that may exist with other settings: it gets the
// new ones and keeps its position. Members that run with the old ones end with a
// [*GroupConfigError] when they next look. The mode of a group does not change.
func UpdateGroup(ctx context.Context, store *jetstore.Store, name string, mode Mode, filter Filter, opts ...GroupOption) (*Group, error) {
	return openGroup(ctx, store, name, mode, filter, opts, true)
}

func openGroup(ctx context.Context, store *jetstore.Store, name string, mode Mode, filter Filter, opts []GroupOption, update bool) (*Group, error) {
	g := &Group{store: store, name: name, mode: mode, selects: filter.selects(), cfg: groupConfig{
		common: newCommon(), handling: newHandling(), ackWait: DefaultAckWait, backoff: defaultBackoff,
		failover: DefaultFailover, onFailure: logFailure,
	}}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt.group(&g.cfg); err != nil {
			return nil, err
		}
	}
	switch {
	case name == "" || len(name) > MaxGroupName || enact.EncodeToken(name) != name:
		return nil, invalid("name", "%.100q is not 1 to %d letters, digits, '_' and '-'", name, MaxGroupName)
	case mode != Ordered && mode != Parallel:
		return nil, invalid("mode", "%.100q is neither %s nor %s", string(mode), Ordered, Parallel)
	}
	if _, ok := g.cfg.checkpoint.(interface{ inOrder() }); ok && mode != Ordered {
		return nil, invalid("WithCheckpoint", "the checkpoint needs events in order, which a %s group does not give", mode)
	}
	if g.cfg.maxInFlight == 0 {
		g.cfg.maxInFlight = map[Mode]int{Ordered: DefaultInFlightOrdered, Parallel: DefaultInFlightParallel}[mode]
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := filter.check(ctx, store, g.cfg.newTenants); err != nil {
		return nil, err
	}
	g.filters = filter.subjects(store.Subjects())
	if g.cfg.maxDeliveries > 0 {
		if err := checkDeadLetters(ctx, store); err != nil {
			return nil, err
		}
	}
	err := manage(ctx, store, func(ctx context.Context, at site) error {
		state, err := at.State(ctx, 0)
		if err != nil {
			return err
		}
		g.incarnation = state.Incarnation
		found, err := g.ensure(ctx, at, g.cfg.start, state, update, false)
		if err != nil {
			return err
		}
		info, err := found.info()
		g.floor = info.Acknowledged
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Name returns the group's name.
func (g *Group) Name() string { return g.name }

// Info returns what the server says of the group. Errors are those of [Get].
func (g *Group) Info(ctx context.Context) (Info, error) { return Get(ctx, g.store, g.name) }

// Pause keeps the group from being sent anything until a time, see [Pause].
func (g *Group) Pause(ctx context.Context, until time.Time) error {
	return Pause(ctx, g.store, g.name, until)
}

// Resume ends a pause, see [Resume].
func (g *Group) Resume(ctx context.Context) error { return Resume(ctx, g.store, g.name) }

// Remove removes the group with its position. Members should have ended: one that runs
// makes the group again, where it knows it to have been. Errors are those of [Remove].
func (g *Group) Remove(ctx context.Context) error { return Remove(ctx, g.store, g.name) }

// config returns the settings of the group's consumer.
func (g *Group) config() *jetstream.ConsumerConfig {
	cfg := &jetstream.ConsumerConfig{
		Name: g.name, Durable: g.name,
		Metadata:      metadata(KindGroup, g.cfg.label),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       g.cfg.ackWait,
		MaxDeliver:    -1, // the server would drop what was delivered too often
		MaxAckPending: g.cfg.maxInFlight,
	}
	cfg.Metadata[metaMode] = string(g.mode)
	setFilters(cfg, g.filters)
	if g.mode == Ordered {
		cfg.PriorityPolicy, cfg.PriorityGroups, cfg.PinnedTTL = jetstream.PriorityPolicyPinned, []string{pinGroup}, g.cfg.failover
	}
	return cfg
}

// pinGroup is the name of the one priority group of an ordered group's consumer.
const pinGroup = "members"

// ensure finds the group's consumer, or makes it at a start. An existing one must have
// the group's settings, or gets them. again says that members may hold records of one
// that was removed.
func (g *Group) ensure(ctx context.Context, at site, s start, state jetstore.StreamState, update, again bool) (*consumerInfo, error) {
	for {
		info, err := at.consumerInfo(ctx, g.name)
		if errors.Is(err, ErrNotFound) {
			cfg := g.config()
			if again {
				cfg.Metadata[metaRemade] = "true"
			}
			if s.kind == startToken {
				if err := s.token.admit(ctx, at, at.stream, state); err != nil {
					return nil, err
				}
			}
			setStart(cfg, s, state)
			info, err = at.createConsumer(ctx, cfg, "create")
			if hasCode(err, codeConsumerExists) {
				continue // made by another member in between
			}
			return info, err
		}
		if err != nil {
			return nil, err
		}
		return g.adopt(ctx, at, info, update)
	}
}

// adopt holds the settings of an existing consumer against the group's.
func (g *Group) adopt(ctx context.Context, at site, info *consumerInfo, update bool) (*consumerInfo, error) {
	have, err := info.config()
	if err != nil {
		return nil, err
	}
	want := g.config()
	problems, fixed := differences(have, want)
	switch {
	case len(problems) == 0 && !update:
		return info, nil
	case fixed || !update:
		return nil, &GroupConfigError{Group: g.name, Problems: problems}
	}
	want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = have.DeliverPolicy, have.OptStartSeq, have.OptStartTime
	want.Replicas, want.PauseUntil = have.Replicas, have.PauseUntil
	for k, v := range have.Metadata {
		if !strings.HasPrefix(k, "enact.") {
			want.Metadata[k] = v
		}
	}
	return at.createConsumer(ctx, want, "update")
}

// differences returns the settings in which a consumer differs from what is wanted; fixed
// is true if one of them cannot be changed.
func differences(have, want *jetstream.ConsumerConfig) (problems []GroupProblem, fixed bool) {
	expect := func(change bool, setting string, have, want any) {
		if h, w := fmt.Sprint(have), fmt.Sprint(want); h != w {
			problems = append(problems, GroupProblem{Setting: setting, Have: h, Want: w})
			fixed = fixed || !change
		}
	}
	expect(false, "metadata "+metaKind, have.Metadata[metaKind], want.Metadata[metaKind])
	expect(false, "metadata "+metaMode, have.Metadata[metaMode], want.Metadata[metaMode])
	expect(false, "ack_policy", have.AckPolicy, want.AckPolicy)
	expect(true, "filter_subjects", filtersOf(have), filtersOf(want))
	expect(true, "ack_wait", have.AckWait, want.AckWait)
	expect(true, "max_deliver", have.MaxDeliver, want.MaxDeliver)
	expect(true, "max_ack_pending", have.MaxAckPending, want.MaxAckPending)
	expect(false, "priority_policy", have.PriorityPolicy, want.PriorityPolicy)
	expect(false, "priority_groups", have.PriorityGroups, want.PriorityGroups)
	expect(true, "priority_timeout", have.PinnedTTL, want.PinnedTTL)
	expect(true, "backoff", have.BackOff, want.BackOff)
	expect(true, "headers_only", have.HeadersOnly, want.HeadersOnly)
	return problems, fixed
}

// setStart sets where a new consumer begins. A token in the middle of a record begins
// with that record: a group delivers at least once.
func setStart(cfg *jetstream.ConsumerConfig, s start, state jetstore.StreamState) {
	cfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
	switch s.kind {
	case startBeginning:
		cfg.OptStartSeq = state.First
	case startNow:
		cfg.OptStartSeq = state.Last + 1
	case startTime:
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.time
	case startToken:
		cfg.OptStartSeq = max(s.token.next, state.First)
	}
}
