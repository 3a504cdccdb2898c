package consumer

import (
	"context"
	"time"

	"github.com/enactlog/enact/jetstore"
)

// followConfig is what the options of a Follow come to.
type followConfig struct {
	common
	handling
	start      start
	window     int
	bytes      int
	cache      int
	every      time.Duration
	progress   func(context.Context, Token) error
	live       func(Token)
	untilLive  bool
	skipReport func(error)
	chained    bool
}

// Window bounds what a Follow holds in memory: records that wait or are being handled,
// those included that are done and stand behind one that is not, and the bytes of those
// that are not done. A slow handler makes the Follow ask for less. Default (and 0):
// [DefaultWindow] records, [DefaultBytes] bytes. At most [MaxWindow] records. Beside
// that a Follow holds what it has asked the server for, at most 6 MiB or one record,
// and one staged batch of up to 4 MiB.
func Window(records, bytes int) FollowOption {
	return followOption(func(c *followConfig) error {
		if records < 0 || records > MaxWindow || bytes < 0 {
			return invalid("Window", "%d records and %d bytes are not within 0 to %d and from 0", records, bytes, MaxWindow)
		}
		c.window, c.bytes = records, bytes
		if records == 0 {
			c.window = DefaultWindow
		}
		if bytes == 0 {
			c.bytes = DefaultBytes
		}
		return nil
	})
}

// WithCacheSize bounds the executions of which a Follow remembers the end, about 0.5 KiB
// each, against which the next record is checked. Of one that was forgotten it still
// knows that nothing is missing, but not its chain value. Default (and 0):
// [DefaultCacheSize].
func WithCacheSize(executions int) FollowOption {
	return followOption(func(c *followConfig) error {
		if executions < 0 {
			return invalid("WithCacheSize", "%d is below 0", executions)
		}
		if executions == 0 {
			executions = DefaultCacheSize
		}
		c.cache = executions
		return nil
	})
}

// VerifyChain checks the chain value of each record against the one before, where that is
// remembered: what was appended is what is handed over, byte for byte. Without it a
// Follow checks that records are the next ones, not what is in them; reads and a [Tail]
// always check both. It costs about a microsecond for a record of 256 bytes.
func VerifyChain() FollowOption {
	return followOption(func(c *followConfig) error {
		c.chained = true
		return nil
	})
}

// OnProgress calls f with the point up to which everything is handled, when that has
// moved on, at most once in every, and a last time before Follow returns, for whatever
// reason: the context that f is given then has not ended. One call at a time. An error
// of f ends the Follow with it. The least interval is 1 ms.
func OnProgress(every time.Duration, f func(ctx context.Context, t Token) error) FollowOption {
	return followOption(func(c *followConfig) error {
		if every < time.Millisecond || f == nil {
			return invalid("OnProgress", "needs an interval of at least 1ms, has %v, and a function", every)
		}
		c.every, c.progress = every, f
		return nil
	})
}

// OnLive calls f once, when everything that the log held at the start of the Follow is
// handled, with the point behind it. Handlers of later events may run at the same time.
func OnLive(f func(Token)) FollowOption {
	return followOption(func(c *followConfig) error {
		c.live = f
		return nil
	})
}

// UntilLive ends the Follow, without an error, when everything that the log held at its
// start is handled.
func UntilLive() FollowOption {
	return followOption(func(c *followConfig) error {
		c.untilLive = true
		return nil
	})
}

// SkipCorrupt leaves out the rest of an execution whose history is corrupt or cannot be
// read, instead of ending the Follow, and calls report with the error, from several
// goroutines, once for an execution. The ids of these executions are kept until the Follow
// ends, beside what [WithCacheSize] bounds.
func SkipCorrupt(report func(err error)) FollowOption {
	return followOption(func(c *followConfig) error {
		if report == nil {
			return invalid("SkipCorrupt", "needs a function that is told")
		}
		c.skipReport = report
		return nil
	})
}

// Follow hands the events that the filter selects to the handler, from the start (see
// [FromBeginning], [FromNow], [FromTime], [FromToken]) on and then live, until its
// context ends, which is no error. Events of one execution are handled in order, one
// after another, each once; executions in parallel (see [Workers]), so that a slow one
// holds up no other until the [Window] is full. It outlives reconnects and changes of
// leaders. What the handler was given is checked: a hole or a repeat is mended by a read,
// and if it is really there reported, never passed on.
//
// An error or a panic of the handler ends it with a [*HandlerError]; nothing behind the
// event was handed over of its execution. What a later Follow goes on with says
// [OnProgress]: it comes to the handler again if it was handled behind something that
// was not, which with Workers(1) is nothing.
//
// Errors: an [*enact.OptionError] or [*enact.IDError] of the filter or an option, an
// [*UnknownTenantError], a [*TokenError], a [*StreamChangedError] (also when the stream
// is made anew meanwhile), enact.ErrCorrupt, enact.ErrUnsupportedVersion and
// enact.ErrUnknownCodec (see [SkipCorrupt]), enact.ErrPayload (a key that cannot be had
// just now), enact.ErrNotPermitted, enact.ErrStreamNotFound, and enact.ErrClosed when the
// store is shut down.
func Follow(ctx context.Context, store *jetstore.Store, filter Filter, handler Handler, opts ...FollowOption) error {
	cfg := followConfig{
		common: newCommon(), handling: newHandling(), window: DefaultWindow, bytes: DefaultBytes, cache: DefaultCacheSize,
	}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt.follow(&cfg); err != nil {
			return err
		}
	}
	if handler == nil {
		return invalid("handler", "is nil")
	}
	if err := filter.Validate(); err != nil {
		return err
	}
	att, err := store.Attach()
	if err != nil {
		return err
	}
	defer att.Close()
	f := &follower{
		cfg: cfg, handler: observed(store, "", handler), selects: filter.selects(),
		reader: reader{site: siteOf(att), store: store},
	}
	return f.run(ctx, filter)
}
