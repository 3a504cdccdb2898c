package jetstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// Defaults of the options.
const (
	DefaultStream    = "ENACT"
	DefaultTimeout   = 30 * time.Second
	DefaultCacheSize = 10_000
	DefaultKeyWindow = 64
)

// defaultAPI is the subject prefix of the JetStream API of the server's own domain.
const defaultAPI = "$JS.API"

// indexSuffix makes the index stream's name from the log stream's.
const indexSuffix = "_INDEX"

// Option is an option of [Open], [Connect] and [EnsureStream].
type Option func(*config) error

type config struct {
	stream     string
	indexName  string          // "": <stream>_INDEX
	perTenant  bool            // each tenant has streams of its own
	tenant     *enact.TenantID // whose streams these are; nil: all tenants'
	subjects   enact.Subjects
	apiPrefix  string
	apiGiven   bool // apiPrefix was chosen by an option
	timeout    time.Duration
	patience   time.Duration // see api
	cacheSize  int
	keyWindow  int
	codecs     codec.Set
	write      codec.Codec
	tracer     Tracer    // nil: none
	telemetry  telemetry // what its options say
	watchers   *watchers // nil: none
	natsOpts   []nats.Option
	context    string // of the nats CLI; "": none
	replicas   int
	placement  *jetstream.Placement // nil: the server chooses
	memory     bool
	local      bool
	onShutdown func(context.Context) error
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		stream: DefaultStream, apiPrefix: defaultAPI, timeout: DefaultTimeout, patience: tryTimeout,
		cacheSize: DefaultCacheSize, keyWindow: DefaultKeyWindow, write: codec.JSON{},
	}
	c.subjects, _ = enact.NewSubjects("")
	c.codecs, _ = codec.NewSet()
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(c); err != nil {
			return nil, err
		}
	}
	own, err := c.telemetry.tracers()
	if err != nil {
		return nil, err
	}
	c.watchers = watchersOf(append(own, c.tracer)...)
	return c, nil
}

func (c *config) index() string { return cmp.Or(c.indexName, c.stream+indexSuffix) }

// logSubject returns the subject of the log's stream.
func (c *config) logSubject() string {
	if c.tenant != nil {
		return c.subjects.Tenant(*c.tenant)
	}
	return c.subjects.All()
}

// indexSubject returns the subject of the index stream.
func (c *config) indexSubject() string {
	if c.tenant != nil {
		return c.subjects.Index(*c.tenant)
	}
	return c.subjects.AllIndex()
}

// WithStream names the log's stream; the index stream is <name>_INDEX. Default
// (and ""): [DefaultStream]. 1 to 200 bytes of letters, digits, '_' and '-'.
func WithStream(name string) Option {
	return func(c *config) error {
		if name == "" {
			name = DefaultStream
		}
		if len(name) > 200 || enact.EncodeToken(name) != name {
			return &enact.OptionError{Option: "WithStream", Reason: fmt.Sprintf("%.250q is not 1 to 200 letters, digits, '_' and '-'", name)}
		}
		c.stream = name
		return nil
	}
}

// WithStreamPerTenant keeps each tenant's log in streams of its own: <name>-<tenant> and
// its index <name>_INDEX-<tenant>, with the tenant's id percent-encoded as in subjects (see
// [Store.StreamOf]). Permissions can then confine reads to a tenant, which they cannot on
// a shared stream; docs/guarantees.md says what they confine.
//
// The API is the same. Every call must name its tenant, and returns
// enact.ErrTenantRequired where it does not. An execution id may be used by any number of
// tenants, who do not know of each other. [EnsureTenant] makes a tenant's streams; until
// then calls return enact.ErrStreamNotFound. The state of the 1024 tenants used last is
// kept open; they share the store's connections and caches.
func WithStreamPerTenant() Option {
	return func(c *config) error {
		c.perTenant = true
		return nil
	}
}

// WithPrefix sets the prefix of the log's subjects. Default (and ""):
// enact.DefaultPrefix. A stream has one prefix, set when it is created.
func WithPrefix(prefix string) Option {
	return func(c *config) (err error) {
		c.subjects, err = enact.NewSubjects(prefix)
		return err
	}
}

// WithDomain addresses the JetStream of a domain; "" means the server's own.
func WithDomain(domain string) Option {
	return func(c *config) error {
		if domain == "" {
			c.apiPrefix, c.apiGiven = defaultAPI, false
			return nil
		}
		if strings.ContainsAny(domain, " .*>\t\r\n") {
			return &enact.OptionError{Option: "WithDomain", Reason: fmt.Sprintf("%.250q is not a domain", domain)}
		}
		c.apiPrefix, c.apiGiven = "$JS."+domain+".API", true
		return nil
	}
}

// WithAPIPrefix sets the subject prefix of the JetStream API, for an API that is
// imported from another account. Default (and ""): "$JS.API".
func WithAPIPrefix(prefix string) Option {
	return func(c *config) error {
		prefix = strings.TrimSuffix(prefix, ".")
		if prefix == "" {
			c.apiPrefix, c.apiGiven = defaultAPI, false
			return nil
		}
		if strings.ContainsAny(prefix, " *>\t\r\n") {
			return &enact.OptionError{Option: "WithAPIPrefix", Reason: fmt.Sprintf("%.250q is not a subject prefix", prefix)}
		}
		c.apiPrefix, c.apiGiven = prefix, true
		return nil
	}
}

// WithTimeout bounds calls whose context has no deadline. Default (and 0):
// [DefaultTimeout], which is longer than an election takes.
func WithTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return &enact.OptionError{Option: "WithTimeout", Reason: fmt.Sprintf("%v is below 0", d)}
		}
		if d == 0 {
			d = DefaultTimeout
		}
		c.timeout = d
		return nil
	}
}

// WithCacheSize bounds the executions whose tail is kept in memory, about 1 KiB
// each, so that an append to them is one round trip. In proportion it bounds what else is
// remembered, about as much again: where executions stand, who created them and what their
// status was, and the newest index entries of tenants. Default (and 0):
// [DefaultCacheSize], 10 000.
func WithCacheSize(executions int) Option {
	return func(c *config) error {
		if executions < 0 {
			return &enact.OptionError{Option: "WithCacheSize", Reason: fmt.Sprintf("%d is below 0", executions)}
		}
		if executions == 0 {
			executions = DefaultCacheSize
		}
		// Caches that are larger in proportion must not overflow and come out as small ones.
		c.cacheSize = min(executions, math.MaxInt/metFactor)
		return nil
	}
}

// WithKeyWindow sets how many of an execution's last records are searched for an
// idempotency key. Default (and 0): [DefaultKeyWindow]. At most 1024.
func WithKeyWindow(records int) Option {
	return func(c *config) error {
		if records < 0 || records > 1024 {
			return &enact.OptionError{Option: "WithKeyWindow", Reason: fmt.Sprintf("%d is not within 0 to 1024", records)}
		}
		if records == 0 {
			records = DefaultKeyWindow
		}
		c.keyWindow = records
		return nil
	}
}

// WithCodec makes the store write with w and read what w and others write. JSON and
// zstd are always read (see codec.NewSet), so that a log which changes its codec stays
// readable. Default (and nil): JSON. Errors are codec.ErrInvalidName and
// codec.ErrDuplicateName.
func WithCodec(w codec.Codec, others ...codec.Codec) Option {
	return func(c *config) (err error) {
		if w == nil {
			w = codec.JSON{}
		}
		if c.codecs, err = codec.NewSet(append([]codec.Codec{w}, others...)...); err == nil {
			c.write = w
		}
		return err
	}
}

// WithNATS adds options to the connections that [Connect] makes: credentials,
// TLS, a name.
func WithNATS(opts ...nats.Option) Option {
	return func(c *config) error {
		c.natsOpts = append(c.natsOpts, opts...)
		return nil
	}
}

// WithContext takes what the connections that [Connect] makes need from a context of the
// nats CLI: its servers, where Connect is given none, credentials, TLS, inbox prefix,
// JetStream domain or API prefix. name is the context's, or the absolute path of its file.
// Default (and ""): none. Options of [WithNATS], [WithDomain] and [WithAPIPrefix] come
// before what the context says.
func WithContext(name string) Option {
	return func(c *config) error {
		c.context = name
		return nil
	}
}

// WithReplicas sets the replicas of streams that [EnsureStream] creates, 1 to 5.
// Default (and 0): 3 where the server is part of a cluster, 1 elsewhere.
func WithReplicas(n int) Option {
	return func(c *config) error {
		if n < 0 || n > 5 {
			return &enact.OptionError{Option: "WithReplicas", Reason: fmt.Sprintf("%d is not within 0 to 5", n)}
		}
		c.replicas = n
		return nil
	}
}

// WithPlacement sets where streams are put that [EnsureStream] creates: in a cluster, ""
// for the one that the connection leads to, and on servers that have all the tags.
// Default: wherever there is room.
func WithPlacement(cluster string, tags ...string) Option {
	return func(c *config) error {
		c.placement = nil
		if cluster != "" || len(tags) > 0 {
			c.placement = &jetstream.Placement{Cluster: cluster, Tags: tags}
		}
		return nil
	}
}

// WithMemoryStorage keeps the streams that [EnsureStream] creates in the server's
// memory, and lets [Open] accept such streams. Nothing survives the server: for
// tests only.
func WithMemoryStorage() Option {
	return func(c *config) error {
		c.memory = true
		return nil
	}
}

// WithLocalServer says that the server lives in this process: RequiresNetwork
// reports false. onShutdown, unless nil, is called once, at the end of Shutdown.
// Package embedded uses it.
func WithLocalServer(onShutdown func(context.Context) error) Option {
	return func(c *config) error {
		c.local, c.onShutdown = true, onShutdown
		return nil
	}
}
