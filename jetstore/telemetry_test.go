package jetstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// telemetryRecorder keeps the spans and metrics of a store.
type telemetryRecorder struct {
	spans   *tracetest.SpanRecorder
	tracers *sdktrace.TracerProvider
	reader  *metric.ManualReader
	meters  *metric.MeterProvider
}

func newTelemetryRecorder(t *testing.T, opts ...sdktrace.TracerProviderOption) *telemetryRecorder {
	r := &telemetryRecorder{spans: tracetest.NewSpanRecorder(), reader: metric.NewManualReader()}
	r.tracers = sdktrace.NewTracerProvider(append(opts, sdktrace.WithSpanProcessor(r.spans))...)
	r.meters = metric.NewMeterProvider(metric.WithReader(r.reader))
	t.Cleanup(func() {
		require.NoError(t, r.tracers.Shutdown(context.Background()))
		require.NoError(t, r.meters.Shutdown(context.Background()))
	})
	return r
}

func (r *telemetryRecorder) options() []jetstore.Option {
	return []jetstore.Option{jetstore.WithTracerProvider(r.tracers), jetstore.WithMeterProvider(r.meters), jetstore.Patient()}
}

// take returns the spans that have ended since it was last called.
func (r *telemetryRecorder) take() tracetest.SpanStubs {
	spans := tracetest.SpanStubsFromReadOnlySpans(r.spans.Ended())
	r.spans.Reset()
	return spans
}

// metrics returns all metrics by name.
func (r *telemetryRecorder) metrics(t *testing.T) map[string]metricdata.Metrics {
	var data metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(t.Context(), &data))
	byName := make(map[string]metricdata.Metrics)
	for _, scope := range data.ScopeMetrics {
		require.Equal(t, "https://opentelemetry.io/schemas/1.43.0", scope.Scope.SchemaURL)
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// sum returns the value of a counter whose attributes contain those given.
func sum(t *testing.T, m metricdata.Metrics, with ...attribute.KeyValue) (n int64) {
	t.Helper()
	data, ok := m.Data.(metricdata.Sum[int64])
	require.True(t, ok, "%s is no counter", m.Name)
	for _, p := range data.DataPoints {
		if contains(p.Attributes, with) {
			n += p.Value
		}
	}
	return n
}

func contains(set attribute.Set, with []attribute.KeyValue) bool {
	for _, kv := range with {
		if v, ok := set.Value(kv.Key); !ok || v != kv.Value {
			return false
		}
	}
	return true
}

func attrsOf(span tracetest.SpanStub) map[string]any {
	m := make(map[string]any)
	for _, kv := range span.Attributes {
		m[string(kv.Key)] = kv.Value.AsInterface()
	}
	return m
}

func names(spans tracetest.SpanStubs) (list []string) {
	for _, s := range spans {
		list = append(list, s.Name)
	}
	return list
}

func TestTelemetrySpans(t *testing.T) {
	r := newTelemetryRecorder(t)
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(r.options()...))
	ctx, caller := r.tracers.Tracer("test").Start(t.Context(), "caller")
	run := s.Execution("acme", "run")

	_, err := run.Append(ctx, note(1))
	require.NoError(t, err)
	_, err = run.AppendBatch(ctx, []enact.Event{note(2), note(3)}, enact.WithOneEventPerRecord(), enact.WithIdempotencyKey("k"))
	require.NoError(t, err)
	spans := r.take()
	require.Equal(t, []string{"append ENACT", "stage ENACT", "append ENACT"}, names(spans))
	first, stage, second := spans[0], spans[1], spans[2]
	for _, s := range []tracetest.SpanStub{first, second} {
		require.Equal(t, caller.SpanContext(), s.Parent)
		require.Equal(t, trace.SpanKindProducer, s.SpanKind)
		require.Equal(t, "https://opentelemetry.io/schemas/1.43.0", s.InstrumentationScope.SchemaURL)
	}
	require.Equal(t, second.SpanContext, stage.Parent)
	require.Equal(t, trace.SpanKindClient, stage.SpanKind)
	common := map[string]any{
		"messaging.system": "nats", "messaging.destination.name": "ENACT", "messaging.operation.type": "send",
		"enact.tenant.id": "acme", "enact.execution.id": "run",
	}
	with := func(more map[string]any) map[string]any {
		for k, v := range common {
			if _, ok := more[k]; !ok {
				more[k] = v
			}
		}
		return more
	}
	require.Equal(t, with(map[string]any{"messaging.operation.name": "append", "enact.sequence": int64(1)}), attrsOf(first))
	require.Equal(t, with(map[string]any{
		"messaging.operation.name": "append", "enact.sequence": int64(2), "messaging.batch.message_count": int64(2),
	}), attrsOf(second))
	require.Equal(t, with(map[string]any{"messaging.operation.name": "stage", "enact.records": int64(2)}), attrsOf(stage))

	// The records carry the context of the span that appended them.
	events, err := run.LoadEvents(ctx)
	require.NoError(t, err)
	require.Equal(t, "00-"+first.SpanContext.TraceID().String()+"-"+first.SpanContext.SpanID().String()+"-01", events[0].Trace.Parent)
	require.Equal(t, events[1].Trace, events[2].Trace)
	require.Contains(t, events[1].Trace.Parent, second.SpanContext.SpanID().String())

	for range run.Events(ctx, 0) {
		break // ended well
	}
	_, err = s.ListExecutions(ctx, "acme", 10, 0)
	require.NoError(t, err)
	_, _, err = s.Executions(ctx, enact.Query{Tenant: "acme"})
	require.NoError(t, err)
	spans = r.take()
	require.Equal(t, []string{"load ENACT", "load ENACT", "list ENACT_INDEX", "list ENACT_INDEX"}, names(spans)[:4])
	require.Equal(t, with(map[string]any{
		"messaging.operation.name": "load", "messaging.operation.type": "receive", "messaging.batch.message_count": int64(3),
	}), attrsOf(spans[0]))
	require.Equal(t, int64(1), attrsOf(spans[1])["messaging.batch.message_count"])
	require.Equal(t, map[string]any{
		"messaging.system": "nats", "messaging.operation.name": "list", "messaging.destination.name": "ENACT_INDEX",
		"enact.tenant.id": "acme", "messaging.batch.message_count": int64(1),
	}, attrsOf(spans[2]))
	for _, s := range spans {
		require.Equal(t, trace.SpanKindClient, s.SpanKind)
		require.Equal(t, codes.Unset, s.Status.Code)
		require.NotContains(t, s.Name, "acme")
		require.NotContains(t, s.Name, "run")
	}

	// A failure is on its span; a duplicate is none.
	_, err = run.Append(ctx, note(4), enact.ExpectSequence(1))
	require.ErrorIs(t, err, enact.ErrConflict)
	_, err = run.AppendBatch(ctx, []enact.Event{note(2), note(3)}, enact.WithIdempotencyKey("k"))
	require.NoError(t, err)
	spans = r.take()
	require.Equal(t, []string{"append ENACT", "append ENACT"}, names(spans))
	require.Equal(t, codes.Error, spans[0].Status.Code)
	require.Equal(t, "conflict", attrsOf(spans[0])["error.type"])
	require.Equal(t, true, attrsOf(spans[1])["enact.duplicate"])
	require.Equal(t, "duplicate", spans[1].Events[0].Name)

	// A context of the caller's own is stored as it is, and linked to.
	own := enact.TraceContext{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", State: "vendor=a:b"}
	_, err = run.Append(ctx, note(4), enact.WithTraceContext(own))
	require.NoError(t, err)
	spans = r.take()
	require.Len(t, spans[0].Links, 1)
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", spans[0].Links[0].SpanContext.TraceID().String())
	events, err = run.LoadEventsAfter(ctx, 3)
	require.NoError(t, err)
	require.Equal(t, own, events[0].Trace)
	caller.End()
}

func TestTelemetryMetrics(t *testing.T) {
	r := newTelemetryRecorder(t)
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithMeterProvider(r.meters), jetstore.Patient()))
	run := s.Execution("acme", "run")
	for range 2 {
		_, err := run.AppendBatch(t.Context(), []enact.Event{note(1), note(2)}, enact.WithIdempotencyKey("k"))
		require.NoError(t, err)
	}
	_, err := run.Append(t.Context(), note(3))
	require.NoError(t, err)
	_, err = run.Append(t.Context(), note(4), enact.ExpectSequence(0))
	require.ErrorIs(t, err, enact.ErrConflict)
	_, err = run.LoadEvents(t.Context())
	require.NoError(t, err)
	_, err = s.ListExecutions(t.Context(), "acme", 10, 0)
	require.NoError(t, err)

	// Somebody else's append gets in the way of what this store knows.
	other, err := jetstore.Open(t.Context(), s.Conn(), jetstore.WithMemoryStorage())
	require.NoError(t, err)
	defer shutDown(t, other)
	_, err = other.Append(t.Context(), "run", "acme", note(4))
	require.NoError(t, err)
	_, err = run.Append(t.Context(), note(5))
	require.NoError(t, err)

	all := r.metrics(t)
	units := make(map[string]string)
	for name, m := range all {
		units[name] = m.Unit
	}
	require.Equal(t, map[string]string{
		"messaging.client.operation.duration": "s", "messaging.client.sent.messages": "{message}",
		"messaging.client.consumed.messages": "{message}", "enact.append.events": "{event}",
		"enact.append.conflicts": "{append}", "enact.append.duplicates": "{append}", "enact.append.overtaken": "{append}",
	}, units)
	require.EqualValues(t, 1, sum(t, all["enact.append.conflicts"]))
	require.EqualValues(t, 1, sum(t, all["enact.append.duplicates"]))
	require.EqualValues(t, 1, sum(t, all["enact.append.overtaken"]))
	require.EqualValues(t, 4, sum(t, all["messaging.client.sent.messages"], attribute.String("messaging.operation.name", "append")))
	require.EqualValues(t, 3, sum(t, all["messaging.client.consumed.messages"], attribute.String("messaging.operation.name", "load")))

	events := all["enact.append.events"].Data.(metricdata.Histogram[int64]).DataPoints
	require.Len(t, events, 1)
	require.EqualValues(t, 3, events[0].Count)
	require.EqualValues(t, 4, events[0].Sum)
	counts := make(map[string]uint64)
	for _, p := range all["messaging.client.operation.duration"].Data.(metricdata.Histogram[float64]).DataPoints {
		name, _ := p.Attributes.Value("messaging.operation.name")
		failure, _ := p.Attributes.Value("error.type")
		counts[strings.TrimSpace(name.AsString()+" "+failure.AsString())] += p.Count
		system, _ := p.Attributes.Value("messaging.system")
		require.Equal(t, "nats", system.AsString())
		for _, of := range []attribute.Key{"enact.tenant.id", "enact.execution.id", "enact.sequence"} {
			require.False(t, p.Attributes.HasValue(of), "%s has no end of values", of)
		}
	}
	require.Equal(t, map[string]uint64{"append": 4, "append conflict": 1, "resolve overtaken": 1, "load": 1, "list": 1}, counts)
}

// Appends that wait for each other share a record only where it can carry the trace of both.
func TestTraceOfSharedRecords(t *testing.T) {
	for name, sampler := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample()} {
		t.Run(name, func(t *testing.T) {
			r := newTelemetryRecorder(t, sdktrace.WithSampler(sampler))
			s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(r.options()...))
			run := s.Execution("acme", "run")
			_, err := run.Append(t.Context(), note(0))
			require.NoError(t, err)
			const writers, each = 8, 20
			errs := make(chan error, writers)
			for range writers {
				go func() {
					var err error
					for i := 0; i < each && err == nil; i++ {
						_, err = run.Append(t.Context(), note(i))
					}
					errs <- err
				}()
			}
			for range writers {
				require.NoError(t, <-errs)
			}
			events, err := run.LoadEvents(t.Context())
			require.NoError(t, err)
			require.Len(t, events, 1+writers*each)
			traces := make(map[string]uint64)
			for _, ev := range events {
				require.NoError(t, ev.Trace.Validate())
				require.Equal(t, name == "sampled", ev.Trace.Sampled())
				if before, ok := traces[ev.Trace.Parent]; ok {
					require.Equal(t, before, ev.Position)
				}
				traces[ev.Trace.Parent] = ev.Position
			}
			if name == "sampled" {
				require.Len(t, traces, len(events))
			}
		})
	}
}

// Without a tracer provider a propagator stores the trace of whoever calls.
func TestPropagatorAlone(t *testing.T) {
	r := newTelemetryRecorder(t)
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithPropagator(propagation.TraceContext{})))
	ctx, span := r.tracers.Tracer("test").Start(t.Context(), "caller")
	defer span.End()
	_, err := s.Append(ctx, "run", "acme", note(1))
	require.NoError(t, err)
	_, err = s.Append(t.Context(), "run", "acme", note(2))
	require.NoError(t, err)
	events, err := s.LoadEvents(ctx, "run")
	require.NoError(t, err)
	require.Contains(t, events[0].Trace.Parent, span.SpanContext().SpanID().String())
	require.Zero(t, events[1].Trace)
}

func TestTelemetryOfResolve(t *testing.T) {
	r := newTelemetryRecorder(t)
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(r.options()...))
	_, err := s.Append(t.Context(), "run", "acme", note(1))
	require.NoError(t, err)
	unknown := unanswered(t, s)
	header := unknown.Records[0].Header
	r.take()
	receipt, err := s.Resolve(t.Context(), unknown)
	require.NoError(t, err)
	require.EqualValues(t, 1, receipt.First)
	spans := r.take()
	require.Equal(t, []string{"resolve ENACT"}, names(spans))
	require.Len(t, spans[0].Links, 1)
	require.Contains(t, header["traceparent"][0], spans[0].Links[0].SpanContext.SpanID().String())
	require.Equal(t, "resolution", spans[0].Events[0].Name)
	require.EqualValues(t, 1, sum(t, r.metrics(t)["enact.append.resolutions"]))
}

const jetstreamExpected = "Nats-Expected-Last-Subject-Sequence"

func incarnation(t *testing.T, s *jetstore.Store) string {
	att, err := s.Attach()
	require.NoError(t, err)
	defer att.Close()
	state, err := att.State(t.Context(), 0)
	require.NoError(t, err)
	return state.Incarnation
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithLogger(log)))
	for range 2 {
		_, err := s.Append(t.Context(), "run", "acme", note(1), enact.WithIdempotencyKey("k"))
		require.NoError(t, err)
	}
	require.Contains(t, out.String(), `level=DEBUG msg="enact: duplicate"`)
	_, err := s.Append(t.Context(), "run", "acme", enact.Custom{EventType: "secret", Data: enact.JSON("secret")}, enact.ExpectSequence(7))
	require.ErrorIs(t, err, enact.ErrConflict)
	require.Contains(t, out.String(), `level=DEBUG msg="enact: append failed" stream=ENACT tenant=acme execution=run`)
	require.NotContains(t, out.String(), "secret")
}

// A tracer of the caller's own is told of operations beside OpenTelemetry.
type ownTracer struct {
	occurrences
	began, ended []jetstore.Operation
	outcomes     []jetstore.Outcome
}

type ownKey struct{}

func (o *ownTracer) Began(ctx context.Context, op jetstore.Operation) context.Context {
	o.began = append(o.began, op)
	return context.WithValue(ctx, ownKey{}, len(o.began))
}

func (o *ownTracer) Ended(ctx context.Context, op jetstore.Operation, end jetstore.Outcome) {
	if ctx.Value(ownKey{}) == nil {
		panic("not the operation's context")
	}
	o.ended, o.outcomes = append(o.ended, op), append(o.outcomes, end)
}

func TestOperationTracer(t *testing.T) {
	r := newTelemetryRecorder(t)
	var own ownTracer
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(append(r.options(), jetstore.WithTracer(&own))...))
	_, err := s.AppendBatch(t.Context(), "run", "acme", []enact.Event{note(1), note(2)})
	require.NoError(t, err)
	_, err = s.Append(t.Context(), "run", "acme", nil)
	require.ErrorIs(t, err, enact.ErrInvalidEvent)
	want := jetstore.Operation{Kind: jetstore.Appending, Stream: "ENACT", Tenant: "acme", Execution: "run", Events: 2}
	require.Equal(t, want, own.began[0])
	require.Equal(t, own.began, own.ended)
	require.Positive(t, own.outcomes[0].Took)
	own.outcomes[0].Took = 0
	require.Equal(t, jetstore.Outcome{First: 1, Last: 2}, own.outcomes[0])
	require.True(t, errors.Is(own.outcomes[1].Err, enact.ErrInvalidEvent))
	require.Len(t, r.take(), 2)
	for kind := range jetstore.Handling + 1 {
		require.NotContains(t, kind.String(), "OperationKind")
	}
	require.Equal(t, "OperationKind(7)", (jetstore.Handling + 1).String())
}

// Where nobody watches, the seam costs nothing: it allocates nothing.
func TestUnwatchedAllocatesNothing(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	require.False(t, s.Watched())
	ctx := t.Context()
	op := jetstore.Operation{Kind: jetstore.Handling, Stream: "ENACT", Tenant: "acme", Execution: "run", Events: 1}
	observe := func() {
		_, seen := s.Observe(ctx, op)
		if seen.Watched() {
			defer func() { seen.End(jetstore.Outcome{}) }()
		}
		seen.End(jetstore.Outcome{Events: 1})
	}
	// What the server and the connections allocate meanwhile counts, too: some time they rest.
	least := math.Inf(1)
	natstest.Eventually(t, time.Minute, func() bool {
		least = min(least, testing.AllocsPerRun(100, observe))
		return least == 0
	}, func() string { return fmt.Sprintf("%g allocations", least) })
}
