// Package natstest runs real nats-server processes for tests: they can be killed,
// paused, starved and restarted, which a server inside the test process cannot.
// Servers are built from their Go module and listen on loopback only.
package natstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact/internal/freeport"
	"github.com/enactlog/enact/internal/natsproc"
)

// startTimeout bounds a start, and an end as a lame duck.
const startTimeout = 2 * time.Minute

// askTimeout bounds one question whether a server serves.
const askTimeout = 5 * time.Second

// patience is how long a client waits for a server that serves.
const patience = time.Minute

// Options of a server. The zero value is a single node of the version that the
// project is built with, on a directory of the test's own, synced before each
// acknowledgement.
type Options struct {
	Version      string // "" : the version in go.mod
	Dir          string // "" : a directory of the test's own
	NoSync       bool   // the server's default sync interval instead of always
	MaxOpenFiles int    // 0: the machine's limit
	Processors   int    // that run the server's code at a time; 0: the machine's
	JetStream    string // further lines of the configuration's jetstream block
	Extra        string // further lines of configuration
	Monitor      bool   // serves the monitoring endpoints, see Server.Monitor

	// Dirs are the directories of a cluster's servers: "", or none, for those under Dir.
	Dirs []string
	// Route returns the address under which a cluster's server reaches another, given the
	// one that the other listens on. nil: that one. With it the servers do not tell each
	// other where else they are, so that there is no way around it.
	Route func(from, to int, address string) string

	NATS []nats.Option // for the connection that asks whether the server serves
}

// Server is one nats-server process.
type Server struct {
	tb   testing.TB
	opts Options
	name string
	bin  string
	args []string
	port int
	http int               // port of the monitoring endpoints, 0: none
	proc *natsproc.Process // nil: not started yet
	log  string
}

// Connect connects to a server that serves, however busy the machine is. The connection is
// closed when the test ends.
func Connect(tb testing.TB, url string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{nats.Timeout(patience)}, opts...)...)
	check(tb, err)
	tb.Cleanup(nc.Close)
	return nc
}

// JetStream returns a client whose calls wait as long, where their contexts have no deadline.
func JetStream(tb testing.TB, nc *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	check(tb, err)
	return js
}

// Binary returns the path of a nats-server of a version, building it if this machine
// has not yet. A build that fails, fails the test.
func Binary(tb testing.TB, version string) string {
	tb.Helper()
	bin, err := natsproc.Binary(tb.Context(), version)
	check(tb, err)
	return bin
}

// Start starts one server and waits until it serves JetStream. It is killed when the
// test ends.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := newServer(tb, opts, "n1", freePorts(tb, 1)[0], "")
	s.Start()
	return s
}

// StartCluster starts a cluster of n servers and waits until it serves JetStream.
func StartCluster(tb testing.TB, n int, opts Options) []*Server {
	tb.Helper()
	ports := freePorts(tb, 2*n)
	servers := make([]*Server, n)
	for i := range servers {
		o := opts
		o.Dir = filepath.Join(dirOf(tb, opts), fmt.Sprintf("n%d", i+1))
		if i < len(opts.Dirs) && opts.Dirs[i] != "" {
			o.Dir = opts.Dirs[i]
		}
		cluster := fmt.Sprintf("cluster { name: test, listen: \"127.0.0.1:%d\", no_advertise: true, %s }", ports[n+i], routes(i, ports[n:], opts.Route))
		servers[i] = newServer(tb, o, fmt.Sprintf("n%d", i+1), ports[i], cluster)
	}
	StartAll(servers)
	return servers
}

// routes returns the configuration of a server's routes to servers that listen on ports.
func routes(from int, ports []int, route func(from, to int, address string) string) string {
	var urls []string
	for to, port := range ports {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if route != nil && to != from {
			address = route(from, to, address)
		}
		if route == nil || to != from {
			urls = append(urls, "nats://"+address)
		}
	}
	config := fmt.Sprintf("routes: [%s]", strings.Join(urls, ", "))
	if route != nil {
		// Servers pass on the addresses of others, under which they try once to reach them
		// (server/route.go, processImplicitRoute). Nobody listens on this one.
		config += `, advertise: "127.0.0.1:1"`
	}
	return config
}

func dirOf(tb testing.TB, opts Options) string {
	if opts.Dir != "" {
		return opts.Dir
	}
	return tb.TempDir()
}

var configText = template.Must(template.New("config").Parse(`server_name: {{.Name}}
listen: "127.0.0.1:{{.Port}}"
max_payload: 8MB
jetstream {
  store_dir: "{{.Dir}}"
  {{if not .NoSync}}sync_interval: always{{end}}
  {{.JetStream}}
}
{{if .HTTP}}http: "127.0.0.1:{{.HTTP}}"{{end}}
{{.Cluster}}
{{.Extra}}
`))

func newServer(tb testing.TB, opts Options, name string, port int, cluster string) *Server {
	tb.Helper()
	bin := Binary(tb, opts.Version)
	dir := dirOf(tb, opts)
	check(tb, os.MkdirAll(dir, 0o750))
	conf, log := tb.TempDir()+"/server.conf", tb.TempDir()+"/server.log"
	monitor := 0
	if opts.Monitor {
		monitor = freePorts(tb, 1)[0]
	}
	f, err := os.Create(conf)
	check(tb, err)
	check(tb, configText.Execute(f, map[string]any{
		"Name": name, "Port": port, "Dir": dir, "NoSync": opts.NoSync, "Cluster": cluster,
		"JetStream": opts.JetStream, "Extra": opts.Extra, "HTTP": monitor,
	}))
	check(tb, f.Close())
	s := &Server{tb: tb, opts: opts, name: name, bin: bin, port: port, http: monitor, log: log}
	s.args = []string{bin, "-c", conf, "-l", log}
	if opts.MaxOpenFiles > 0 {
		s.args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, opts.MaxOpenFiles), "sh"}, s.args...)
	}
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() {
			tb.Logf("natstest: log of %s:\n%s", name, tail(log))
		}
	})
	return s
}

// StartAll starts servers at once, also after they were killed or stopped, and waits until
// all serve.
func StartAll(servers []*Server) {
	for _, s := range servers {
		s.launch()
	}
	for _, s := range servers {
		s.AwaitReady()
	}
}

// URL returns the server's client URL, the same over restarts.
func (s *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

// Monitor asks one of the server's monitoring endpoints, as in "/routez", and decodes the
// answer. Options.Monitor must be set.
func (s *Server) Monitor(endpoint string, into any) error {
	client := http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	reply, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.http, endpoint))
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	return json.NewDecoder(reply.Body).Decode(into)
}

// Log returns what the server has logged, from a byte on, over all its starts.
func (s *Server) Log(from int) string {
	s.tb.Helper()
	data, err := os.ReadFile(s.log)
	check(s.tb, err)
	return string(data[min(from, len(data)):])
}

// Name returns the server's name.
func (s *Server) Name() string { return s.name }

// PID returns the id of the server's process.
func (s *Server) PID() int { return s.proc.PID() }

// Start starts the process, also after a Kill or Stop, and waits until it serves.
func (s *Server) Start() {
	s.tb.Helper()
	s.launch()
	s.AwaitReady()
}

func (s *Server) launch() {
	s.tb.Helper()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	if n := s.opts.Processors; n > 0 {
		cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", n))
	}
	proc, err := natsproc.Start(cmd)
	check(s.tb, err)
	s.proc = proc
}

// AwaitReady waits until the server answers a JetStream request.
func (s *Server) AwaitReady() {
	s.tb.Helper()
	var last error
	Eventually(s.tb, startTimeout, func() bool {
		select {
		case <-s.proc.Done():
			s.tb.Fatalf("natstest: %s ended:\n%s", s.name, tail(s.log))
		default:
		}
		last = ask(s.URL(), s.opts.NATS...)
		return last == nil
	}, func() string { return fmt.Sprintf("%s does not serve: %v\n%s", s.name, last, tail(s.log)) })
}

// ask returns nil if the server at url answers a JetStream request with no error.
func ask(url string, opts ...nats.Option) error {
	nc, err := nats.Connect(url, append([]nats.Option{nats.NoReconnect(), nats.Timeout(askTimeout)}, opts...)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	m, err := nc.Request("$JS.API.STREAM.NAMES", nil, askTimeout)
	if err != nil {
		return err
	}
	if strings.Contains(string(m.Data), `"error"`) {
		return errors.New(string(m.Data))
	}
	return nil
}

// Kill ends the process as a crash would, and waits until it is gone.
func (s *Server) Kill() {
	if s.proc != nil {
		s.proc.Kill()
	}
}

// Stop ends the process in order, and waits until it is gone.
func (s *Server) Stop() {
	if s.proc != nil {
		s.proc.Stop()
	}
}

// LameDuck makes the server hand over what it leads, lead its clients elsewhere, and end.
// It returns once the process is gone.
func (s *Server) LameDuck() {
	s.tb.Helper()
	check(s.tb, s.proc.Signal(syscall.SIGUSR2))
	select {
	case <-s.proc.Done():
	case <-time.After(startTimeout):
		s.tb.Fatalf("natstest: %s does not end:\n%s", s.name, tail(s.log))
	}
}

// Pause stops the process where it stands; Resume lets it go on. It returns once every
// thread of the process stands still: a signal alone is delivered to one thread, and the
// others go on until that one has run.
func (s *Server) Pause() {
	s.tb.Helper()
	check(s.tb, s.proc.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(s.proc.PID(), &status, syscall.WUNTRACED, nil)
		if !errors.Is(err, syscall.EINTR) {
			check(s.tb, err)
			break
		}
	}
	if !status.Stopped() {
		s.tb.Fatalf("natstest: %s ended instead of pausing: status %#x", s.name, status)
	}
}

// Resume lets a paused process go on.
func (s *Server) Resume() {
	s.tb.Helper()
	check(s.tb, s.proc.Signal(syscall.SIGCONT))
}

// URLs returns the servers' client URLs, separated by commas.
func URLs(servers []*Server) string {
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL())
	}
	return strings.Join(urls, ",")
}

// leastPatience is what Eventually waits at least: a machine may be busy with other things.
const leastPatience = 30 * time.Second

// Eventually waits until cond holds, asking every 10 ms, and fails the test with why
// once timeout has passed, and leastPatience.
func Eventually(tb testing.TB, timeout time.Duration, cond func() bool, why func() string) {
	tb.Helper()
	timeout = max(timeout, leastPatience)
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("natstest: after %v: %s", timeout, why())
		}
	}
}

// freePorts returns ports of 127.0.0.1 that are the test's until it ends.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	r, err := freeport.Reserve(n)
	check(tb, err)
	tb.Cleanup(r.Release)
	return r.Ports
}

func tail(path string) string {
	const limit = 8 << 10
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-limit):])
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("natstest: %v", err)
	}
}
