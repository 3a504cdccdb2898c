package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// What a subscriber does with an event is linked to the event's append, and what a handler
// does is part of its span.
func TestTelemetry(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	reader := metric.NewManualReader()
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	defer func() {
		require.NoError(t, tracers.Shutdown(context.Background()))
		require.NoError(t, meters.Shutdown(context.Background()))
	}()
	s := embedded.ForTest(t, embedded.WithMemoryStorage(),
		embedded.WithStore(jetstore.WithTracerProvider(tracers), jetstore.WithMeterProvider(meters)))
	run := s.Execution("acme", "run")
	_, err := run.Append(t.Context(), note(1))
	require.NoError(t, err)
	appended := named(spans, "append ENACT")[0]

	g := openGroup(t, s, consumer.Parallel, consumer.Backoff(time.Millisecond))
	tracer := tracers.Tracer("handler")
	handle := func(ctx context.Context, ev enact.StoredEvent) error {
		_, span := tracer.Start(ctx, "inside")
		defer span.End()
		switch consumer.Attempt(ctx) {
		case 1:
			panic("first")
		case 2:
			return errors.New("second")
		}
		return nil
	}
	stop := member(t, g, handle)
	idle(t, g)
	require.NoError(t, stop())
	handled, inside := named(spans, "handle ENACT"), named(spans, "inside")
	require.Len(t, handled, 3)
	require.Len(t, inside, 3)
	for i, span := range handled {
		require.Equal(t, trace.SpanKindConsumer, span.SpanKind)
		require.Equal(t, []sdktrace.Link{{SpanContext: appended.SpanContext.WithRemote(true)}}, span.Links)
		require.Equal(t, span.SpanContext, inside[i].Parent)
		attrs := make(map[string]any)
		for _, kv := range span.Attributes {
			attrs[string(kv.Key)] = kv.Value.AsInterface()
		}
		want := map[string]any{
			"messaging.system": "nats", "messaging.operation.name": "handle", "messaging.operation.type": "process",
			"messaging.destination.name": "ENACT", "messaging.consumer.group.name": "billing",
			"enact.tenant.id": "acme", "enact.execution.id": "run", "enact.sequence": int64(1),
		}
		if i > 0 {
			want["enact.attempt"] = int64(i + 1)
		}
		if i < 2 {
			require.Equal(t, codes.Error, span.Status.Code)
			want["error.type"] = "*errors.errorString"
		}
		require.Equal(t, want, attrs)
	}

	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, func(context.Context, enact.StoredEvent) error { return nil }, consumer.UntilLive()))
	require.Len(t, named(spans, "handle ENACT"), 4)

	for ev, err := range consumer.Tail(t.Context(), run, 0) {
		require.NoError(t, err)
		require.EqualValues(t, 1, ev.Sequence)
		break
	}
	delivered := named(spans, "deliver ENACT")
	require.Len(t, delivered, 1)
	require.Equal(t, trace.SpanKindClient, delivered[0].SpanKind)
	require.Equal(t, appended.SpanContext.WithRemote(true), delivered[0].Links[0].SpanContext)

	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	for _, m := range data.ScopeMetrics[0].Metrics {
		if m.Name == "messaging.process.duration" {
			n := uint64(0)
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				n += p.Count
			}
			require.EqualValues(t, 4, n)
			return
		}
	}
	t.Fatal("no durations of handlers")
}

// named returns the spans of a name that have ended, in order.
func named(r *tracetest.SpanRecorder, name string) (list tracetest.SpanStubs) {
	for _, s := range tracetest.SpanStubsFromReadOnlySpans(r.Ended()) {
		if s.Name == name {
			list = append(list, s)
		}
	}
	return list
}
