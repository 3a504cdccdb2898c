package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact/internal/ask"
	"github.com/enactlog/enact/jetstore"
)

// serverFacts is what is known of one server.
type serverFacts struct {
	id, name, version string
	hosts             []string // addresses that it was reached at
	tags              []string
	js                *jetStreamFacts // from the system account or the monitoring; nil: not known
	clock             *reading
}

// jetStreamFacts is the part of a server's varz that only the system account and the
// monitoring tell (server/monitor.go, JetStreamVarz).
type jetStreamFacts struct {
	Config *struct {
		MaxStore     int64         `json:"max_storage"`
		SyncInterval time.Duration `json:"sync_interval"`
		SyncAlways   bool          `json:"sync_always"`
		UniqueTag    string        `json:"unique_tag"`
	} `json:"config"`
	Stats *struct {
		Store         uint64 `json:"storage"`
		ReservedStore uint64 `json:"reserved_storage"`
	} `json:"stats"`
	Meta *struct {
		Size int `json:"cluster_size"`
	} `json:"meta"`
}

// serverSet holds servers by their ids.
type serverSet map[string]*serverFacts

// met returns the facts of a server to add to.
func (set serverSet) met(id string) *serverFacts {
	if set[id] == nil {
		set[id] = &serverFacts{id: id}
	}
	return set[id]
}

// named returns the server of a name, which is unique in a cluster; nil if it was not heard.
func (set serverSet) named(name string) *serverFacts {
	for _, s := range set {
		if s.name == name {
			return s
		}
	}
	return nil
}

// sorted returns the servers by name.
func (set serverSet) sorted() []*serverFacts {
	return slices.SortedFunc(maps.Values(set), func(a, b *serverFacts) int { return strings.Compare(a.name, b.name) })
}

// findServers asks for the servers wherever they may be asked: each for its greeting, the
// system account, the monitoring.
func (x *examination) findServers(ctx context.Context) {
	x.servers, x.Unheard = make(serverSet), slices.Clone(x.Unheard)
	if id := x.Conn.ConnectedServerId(); id != "" {
		s := x.servers.met(id)
		s.name, s.version = x.Conn.ConnectedServerName(), x.Conn.ConnectedServerVersion()
	}
	if !x.Embedded {
		x.greetings(ctx)
	}
	if x.System != nil {
		x.askSystem(ctx)
	}
	for _, base := range x.Monitors {
		if err := x.askMonitor(ctx, base); err != nil {
			x.Unheard = append(x.Unheard, "monitoring "+base+": "+ask.Why(err))
		}
	}
}

// greeting is the part that is looked at of what a server says first, to whoever connects
// (server/server.go, Info).
type greeting struct {
	ID      string   `json:"server_id"`
	Name    string   `json:"server_name"`
	Version string   `json:"version"`
	URLs    []string `json:"connect_urls"`
}

const maxGreetings = 64

var greetingTimeout = 2 * time.Second // tests have a longer one

// greetings listens to the greetings of the servers that the connection knows of, and of
// those that they know of.
func (x *examination) greetings(ctx context.Context) {
	asked := make(map[string]bool)
	next := addresses(x.Conn.Servers())
	for len(next) > 0 && len(asked) < maxGreetings {
		var (
			mu    sync.Mutex
			wg    sync.WaitGroup
			found []string
		)
		for _, addr := range next {
			if asked[addr] || len(asked) >= maxGreetings {
				continue
			}
			asked[addr] = true
			wg.Go(func() {
				g, host, err := greet(ctx, addr)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					x.Unheard = append(x.Unheard, addr+": "+ask.Why(err))
					return
				}
				s := x.servers.met(g.ID)
				s.name, s.version = g.Name, g.Version
				if !slices.Contains(s.hosts, host) {
					s.hosts = append(s.hosts, host)
				}
				found = append(found, g.URLs...)
			})
		}
		wg.Wait()
		next = addresses(found)
	}
	slices.Sort(x.Unheard)
}

// addresses returns the TCP addresses in URLs as nats.go and servers give them. Those of
// web sockets have no greeting.
func addresses(urls []string) []string {
	var addrs []string
	for _, s := range urls {
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "ws" || u.Scheme == "wss" || u.Hostname() == "" {
			continue
		}
		port := u.Port()
		if port == "" {
			port = "4222"
		}
		addrs = append(addrs, net.JoinHostPort(u.Hostname(), port))
	}
	return addrs
}

// greet connects, reads the greeting and hangs up. host is the server's address.
func greet(ctx context.Context, addr string) (g greeting, host string, err error) {
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return g, "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return g, "", err
	}
	// A server that begins with TLS waits for the client instead.
	line, err := bufio.NewReaderSize(conn, 64<<10).ReadSlice('\n')
	if err != nil {
		return g, "", err
	}
	text, ok := strings.CutPrefix(string(line), "INFO ")
	if !ok {
		return g, "", errors.New("no NATS server")
	}
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return g, "", err
	}
	if g.ID == "" {
		return g, "", errors.New("the greeting has no server id")
	}
	host, _, err = net.SplitHostPort(conn.RemoteAddr().String())
	return g, host, err
}

// varz is the part that is looked at of what a server says of itself (server/monitor.go).
type varz struct {
	ID        string          `json:"server_id"`
	Name      string          `json:"server_name"`
	Version   string          `json:"version"`
	Now       time.Time       `json:"now"`
	Tags      []string        `json:"tags"`
	JetStream *jetStreamFacts `json:"jetstream"`
}

func (x *examination) hear(v *varz, asked, answered time.Time) error {
	if v.ID == "" {
		return errors.New("the answer has no server id")
	}
	s := x.servers.met(v.ID)
	s.name, s.version, s.tags, s.js = v.Name, v.Version, v.Tags, v.JetStream
	if !v.Now.IsZero() {
		r := readClock(v.Name, v.Now, asked, answered)
		s.clock = &r
	}
	return nil
}

// askSystem asks all servers through the system account.
func (x *examination) askSystem(ctx context.Context) {
	const subject = "$SYS.REQ.SERVER.PING.VARZ"
	asked := time.Now()
	answers, err := ask.All(ctx, x.System, &nats.Msg{Subject: subject}, ask.Timeout, allAnswered)
	answered := time.Now()
	for _, a := range answers {
		v, parseErr := systemAnswer(a)
		if parseErr == nil {
			parseErr = x.hear(v, asked, answered)
		}
		err = errors.Join(err, parseErr)
	}
	if err != nil {
		x.Unheard = append(x.Unheard, "system account: "+ask.Why(err))
	}
}

// allAnswered reports whether every server with JetStream has answered. How many there are,
// each of them knows.
func allAnswered(answers []*nats.Msg) bool {
	size, n := 0, 0
	for _, a := range answers {
		v, err := systemAnswer(a)
		if err != nil || v.JetStream == nil || v.JetStream.Config == nil {
			continue
		}
		n++
		size = max(size, 1)
		if v.JetStream.Meta != nil {
			size = max(size, v.JetStream.Meta.Size)
		}
	}
	return n > 0 && n >= size
}

func systemAnswer(m *nats.Msg) (*varz, error) {
	var answer struct {
		Data  *varz `json:"data"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil || answer.Data == nil {
		return nil, errors.New("a server refused to answer")
	}
	return answer.Data, nil
}

// askMonitor asks one server over HTTP.
func (x *examination) askMonitor(ctx context.Context, base string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, ask.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/varz", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	asked := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", resp.Status)
	}
	v := new(varz)
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 8<<20)).Decode(v); err != nil {
		return err
	}
	return x.hear(v, asked, time.Now())
}

// connection says where the connection leads.
func connection(_ context.Context, x *examination) []Finding {
	f := Finding{Check: checkConnection, Status: OK, Found: "connected to " + x.Conn.ConnectedServerName()}
	if x.Embedded {
		f.Found = "a server inside this program"
	}
	if !x.Conn.IsConnected() {
		f = Finding{
			Check: checkConnection, Status: Fail, Found: "the connection is lost",
			Means: "no program can reach the log this way", Mend: "see whether the server runs",
		}
	}
	return []Finding{f}
}

// knownFaults are of versions that the log takes, from the release notes and measurements.
var knownFaults = []struct {
	prefix string // of the version
	fault  string
}{
	{"2.14.", "a follower that once stood for leader serves no reads until it is restarted (mended in 2.15.0)"},
	{"2.15.0", "to make a consumer of one tenant or execution the server looks through the whole stream (mended in 2.15.1)"},
}

// versions holds the servers' versions against what the log needs.
func versions(_ context.Context, x *examination) []Finding {
	const check = checkVersions
	var found []Finding
	byVersion := make(map[string][]string)
	for _, s := range x.servers.sorted() {
		byVersion[s.version] = append(byVersion[s.version], s.name)
	}
	for _, v := range slices.Sorted(maps.Keys(byVersion)) {
		found = append(found, judgeVersion(v, byVersion[v]))
	}
	if len(byVersion) > 1 {
		found = append(found, Finding{
			Check: check, Status: Warn, Found: fmt.Sprintf("%d versions at a time", len(byVersion)),
			Means: "fit for the time of an upgrade only: the oldest server sets what a stream may use",
			Mend:  "bring all servers to the newest of these versions",
		})
	}
	var missing []string
	for _, s := range x.streams {
		for _, name := range s.holders() {
			if x.servers.named(name) == nil && !slices.Contains(missing, name) {
				missing = append(missing, name)
			}
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		found = append(found, Finding{
			Check: check, Status: Unknown, Found: "version of " + few(missing),
			Mend: "give the system account (--system-context) or the servers' monitoring (--monitor)",
		})
	}
	if len(x.Unheard) > 0 {
		found = append(found, Finding{Check: check, Status: Unknown, Found: "no word from " + strings.Join(x.Unheard, "; ")})
	}
	return found
}

func judgeVersion(version string, names []string) Finding {
	f := Finding{Check: checkVersions, Status: OK, Found: fmt.Sprintf("nats-server %s: %s", version, few(names))}
	if version == "" {
		f.Status, f.Found = Unknown, "version of "+few(names)
		return f
	}
	if err := jetstore.CheckServerVersion(version); err != nil {
		f.Status, f.Means = Fail, "older than "+jetstore.MinServerVersion+": checks beside batches can go wrong there, and the log opens on none of these servers"
		f.Mend = "upgrade to the newest 2.15"
		return f
	}
	for _, known := range knownFaults {
		if strings.HasPrefix(version, known.prefix) {
			f.Status, f.Means, f.Mend = Warn, known.fault, "upgrade to the newest 2.15"
		}
	}
	if strings.Contains(version, "-") {
		f.Status, f.Means, f.Mend = Warn, "a pre-release, which its makers do not support", "install a release"
	}
	return f
}
