package faultnet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/jetstore/embedded"
)

// peer is one end of a connection through a proxy.
type peer struct {
	t        *testing.T
	conn     net.Conn
	r        *bufio.Reader
	listener *net.TCPListener // of the server
}

func (p *peer) send(frames ...string) {
	p.t.Helper()
	_, err := io.WriteString(p.conn, strings.Join(frames, ""))
	require.NoError(p.t, err)
}

// gets requires the next frames.
func (p *peer) gets(frames ...string) {
	p.t.Helper()
	for _, want := range frames {
		f, err := readFrame(p.r)
		require.NoError(p.t, err)
		require.Equal(p.t, want, string(f.raw))
	}
}

// ends requires that nothing comes but the end.
func (p *peer) ends() {
	p.t.Helper()
	_, err := readFrame(p.r)
	require.Equal(p.t, io.EOF, err)
}

// patience bounds what must come. Nothing but a failure takes so long, on whatever machine.
const patience = time.Minute

// through returns a proxy under a schedule and the two ends of a connection.
func through(t *testing.T, rules ...Rule) (p *Proxy, client, server *peer) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p, err = Start(listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Close()
		require.NoError(t, listener.Close())
	})
	p.Apply(NewSchedule(Config{Rules: rules}))
	out, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "nats://"))
	require.NoError(t, err)
	in, err := listener.Accept()
	require.NoError(t, err)
	peers := []*peer{}
	for _, conn := range []net.Conn{out, in} {
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		t.Cleanup(func() { _ = conn.Close() })
		peers = append(peers, &peer{t: t, conn: conn, r: bufio.NewReader(conn), listener: listener.(*net.TCPListener)})
	}
	return p, peers[0], peers[1]
}

const ping = "PING\r\n"

func publish(n int) string { return fmt.Sprintf("PUB enact.t.e inbox.%d 1\r\n%d\r\n", n, n) }
func ack(n int) string     { return fmt.Sprintf("MSG inbox.%d 1 1\r\n%d\r\n", n, n) }

var requests = Point{Request, RecordPublish}

func TestDropLosesOneFrame(t *testing.T) {
	p, client, server := through(t, Rule{At: requests, Nth: 2, Fault: Drop})
	client.send(ping, publish(1), publish(2), publish(3))
	server.gets(ping, publish(1), publish(3))
	require.Equal(t, 1, p.Injected(Drop))
}

func TestDelayKeepsTheOrder(t *testing.T) {
	const wait = 30 * time.Millisecond
	_, client, server := through(t, Rule{At: requests, Nth: 1, Fault: Delay, Wait: wait})
	began := time.Now()
	client.send(publish(1), publish(2))
	server.gets(publish(1), publish(2))
	require.GreaterOrEqual(t, time.Since(began), wait)
}

func TestReorderLetsLaterFramesPass(t *testing.T) {
	_, client, server := through(t, Rule{At: requests, Nth: 1, Fault: Reorder, Wait: time.Hour})
	client.send(publish(1), publish(2), publish(3), publish(4), publish(5), publish(6))
	server.gets(publish(2), publish(3), publish(4), publish(5), publish(1), publish(6))
}

func TestReorderWaitsNoLongerThanItsTime(t *testing.T) {
	_, client, server := through(t, Rule{At: requests, Nth: 1, Fault: Reorder, Wait: 10 * time.Millisecond})
	client.send(publish(1))
	server.gets(publish(1))
}

func TestDuplicateAndEchoSendTwice(t *testing.T) {
	_, client, server := through(t,
		Rule{At: requests, Nth: 1, Fault: Duplicate},
		Rule{At: requests, Nth: 2, Fault: Echo, Wait: 10 * time.Millisecond})
	client.send(publish(1), publish(2))
	server.gets(publish(1), publish(1), publish(2), publish(2))
}

func TestCutBeforeLosesTheFrame(t *testing.T) {
	_, client, server := through(t, Rule{At: requests, Nth: 2, Fault: CutBefore})
	client.send(publish(1), publish(2), publish(3))
	server.gets(publish(1))
	server.ends()
	client.ends()
}

func TestCutAfterForwardsTheFrame(t *testing.T) {
	_, client, server := through(t, Rule{At: requests, Nth: 2, Fault: CutAfter})
	client.send(publish(1), publish(2), publish(3))
	server.gets(publish(1), publish(2))
	server.ends()
	client.ends()
}

// Answers have the class of what they answer, and the other direction goes on.
func TestRepliesAreToldByTheirRequests(t *testing.T) {
	_, client, server := through(t, Rule{At: Point{Reply, RecordPublish}, Nth: 2, Fault: Drop})
	client.send(publish(1), publish(2), publish(3))
	server.gets(publish(1), publish(2), publish(3))
	server.send("MSG elsewhere 1 1\r\nx\r\n", ack(1), ack(2), "PONG\r\n", ack(3))
	client.gets("MSG elsewhere 1 1\r\nx\r\n", ack(1), "PONG\r\n", ack(3))
}

func TestDenyReplacesTheAnswerOfAGet(t *testing.T) {
	_, client, server := through(t,
		Rule{At: Point{Reply, LeaderGet}, Nth: 1, Fault: Deny},
		Rule{At: Point{Request, LeaderGet}, Nth: 1, Fault: Deny})
	get := "PUB $JS.API.STREAM.MSG.GET.ENACT inbox.1 2\r\n{}\r\n"
	client.send(get)
	server.gets(get)
	server.send("MSG inbox.1 7 5\r\nfound\r\n")
	client.gets(fmt.Sprintf("MSG inbox.1 7 %d\r\n%s\r\n", len(notFound), notFound))
}

// What is under way when the sender leaves arrives all the same.
func TestHeldFramesOutliveTheirSender(t *testing.T) {
	_, client, server := through(t, Rule{At: requests, Nth: 1, Fault: Reorder, Wait: time.Hour})
	client.send(publish(1))
	require.NoError(t, client.conn.Close())
	server.gets(publish(1))
	server.ends()
}

func TestHealEndsFaults(t *testing.T) {
	p, client, server := through(t, Rule{At: requests, Nth: 1, Times: 100, Fault: Drop})
	client.send(publish(1), ping)
	server.gets(ping)
	p.Heal()
	client.send(publish(2))
	server.gets(publish(2))
}

func TestCutRefusesForATime(t *testing.T) {
	p, client, server := through(t)
	p.Cut(time.Hour)
	client.ends()
	server.ends()
	dial := func() *peer {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "nats://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return &peer{t: t, conn: conn, r: bufio.NewReader(conn)}
	}
	dial().ends()
	p.Heal()
	again := dial()
	again.send(ping)
	require.NoError(t, server.listener.SetDeadline(time.Now().Add(patience)))
	conn, err := server.listener.Accept()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	(&peer{t: t, conn: conn, r: bufio.NewReader(conn)}).gets(ping)
}

func TestCloseEndsEverythingAtOnce(t *testing.T) {
	p, client, _ := through(t, Rule{At: requests, Nth: 1, Fault: Delay, Wait: time.Hour})
	client.send(publish(1), publish(2))
	p.Close()
	_, err := readFrame(client.r)
	require.Error(t, err)
	p.Close() // again is no harm
}

func TestFramesHaveClasses(t *testing.T) {
	headers := func(h string) string {
		block := "NATS/1.0\r\n" + h + "\r\n"
		return fmt.Sprintf("HPUB enact.t.e r %d %d\r\n%s\r\n", len(block), len(block), block)
	}
	for text, want := range map[string]Class{
		publish(1):                                              RecordPublish,
		headers("Enact-Commit: x 1/1\r\n"):                      RecordPublish,
		headers("Nats-Batch-Id: x\r\n"):                         BatchStage,
		"PUB enact-index.t r 0\r\n\r\n":                         IndexPublish,
		"PUB $JS.API.STREAM.MSG.GET.S r 0\r\n\r\n":              LeaderGet,
		"PUB $JS.hub.API.STREAM.INFO.S r 0\r\n\r\n":             StreamInfo,
		"PUB $JS.API.DIRECT.GET.S r 0\r\n\r\n":                  DirectGet,
		"PUB $JS.API.STREAM.NAMES r 0\r\n\r\n":                  None,
		"SUB enact.t.e 1\r\n":                                   None,
		headers("Nats-Batch-Id: x\r\nNats-Batch-Commit: 1\r\n"): BatchCommit,
	} {
		f, err := readFrame(bufio.NewReader(strings.NewReader(text)))
		require.NoError(t, err)
		require.Equal(t, want, classify(&f), text)
	}
}

// A real client and server do not notice a proxy that injects nothing, and find each
// other again after a cut.
func TestNATSThroughTheProxy(t *testing.T) {
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	p, err := Start(strings.TrimPrefix(srv.ClientURL(), "nats://"))
	require.NoError(t, err)
	t.Cleanup(p.Close)
	reconnected := make(chan struct{}, 1)
	nc, err := nats.Connect(p.URL(), nats.IgnoreDiscoveredServers(), nats.MaxReconnects(-1), nats.Timeout(patience),
		nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} }))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	sub, err := nc.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	for _, size := range []int{0, 1, 100_000, 4 << 20} {
		sent := []byte(strings.Repeat("x", size))
		m, err := nc.Request("echo", sent, patience)
		require.NoError(t, err)
		require.Len(t, m.Data, size)
	}
	p.Cut(20 * time.Millisecond)
	<-reconnected
	_, err = nc.Request("echo", []byte("again"), patience)
	require.NoError(t, err)
}
