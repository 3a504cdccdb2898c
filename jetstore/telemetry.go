package jetstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/enactlog/enact"
)

// telemetry is what the options say of OpenTelemetry and of logs.
type telemetry struct {
	spans      trace.TracerProvider
	metrics    metric.MeterProvider
	propagator propagation.TextMapPropagator
	logger     *slog.Logger
}

// WithTracerProvider makes spans of appends, reads, lists, deliveries and handlers, and
// lets records carry the trace context of their append, to which the spans of deliveries
// and handlers are linked. Spans are named by operation and stream, as in "append ENACT".
// Default (and nil): none.
//
// Appends of one process to one execution that wait for each other share a record only
// if they are of one trace or none of their traces is sampled: a record has one context.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *config) error {
		c.telemetry.spans = p
		return nil
	}
}

// WithMeterProvider measures: durations of operations in seconds, events of appends,
// conflicts, appends that others overtook, copies sent again, appends without an
// acknowledgement that were resolved, duplicates and stale answers mended.
// docs/operations.md lists the metrics. Default (and nil): nothing.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(c *config) error {
		c.telemetry.metrics = p
		return nil
	}
}

// WithPropagator sets how a call's context becomes a trace context and back. Of what it
// writes, records carry traceparent and tracestate. Alone, without a [WithTracerProvider],
// it stores the trace context of whoever calls. Default (and nil): W3C Trace Context
// with a tracer provider, none without one.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) error {
		c.telemetry.propagator = p
		return nil
	}
}

// WithLogger logs what the store puts right and how operations fail: histories that are
// corrupt as errors, appends whose outcome is unknown as warnings, copies sent again and
// resolutions as information, all else for debugging. Events are never logged. Default
// (and nil): nothing.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		c.telemetry.logger = l
		return nil
	}
}

// tracers returns who is told because of the options.
func (o *telemetry) tracers() (list []Tracer, err error) {
	if o.logger != nil {
		list = append(list, logTracer{o.logger})
	}
	if o.spans == nil && o.metrics == nil && o.propagator == nil {
		return list, nil
	}
	t := &otelTracer{propagator: o.propagator}
	t.series, _ = lru.New[seriesKey, *series](maxSeries)
	if o.spans == nil {
		t.tracer = noop.Tracer{}
	} else {
		t.tracer = o.spans.Tracer(instrumentation, trace.WithSchemaURL(schemaURL))
		if t.propagator == nil {
			t.propagator = propagation.TraceContext{}
		}
	}
	t.spans = o.spans != nil
	if o.metrics != nil {
		t.measures = true
		t.instruments, err = newInstruments(o.metrics.Meter(instrumentation, metric.WithSchemaURL(schemaURL)))
		if err != nil {
			return nil, &enact.OptionError{Option: "WithMeterProvider", Reason: err.Error()}
		}
	}
	return append(list, t), nil
}

// otelTracer tells OpenTelemetry.
type otelTracer struct {
	tracer      trace.Tracer
	spans       bool // there is a tracer provider
	propagator  propagation.TextMapPropagator
	measures    bool
	instruments instruments
	series      *lru.Cache[seriesKey, *series]
}

// maxSeries bounds the combinations whose attributes are kept: with a stream per tenant
// there are as many as tenants.
const maxSeries = 4096

type seriesKey struct {
	kind          OperationKind
	stream, group string
}

// series is what the operations of one kind on one stream have in common.
type series struct {
	span  string
	start []trace.SpanStartOption
	attrs []attribute.KeyValue
	well  attribute.Set
	bad   sync.Map // error type to attribute.Set
}

func (t *otelTracer) seriesOf(op *Operation) *series {
	key := seriesKey{op.Kind, op.Stream, op.Group}
	if s, ok := t.series.Get(key); ok {
		return s
	}
	kind, _ := op.Kind.convention()
	s := &series{span: op.Kind.String() + " " + op.Stream, attrs: operationAttributes(op.Kind, op.Stream, op.Group)}
	s.start = []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(s.attrs...)}
	s.well = attribute.NewSet(s.attrs...)
	t.series.Add(key, s)
	return s
}

// set returns the attributes of a metric.
func (s *series) set(failure string) attribute.Set {
	if failure == "" {
		return s.well
	}
	if set, ok := s.bad.Load(failure); ok {
		return set.(attribute.Set)
	}
	set := attribute.NewSet(append([]attribute.KeyValue{errorType(failure)}, s.attrs...)...)
	s.bad.Store(failure, set)
	return set
}

// spanKey is the key of an operation's span in its context: what is inside may have made
// others.
type spanKey struct{ t *otelTracer }

// Began implements OperationTracer.
func (t *otelTracer) Began(ctx context.Context, op Operation) context.Context {
	if !t.spans {
		return ctx
	}
	s := t.seriesOf(&op)
	attrs := make([]attribute.KeyValue, 0, 6)
	for _, id := range []struct {
		key   attribute.Key
		value string
	}{{attrTenant, string(op.Tenant)}, {attrExecution, string(op.Execution)}} {
		if id.value != "" {
			attrs = append(attrs, id.key.String(id.value))
		}
	}
	if op.Events > 1 {
		attrs = append(attrs, batchCount(op.Events))
	}
	if op.Records > 0 {
		attrs = append(attrs, attrRecords.Int(op.Records))
	}
	if op.Sequence > 0 {
		attrs = append(attrs, sequenceAttr(op.Sequence))
	}
	if op.Attempt > 1 {
		attrs = append(attrs, attrAttempt.Int(op.Attempt))
	}
	opts := append(s.start[:len(s.start):len(s.start)], trace.WithAttributes(attrs...))
	if origin := t.extract(op.Origin); origin.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: origin}))
	}
	ctx, span := t.tracer.Start(ctx, s.span, opts...)
	return context.WithValue(ctx, spanKey{t}, span)
}

// sequenceAttr keeps sequences above 2^63, which no log has, within what attributes hold.
func sequenceAttr(n uint64) attribute.KeyValue { return attrFirst.Int64(int64(n &^ (1 << 63))) }

// Ended implements OperationTracer.
func (t *otelTracer) Ended(ctx context.Context, op Operation, end Outcome) {
	failure := failureType(end.Err)
	if t.measures {
		t.measure(ctx, &op, &end, failure)
	}
	span, ok := ctx.Value(spanKey{t}).(trace.Span)
	if !ok {
		return
	}
	if span.IsRecording() {
		switch op.Kind {
		case Loading, Listing:
			span.SetAttributes(batchCount(end.Events))
		case Appending, Resolving:
			if end.First > 0 {
				span.SetAttributes(sequenceAttr(end.First))
			}
			if end.Duplicate {
				span.SetAttributes(attrDuplicate.Bool(true))
			}
		}
		if end.Err != nil {
			span.SetAttributes(errorType(failure))
			span.SetStatus(codes.Error, end.Err.Error())
		}
	}
	span.End()
}

func (t *otelTracer) measure(ctx context.Context, op *Operation, end *Outcome, failure string) {
	in := &t.instruments
	set := t.seriesOf(op).set(failure)
	seconds := end.Took.Seconds()
	switch op.Kind {
	case Handling:
		in.process.RecordSet(ctx, seconds, set)
		in.consumed.AddSet(ctx, 1, set)
		return
	case Delivering:
		in.consumed.AddSet(ctx, 1, set)
		return // it takes no time
	case Loading:
		in.consumed.AddSet(ctx, int64(end.Events), set)
	case Appending:
		if errors.Is(end.Err, enact.ErrConflict) {
			in.conflicts.Add(ctx, 1, metric.WithAttributeSet(t.seriesOf(op).well))
		}
		if end.Err == nil && !end.Duplicate {
			in.sent.AddSet(ctx, int64(op.Events), set)
			in.events.Record(ctx, int64(op.Events), metric.WithAttributeSet(set))
		}
	}
	in.duration.RecordSet(ctx, seconds, set)
}

// Happened implements Tracer.
func (t *otelTracer) Happened(ctx context.Context, what Occurrence) {
	if t.measures && int(what) < len(t.instruments.occurrences) {
		t.instruments.occurrences[what].Add(ctx, 1)
	}
	if span := trace.SpanFromContext(ctx); t.spans && span.IsRecording() {
		span.AddEvent(what.String())
	}
}

// TraceContext implements TraceCarrier.
func (t *otelTracer) TraceContext(ctx context.Context) enact.TraceContext {
	if t.propagator == nil {
		return enact.TraceContext{}
	}
	var c carrier
	t.propagator.Inject(ctx, &c)
	return enact.TraceContext(c)
}

// extract returns the span that a trace context names.
func (t *otelTracer) extract(of enact.TraceContext) trace.SpanContext {
	if of.IsZero() || t.propagator == nil {
		return trace.SpanContext{}
	}
	c := carrier(of)
	return trace.SpanContextFromContext(t.propagator.Extract(context.Background(), &c))
}

// carrier gives propagators the fields of a trace context.
type carrier enact.TraceContext

const (
	fieldParent = "traceparent"
	fieldState  = "tracestate"
)

// Get implements propagation.TextMapCarrier.
func (c *carrier) Get(key string) string {
	switch key {
	case fieldParent:
		return c.Parent
	case fieldState:
		return c.State
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c *carrier) Set(key, value string) {
	switch key {
	case fieldParent:
		c.Parent = value
	case fieldState:
		c.State = value
	}
}

// Keys implements propagation.TextMapCarrier.
func (c *carrier) Keys() []string { return []string{fieldParent, fieldState} }

// failures are the values of error.type for what calls of a store return.
var failures = []struct {
	err  error
	name string
}{
	{enact.ErrConflict, "conflict"},
	{enact.ErrUnknownOutcome, "unknown_outcome"},
	{errOvertaken, "overtaken"},
	{errUnproven, "unproven"},
	{enact.ErrTenantMismatch, "tenant_mismatch"},
	{enact.ErrAmbiguousExecution, "ambiguous_execution"},
	{enact.ErrInvalidID, "invalid_id"},
	{enact.ErrInvalidEvent, "invalid_event"},
	{enact.ErrInvalidOption, "invalid_option"},
	{enact.ErrInvalidCursor, "invalid_cursor"},
	{enact.ErrEmptyBatch, "empty_batch"},
	{enact.ErrKeyReused, "key_reused"},
	{enact.ErrTooLarge, "too_large"},
	{enact.ErrCorrupt, "corrupt"},
	{enact.ErrUnsupportedVersion, "unsupported_version"},
	{enact.ErrUnknownCodec, "unknown_codec"},
	{enact.ErrPayload, "payload"},
	{enact.ErrStale, "stale"},
	{enact.ErrStreamNotFound, "stream_not_found"},
	{enact.ErrNotPermitted, "not_permitted"},
	{enact.ErrClosed, "closed"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
}

// failureType returns the value of error.type for an error; "" for none.
func failureType(err error) string {
	if err == nil {
		return ""
	}
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.name
		}
	}
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok {
		return fmt.Sprintf("nats_%d", apiErr.ErrorCode)
	}
	return fmt.Sprintf("%T", err)
}

// logTracer writes to a log.
type logTracer struct{ log *slog.Logger }

// Happened implements Tracer.
func (t logTracer) Happened(ctx context.Context, what Occurrence) {
	level := slog.LevelDebug
	if what == Retry || what == Resolution {
		level = slog.LevelInfo
	}
	t.log.LogAttrs(ctx, level, "enact: "+what.String())
}

// Began implements OperationTracer.
func (t logTracer) Began(ctx context.Context, _ Operation) context.Context { return ctx }

// Ended implements OperationTracer.
func (t logTracer) Ended(ctx context.Context, op Operation, end Outcome) {
	if end.Err == nil {
		return
	}
	level := slog.LevelDebug
	switch {
	case errors.Is(end.Err, enact.ErrCorrupt):
		level = slog.LevelError
	case errors.Is(end.Err, enact.ErrUnknownOutcome):
		level = slog.LevelWarn
	}
	if !t.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("stream", op.Stream), slog.String("tenant", string(op.Tenant))}
	if op.Execution != "" {
		attrs = append(attrs, slog.String("execution", string(op.Execution)))
	}
	attrs = append(attrs, slog.Duration("took", end.Took), slog.Any("error", end.Err))
	t.log.LogAttrs(ctx, level, "enact: "+op.Kind.String()+" failed", attrs...)
}
