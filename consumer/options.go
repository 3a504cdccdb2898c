package consumer

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/enactlog/enact"
)

// Defaults and bounds of the options.
const (
	DefaultHeartbeat = 2 * time.Second
	DefaultWorkers   = 16
	DefaultWindow    = 4096     // records
	DefaultBytes     = 32 << 20 // of records that are held
	DefaultCacheSize = 10_000   // executions

	MaxWorkers = 1024
	MaxWindow  = 1 << 20
	MaxLabel   = 128 // bytes
)

// TailOption is an option of [Tail].
type TailOption interface{ tail(*tailConfig) error }

// FollowOption is an option of [Follow].
type FollowOption interface{ follow(*followConfig) error }

// GroupOption is an option of [OpenGroup].
type GroupOption interface{ group(*groupConfig) error }

// CommonOption is an option of every subscriber.
type CommonOption func(*common) error

// StartOption is an option of [Follow] and [OpenGroup] that says where to begin. The
// last one counts; without one it is [FromBeginning].
type StartOption func(*start) error

// HandlingOption is an option of [Follow] and [OpenGroup] about the handler.
type HandlingOption func(*handling) error

type (
	tailOption   func(*tailConfig) error
	followOption func(*followConfig) error
	groupOption  func(*groupConfig) error
)

func (f tailOption) tail(c *tailConfig) error         { return f(c) }
func (f followOption) follow(c *followConfig) error   { return f(c) }
func (f groupOption) group(c *groupConfig) error      { return f(c) }
func (f CommonOption) tail(c *tailConfig) error       { return f(&c.common) }
func (f CommonOption) follow(c *followConfig) error   { return f(&c.common) }
func (f CommonOption) group(c *groupConfig) error     { return f(&c.common) }
func (f StartOption) follow(c *followConfig) error    { return f(&c.start) }
func (f StartOption) group(c *groupConfig) error      { return f(&c.start) }
func (f HandlingOption) follow(c *followConfig) error { return f(&c.handling) }
func (f HandlingOption) group(c *groupConfig) error   { return f(&c.handling) }

// common is what every subscriber has.
type common struct {
	heartbeat time.Duration
	label     string
}

func newCommon() common { return common{heartbeat: DefaultHeartbeat} }

// handling is what subscribers with a handler have.
type handling struct {
	workers    int
	checkpoint Checkpoint
	newTenants bool
}

func newHandling() handling { return handling{workers: DefaultWorkers} }

// start is where a subscriber begins.
type start struct {
	kind  startKind
	time  time.Time
	token Token
}

type startKind int

const (
	startBeginning startKind = iota
	startNow
	startTime
	startToken
)

func invalid(option, format string, args ...any) error {
	return &enact.OptionError{Option: option, Reason: fmt.Sprintf(format, args...)}
}

// WithHeartbeat sets how often the server says that a subscriber without news is still
// served; one that stays silent for two heartbeats is replaced. Default (and 0):
// [DefaultHeartbeat]. 100 ms to 1 minute.
func WithHeartbeat(d time.Duration) CommonOption {
	return func(c *common) error {
		if d == 0 {
			d = DefaultHeartbeat
		}
		if d < 100*time.Millisecond || d > time.Minute {
			return invalid("WithHeartbeat", "%v is not within 100ms to 1m", d)
		}
		c.heartbeat = d
		return nil
	}
}

// WithLabel gives the subscriber a text by which people recognise it in [List]. Default:
// none. At most [MaxLabel] bytes of UTF-8.
func WithLabel(label string) CommonOption {
	return func(c *common) error {
		if len(label) > MaxLabel || !utf8.ValidString(label) {
			return invalid("WithLabel", "is not at most %d bytes of UTF-8", MaxLabel)
		}
		c.label = label
		return nil
	}
}

// FromBeginning begins with the first record of the log.
func FromBeginning() StartOption {
	return func(s *start) error {
		*s = start{kind: startBeginning}
		return nil
	}
}

// FromNow begins behind the last record that the log holds when the subscriber starts.
func FromNow() StartOption {
	return func(s *start) error {
		*s = start{kind: startNow}
		return nil
	}
}

// FromTime begins with the first append that the server stored at t or later. The
// server's clock counts, not the times of the events.
func FromTime(t time.Time) StartOption {
	return func(s *start) error {
		if t.IsZero() {
			return invalid("FromTime", "is the zero time")
		}
		*s = start{kind: startTime, time: t.UTC()}
		return nil
	}
}

// FromToken goes on where a token says. The zero Token is an [*enact.OptionError]: a
// position that was lost must not become a beginning unnoticed.
func FromToken(t Token) StartOption {
	return func(s *start) error {
		if t.IsZero() {
			return invalid("FromToken", "is the zero Token")
		}
		*s = start{kind: startToken, token: t}
		return nil
	}
}

// Workers sets how many calls of the handler go on at a time, each for another
// execution. With 1 the handler sees the log in the order of positions. Default (and
// 0): [DefaultWorkers]. At most [MaxWorkers].
func Workers(n int) HandlingOption {
	return func(h *handling) error {
		if n < 0 || n > MaxWorkers {
			return invalid("Workers", "%d is not within 0 to %d", n, MaxWorkers)
		}
		if n == 0 {
			n = DefaultWorkers
		}
		h.workers = n
		return nil
	}
}

// WithCheckpoint leaves out events whose effects a checkpoint knows, and tells it of
// each event that was handled.
func WithCheckpoint(c Checkpoint) HandlingOption {
	return func(h *handling) error {
		if c == nil {
			return invalid("WithCheckpoint", "is nil")
		}
		h.checkpoint = c
		return nil
	}
}

// AllowNewTenants accepts a filter that names tenants without executions, whose first
// ones are yet to come. Without it such a tenant is an [*UnknownTenantError], since a
// name that was mistyped would be followed for ever.
func AllowNewTenants() HandlingOption {
	return func(h *handling) error {
		h.newTenants = true
		return nil
	}
}
