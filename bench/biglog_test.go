//go:build biglog

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/loggen"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// What the environment says of the logs that are measured.
const (
	scaleVariable = "ENACT_BENCH_SCALE" // of their sizes; default 1
	dirVariable   = "ENACT_BENCH_DIR"   // where they are kept, to be measured again; default: nowhere
)

// scaled returns n times the scale.
func scaled(tb testing.TB, n int) int {
	tb.Helper()
	text := os.Getenv(scaleVariable)
	if text == "" {
		return n
	}
	scale, err := strconv.ParseFloat(text, 64)
	if err != nil || !(scale > 0 && scale <= 1000) {
		tb.Fatalf("%s=%q is not a number above 0, up to 1000", scaleVariable, text)
	}
	return int(float64(n) * scale)
}

// bigLog is a log of many executions, and what is in it.
type bigLog struct {
	*place
	*loggen.Plan
	nodes int
	dir   string
	url   string
}

// openLog serves a log of that shape, which is written first unless a former run has
// left it.
func openLog(b *testing.B, name string, nodes int, shape loggen.Shape, sync bool) *bigLog {
	b.Helper()
	plan, err := shape.Plan()
	check(b, err)
	dir := os.Getenv(dirVariable)
	if dir == "" {
		dir, err = os.MkdirTemp("", "enact-bench-")
		check(b, err)
		b.Cleanup(func() { check(b, os.RemoveAll(dir)) })
	}
	dir = filepath.Join(dir, fmt.Sprintf("enact-%s-%dn", name, nodes))
	writeLog(b, dir, nodes, shape, plan)
	url, stop := startServers(b, dir, nodes, sync)
	b.Cleanup(stop)
	l := &bigLog{connect(b, url), plan, nodes, dir, url}
	stream, err := l.js.Stream(context.Background(), l.store.StreamName())
	check(b, err)
	if n := stream.CachedInfo().State.Msgs; n < uint64(plan.Records()) {
		b.Fatalf("the log in %s has %d records, less than %d: remove it", dir, n, plan.Records())
	}
	return l
}

// startServers starts one server on dir, or a cluster, as processes of their own: the
// collection of the garbage of one does not depend on the other's heap. Without sync they
// sync every now and then. The URL is that of one server: raw operations and the log's are
// to have the same way to the stream's leader.
func startServers(b *testing.B, dir string, nodes int, sync bool) (url string, stop func()) {
	b.Helper()
	opts := natstest.Options{Dir: dir, NoSync: !sync}
	var servers []*natstest.Server
	if nodes == 1 {
		servers = append(servers, natstest.Start(b, opts))
	} else {
		servers = natstest.StartCluster(b, nodes, opts)
	}
	return servers[0].URL(), func() {
		for _, s := range servers {
			s.Stop()
		}
	}
}

// writeLog writes a log to dir, unless a whole one of that shape is there.
func writeLog(b *testing.B, dir string, nodes int, shape loggen.Shape, plan *loggen.Plan) {
	b.Helper()
	text, err := json.Marshal(shape)
	check(b, err)
	done := filepath.Join(dir, "shape.json") // is there when the log is whole
	if have, err := os.ReadFile(done); err == nil && string(have) == string(text) {
		return
	}
	check(b, os.RemoveAll(dir))
	check(b, os.MkdirAll(dir, 0o750))
	began := time.Now()
	url, stop := startServers(b, dir, nodes, false)
	nc, err := nats.Connect(url)
	check(b, err)
	defer nc.Close()
	ctx := context.Background()
	check(b, jetstore.EnsureStream(ctx, nc))
	subjects, err := enact.NewSubjects("")
	check(b, err)
	check(b, plan.Publish(ctx, loggen.Log{Conn: nc, Subjects: subjects}))
	stop()
	check(b, os.WriteFile(done, text, 0o600))
	b.Logf("wrote %d records of %d executions to %s in %v", plan.Records(), len(plan.Executions()), dir, time.Since(began).Round(time.Second))
}

// one returns the one execution of a class.
func (l *bigLog) one(class string) loggen.Execution { return l.Class(class)[0] }

func (l *bigLog) run(e loggen.Execution) jetstore.Execution {
	return l.store.Execution(e.TenantID, e.ExecutionID)
}

func (l *bigLog) subject(e loggen.Execution) string {
	return l.store.Subjects().Execution(e.TenantID, e.ExecutionID)
}
