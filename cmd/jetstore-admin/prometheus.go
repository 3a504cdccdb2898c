package main

import (
	"fmt"
	"strings"
)

// metrics writes Prometheus's text format: metrics of one name must stand together.
type metrics struct{ b strings.Builder }

// gauge begins a metric.
func (m *metrics) gauge(name, help string) {
	fmt.Fprintf(&m.b, "# HELP %[1]s %[2]s\n# TYPE %[1]s gauge\n", name, help)
}

// value writes one value with its labels, which are pairs.
func (m *metrics) value(name string, v any, labels ...string) {
	m.b.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(&m.b, "%s%s=\"%s\"", sep, labels[i], labelEscapes.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		m.b.WriteByte('}')
	}
	fmt.Fprintf(&m.b, " %v\n", v)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// prometheus is the report in Prometheus's text format.
func (r *checkReport) prometheus() string {
	var m metrics
	m.gauge("enact_check_status", "Result of a check: 0 ok, 1 warning, 2 critical, 3 unknown.")
	m.value("enact_check_status", r.Code, "check", "all", "stream", "")
	worst := make(map[[2]string]int)
	var order [][2]string
	for _, c := range r.Checks {
		key := [2]string{c.Check, c.Stream}
		if _, met := worst[key]; !met {
			order = append(order, key)
		}
		worst[key] = worse(worst[key], c.status)
	}
	for _, key := range order {
		m.value("enact_check_status", worst[key], "check", key[0], "stream", key[1])
	}
	for _, g := range []struct {
		name, help string
		of         func(streamReport) any
	}{
		{"enact_stream_messages", "Messages in the stream.", func(s streamReport) any { return s.State.Msgs }},
		{"enact_stream_bytes", "Bytes in the stream.", func(s streamReport) any { return s.State.Bytes }},
		{"enact_stream_subjects", "Subjects in the stream: executions of a log, tenants of an index.", func(s streamReport) any { return s.State.NumSubjects }},
		{"enact_stream_last_position", "Position of the stream's last message.", func(s streamReport) any { return s.State.LastSeq }},
		{"enact_stream_consumers", "Consumers of the stream.", func(s streamReport) any { return s.State.Consumers }},
		{"enact_stream_replicas", "Replicas that the stream is to have.", func(s streamReport) any { return s.Config.Replicas }},
	} {
		if len(r.Streams) == 0 {
			break
		}
		m.gauge(g.name, g.help)
		for _, s := range r.Streams {
			m.value(g.name, g.of(s), "stream", s.Stream, "kind", s.Kind)
		}
	}
	r.replicaMetrics(&m)
	return m.b.String()
}

// replicaMetrics writes how far each replica is, of streams in a cluster.
func (r *checkReport) replicaMetrics(m *metrics) {
	type replica struct {
		stream, name string
		lag          uint64
		current      int
	}
	var all []replica
	for _, s := range r.Streams {
		if s.Cluster == nil {
			continue
		}
		for _, p := range s.Cluster.Replicas {
			x := replica{stream: s.Stream, name: p.Name, lag: p.Lag}
			if p.Current && !p.Offline {
				x.current = 1
			}
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return
	}
	m.gauge("enact_replica_lag", "Operations that the replica is behind the leader.")
	for _, x := range all {
		m.value("enact_replica_lag", x.lag, "stream", x.stream, "server", x.name)
	}
	m.gauge("enact_replica_current", "1 if the replica has all that the leader has.")
	for _, x := range all {
		m.value("enact_replica_current", x.current, "stream", x.stream, "server", x.name)
	}
}
