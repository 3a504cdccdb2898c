package jetstore

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/natsurl"
)

var (
	_ enact.EventStore = (*Store)(nil)
	_ enact.Committer  = (*Store)(nil)
	_ enact.Querier    = (*Store)(nil)
)

// Store is the log in a JetStream stream, or, with [WithStreamPerTenant], in a stream for
// each tenant. It may be used from any number of goroutines. It must be closed with
// [Store.Shutdown].
type Store struct {
	cfg   *config
	reads *api // bulk reads, so that a long answer does not hold up an append
	asks  *api // appends, and questions to the leader
	owned []*nats.Conn
	*gate

	tenants *tenants // of a store with a stream per tenant, which has no log itself; else nil
	part    bool     // the log of one tenant, of a store that has more

	lanes    *lanes
	index    *confirmations
	statuses *statuses
	tails    *tails
	window   time.Duration             // duplicate window of the index stream
	witness  atomic.Pointer[execution] // one that has records; nil: none is known
	batches  chan struct{}             // one token for each open transaction
	seen     atomic.Uint64             // highest position that this store has written or read
	inc      atomic.Value              // string: incarnation of the stream
	noFeeds  atomic.Bool               // the connection may not make consumers
	probe    probe
}

// Open opens the log on a connection of the caller's, which stays the caller's:
// Shutdown does not close it. The connection should have been made with
// nats.ReconnectBufSize(-1): what is buffered while it is down reaches the server
// at a time of its own; and with nats.FlusherTimeout of some seconds, which is how long a
// server that reads no more holds up calls whose contexts have ended.
//
// It returns enact.ErrStreamNotFound if the stream or its index stream is
// missing, an [*enact.StreamConfigError] that names each setting which breaks a
// guarantee, enact.ErrServerTooOld, an [*enact.OptionError], or what the
// connection returned. It creates nothing.
func Open(ctx context.Context, nc *nats.Conn, opts ...Option) (*Store, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, nc, nc)
}

// Connect connects to the servers (one URL or more, separated by commas) and
// opens the log there, as [Open] does. The store owns two connections, one for
// reads and one for writes; both reconnect for ever, and leave a server that has had no
// answers for 10 s, which is longer than an election takes, for the next one of the list. With
// [WithContext] servers may be "".
func Connect(ctx context.Context, servers string, opts ...Option) (*Store, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	var conns []*nats.Conn
	for _, use := range []string{"writes", "reads"} {
		nc, err := dial(ctx, cfg, servers, "enact "+use)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, nc)
	}
	s, err := open(ctx, cfg, conns[0], conns[1])
	if err != nil {
		closeAll(conns)
		return nil, err
	}
	s.owned = conns
	s.asks.silence, s.reads.silence = &silence{nc: conns[0]}, &silence{nc: conns[1]}
	s.asks.refusals, s.reads.refusals = hearRefusals(conns[0]), hearRefusals(conns[1])
	return s, nil
}

// writeTimeout bounds a write to a connection. Whoever writes to a server that reads no more
// is held up so long, whatever its context says, and with it all others on the connection
// (nats.go: nc.mu); its default is a minute. The largest event of an embedded server takes
// as long at 13 Mbit/s.
const writeTimeout = 5 * time.Second

// dial makes one connection of the store's own. ReconnectBufSize(-1) makes a
// publish fail at once while the connection is down, so that no copy of an append
// lies in a buffer after its outcome was settled.
func dial(ctx context.Context, cfg *config, servers, name string) (*nats.Conn, error) {
	opts := append([]nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(100 * time.Millisecond),
		nats.FlusherTimeout(writeTimeout),
	}, cfg.natsOpts...)
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(max(time.Until(deadline), time.Millisecond)))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.context != "" {
		return dialContext(cfg, servers, opts)
	}
	nc, err := nats.Connect(servers, opts...)
	if err != nil {
		return nil, fmt.Errorf("enact: connect to %s: %w", natsurl.Redact(servers), err)
	}
	return nc, nil
}

// dialContext makes one connection by a context of the nats CLI, and takes the API's
// prefix from it where no option gave one.
func dialContext(cfg *config, servers string, opts []nats.Option) (*nats.Conn, error) {
	if servers != "" {
		opts = append(opts, func(o *nats.Options) error {
			o.Url, o.Servers = "", strings.Split(strings.ReplaceAll(servers, " ", ""), ",")
			return nil
		})
	}
	nc, settings, err := natscontext.Connect(cfg.context, opts...)
	if err != nil {
		return nil, fmt.Errorf("enact: connect by the context %q: %w", cfg.context, err)
	}
	if !cfg.apiGiven {
		apply := WithDomain(settings.JSDomain)
		if settings.JSAPIPrefix != "" {
			apply = WithAPIPrefix(settings.JSAPIPrefix)
		}
		if err := apply(cfg); err != nil {
			nc.Close()
			return nil, err
		}
	}
	return nc, nil
}

func closeAll(conns []*nats.Conn) {
	for _, nc := range conns {
		nc.Close()
	}
}

func open(ctx context.Context, cfg *config, writes, reads *nats.Conn) (*Store, error) {
	s := &Store{
		cfg:      cfg,
		asks:     newAPI(writes, cfg.apiPrefix, watch(writes)),
		reads:    newAPI(reads, cfg.apiPrefix, watch(reads)),
		gate:     newGate(),
		lanes:    newLanes(cfg.cacheSize),
		index:    newConfirmations(cfg.cacheSize * metFactor),
		statuses: newStatuses(cfg.cacheSize),
		probe:    newProbe(),
	}
	s.asks.patience, s.reads.patience = cfg.patience, cfg.patience
	ctx, cancel := s.withTimeout(ctx)
	defer cancel()
	var err error
	if cfg.perTenant {
		s.tenants = newTenants()
		err = checkServer(writes)
	} else {
		err = s.openLog(ctx)
	}
	if err != nil {
		s.hangUp()
		return nil, err
	}
	return s, nil
}

// openLog checks the streams and makes what the store keeps of them.
func (s *Store) openLog(ctx context.Context) error {
	found, err := check(ctx, s.cfg, s.asks)
	if err != nil {
		return err
	}
	s.tails = newTails(s.cfg.cacheSize)
	s.batches = make(chan struct{}, maxOpenBatches)
	s.inc.Store(found.log)
	s.tails.sawIncarnation(found.index)
	s.window = found.window
	return nil
}

// Name returns "jetstream".
func (s *Store) Name() string { return "jetstream" }

// RequiresNetwork reports whether the server lives outside this process.
func (s *Store) RequiresNetwork() bool { return !s.cfg.local }

// SupportsAirGapped is the opposite of RequiresNetwork.
func (s *Store) SupportsAirGapped() bool { return s.cfg.local }

// StreamName returns the name of the log's stream. Where each tenant has one, theirs
// begin with it: see [Store.StreamOf].
func (s *Store) StreamName() string { return s.cfg.stream }

// StreamOf returns the name of the stream that holds the tenant's executions.
func (s *Store) StreamOf(tenant enact.TenantID) string {
	if s.tenants == nil {
		return s.cfg.stream
	}
	return s.cfg.forTenant(tenant).stream
}

// IndexName returns the name of the stream that lists the log's executions. Where each
// tenant has one, theirs begin with it; that of [Store.Tenant] returns a tenant's.
func (s *Store) IndexName() string { return s.cfg.index() }

// Subjects returns the log's subject scheme.
func (s *Store) Subjects() enact.Subjects { return s.cfg.subjects }

// Conn returns the connection that the store reads with, for consumers beside the
// store. It must not be closed.
func (s *Store) Conn() *nats.Conn { return s.reads.nc }

// APIPrefix returns the subject prefix of the JetStream API that the store uses.
func (s *Store) APIPrefix() string { return s.cfg.apiPrefix }

// Codecs returns the codecs that the store reads with.
func (s *Store) Codecs() codec.Set { return s.cfg.codecs }

// Shutdown refuses new calls, ends the subscribers, waits for the calls in flight,
// closes the connections that the store made, and, for an embedded server, stops it. If
// ctx ends first, the calls in flight end with its error and Shutdown returns it once
// they have; for a subscriber whose handler goes on it does not wait any longer.
// Further calls wait for the first to finish and return nil. Of a store that
// [Store.Tenant] returned it does nothing.
func (s *Store) Shutdown(ctx context.Context) error {
	if s.part {
		return nil
	}
	return s.shut(ctx, func() error {
		s.hangUp()
		closeAll(s.owned)
		if s.cfg.onShutdown == nil {
			return nil
		}
		// The server is stopped even if the caller's patience is at its end: left
		// running, it would keep the directory's lock.
		return s.cfg.onShutdown(context.WithoutCancel(ctx))
	})
}

// hangUp ends what the store has on its connections.
func (s *Store) hangUp() {
	s.asks.close()
	s.reads.close()
}

// begin counts a call in and bounds its context. end must be called when it is over.
func (s *Store) begin(ctx context.Context) (_ context.Context, end func(), err error) {
	return s.enter(ctx, s.withTimeout)
}

func (s *Store) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.cfg.timeout)
}

// sawPosition remembers the highest position that this store has met.
func (s *Store) sawPosition(p uint64) {
	for {
		old := s.seen.Load()
		if p <= old || s.seen.CompareAndSwap(old, p) {
			return
		}
	}
}
