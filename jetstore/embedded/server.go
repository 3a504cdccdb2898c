package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// lockFile is locked, in the data directory, by the process that has it open.
const lockFile = "enact.lock"

// ErrDirectoryInUse is returned when another server, in this process or another, has
// the directory open.
var ErrDirectoryInUse = errors.New("embedded: directory is in use by another process or server")

// ErrStart is returned when the server does not come up; its text says why.
var ErrStart = errors.New("embedded: server did not start")

// readyTimeout bounds a start whose context has no deadline. A large log is read
// through at the start: about a second for a million messages.
const readyTimeout = 5 * time.Minute

// Server is a NATS server in this process.
type Server struct {
	srv      *server.Server
	lock     *flock.Flock
	stopping sync.Once
}

// Start starts a server that keeps its streams in dir, which is made if it does not
// exist. It returns [ErrDirectoryInUse], [ErrStart], the context's error, or what
// the file system said.
func Start(ctx context.Context, dir string, opts ...Option) (*Server, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return start(ctx, dir, c.serverOptions(dir), c.logger)
}

func (c *config) serverOptions(dir string) *server.Options {
	o := &server.Options{
		ServerName: "enact-embedded",
		Host:       c.host,
		Port:       c.port,
		DontListen: c.port == 0,
		JetStream:  true,
		StoreDir:   dir,
		MaxPayload: MaxPayload,
		// What "sync_interval: always" comes to (server/opts.go).
		SyncAlways:   c.syncEvery == 0,
		SyncInterval: c.syncEvery,
		NoSigs:       true,
	}
	if c.syncEvery == 0 {
		o.SyncInterval = 2 * time.Minute
	}
	return o
}

func start(ctx context.Context, dir string, opts *server.Options, logger *slog.Logger) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	s := &Server{lock: flock.New(filepath.Join(dir, lockFile))}
	locked, err := s.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded: lock %s: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("%w: %s", ErrDirectoryInUse, dir)
	}
	if s.srv, err = server.NewServer(opts); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrStart, err), s.lock.Unlock())
	}
	log := &serverLog{to: logger}
	s.srv.SetLoggerV2(log, false, false, false)
	s.srv.Start()
	if err := s.ready(ctx, log); err != nil {
		return nil, errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// ready waits until the server takes connections.
func (s *Server) ready(ctx context.Context, log *serverLog) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, readyTimeout)
		defer cancel()
	}
	var failed string
	err := poll(ctx, func() bool {
		failed = log.fatal()
		return failed != "" || s.srv.ReadyForConnections(time.Millisecond)
	})
	if failed != "" {
		return fmt.Errorf("%w: %s", ErrStart, failed)
	}
	return err
}

// poll waits until cond holds, or for ctx.
func poll(ctx context.Context, cond func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrStart, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// ClientURL returns the URL for clients in other processes; "" if the server listens
// on no port.
func (s *Server) ClientURL() string {
	if s.srv.Addr() == nil {
		return ""
	}
	return s.srv.ClientURL()
}

// connectTimeout bounds the wait for the server's greeting. It is in this process: only a
// busy machine keeps a client waiting, for which nats.go's 2 s may be too short.
const connectTimeout = time.Minute

// InProcess returns the option that makes nats.Connect use the server without a
// network, as in nats.Connect("", srv.InProcess()), and wait for its greeting for up to a
// minute, unless a nats.Timeout behind it says otherwise.
func (s *Server) InProcess() nats.Option {
	return func(o *nats.Options) error {
		o.InProcessServer, o.Timeout = s.srv, connectTimeout
		return nil
	}
}

// Shutdown stops the server, waits until it has, and frees the directory. It may be
// called more than once. ctx is not used to cut it short: a server that still runs
// holds the directory.
func (s *Server) Shutdown(context.Context) error {
	var err error
	s.stopping.Do(func() {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		err = s.lock.Unlock()
	})
	return err
}

// serverLog passes the server's log on and keeps the first fatal line: with signals
// off, the server's only word on a start that failed.
type serverLog struct {
	to    *slog.Logger
	mu    sync.Mutex
	first string
}

func (l *serverLog) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *serverLog) Fatalf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	l.mu.Lock()
	if l.first == "" {
		l.first = msg
	}
	l.mu.Unlock()
	l.to.Error(msg)
}

func (l *serverLog) Noticef(format string, v ...any) { l.to.Info(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.to.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.to.Error(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}
