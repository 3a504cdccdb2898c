package embedded

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// MaxPayload is the largest message that an embedded server takes, in bytes, and so
// the bound of one event.
const MaxPayload = 8 << 20

// Option is an option of [Open], [Start], [StartCluster] and [ForTest].
type Option func(*config) error

type config struct {
	host      string
	port      int // 0: no port
	memory    bool
	syncEvery time.Duration // 0: always
	logger    *slog.Logger
	store     []jetstore.Option
}

func newConfig(opts []Option) (*config, error) {
	c := &config{host: "127.0.0.1", logger: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// WithPort makes the server listen on 127.0.0.1:port as well; -1 takes a free port,
// see [Server.ClientURL]. Default (and 0): no port.
func WithPort(port int) Option {
	return func(c *config) error {
		if port < -1 || port > 65535 {
			return &enact.OptionError{Option: "WithPort", Reason: fmt.Sprintf("%d is not within -1 to 65535", port)}
		}
		c.port = port
		return nil
	}
}

// WithMemoryStorage keeps the streams in memory: nothing survives the server. For tests.
func WithMemoryStorage() Option {
	return func(c *config) error {
		c.memory = true
		c.store = append(c.store, jetstore.WithMemoryStorage())
		return nil
	}
}

// WithSyncInterval makes the server fsync every d instead of before each
// acknowledgement: appends are faster and survive a crash of the process, but a loss
// of power can lose the last d. Default (and 0): before each acknowledgement.
func WithSyncInterval(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return &enact.OptionError{Option: "WithSyncInterval", Reason: fmt.Sprintf("%v is below 0", d)}
		}
		c.syncEvery = d
		return nil
	}
}

// WithLogger passes on what the server logs. Default (and nil): nothing.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l != nil {
			c.logger = l
		}
		return nil
	}
}

// WithStore adds options for the store on the server and for its streams.
func WithStore(opts ...jetstore.Option) Option {
	return func(c *config) error {
		c.store = append(c.store, opts...)
		return nil
	}
}
