package jetstore

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/trace"
)

// What telemetry is called. Names of OpenTelemetry's conventions for messaging stand here
// and nowhere else; the conventions are in development, and a later version of them is a
// change of this file. A message of theirs is an event here, and a destination a stream:
// subjects name executions, of which there is no end.
const (
	instrumentation = "github.com/enactlog/enact/jetstore"
	schemaURL       = semconv.SchemaURL
	messagingSystem = "nats"
)

// Attributes of the log's own. None of them is on a metric.
const (
	attrTenant    = attribute.Key("enact.tenant.id")
	attrExecution = attribute.Key("enact.execution.id")
	attrRecords   = attribute.Key("enact.records")  // messages of the stream
	attrFirst     = attribute.Key("enact.sequence") // of the first event, or the one
	attrDuplicate = attribute.Key("enact.duplicate")
	attrAttempt   = attribute.Key("enact.attempt")
)

// Metrics of the log's own.
const (
	metricEvents      = "enact.append.events"
	metricConflicts   = "enact.append.conflicts"
	metricOvertaken   = "enact.append.overtaken"
	metricRetries     = "enact.append.retries"
	metricResolutions = "enact.append.resolutions"
	metricDuplicates  = "enact.append.duplicates"
	metricStale       = "enact.stale_answers"
)

// Boundaries of the histograms. Those of durations, in seconds, are finer than the
// conventions': an append takes 50 µs where one server runs in the process.
var (
	durationBounds = []float64{
		0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
	}
	eventBounds = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}
)

// spanKind returns the kind of an operation's span and the type of the operation; "" for
// what the conventions have no type for.
func (k OperationKind) convention() (trace.SpanKind, messagingconv.OperationTypeAttr) {
	switch k {
	case Appending:
		return trace.SpanKindProducer, messagingconv.OperationTypeSend
	case Staging, Resolving:
		// Their context is not what the record carries.
		return trace.SpanKindClient, messagingconv.OperationTypeSend
	case Loading, Delivering:
		return trace.SpanKindClient, messagingconv.OperationTypeReceive
	case Handling:
		return trace.SpanKindConsumer, messagingconv.OperationTypeProcess
	}
	return trace.SpanKindClient, ""
}

// operationAttributes are those of every span and metric of a kind of operation.
func operationAttributes(kind OperationKind, stream, group string) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(messagingSystem),
		semconv.MessagingOperationName(kind.String()),
		semconv.MessagingDestinationName(stream),
	}
	if _, of := kind.convention(); of != "" {
		attrs = append(attrs, semconv.MessagingOperationTypeKey.String(string(of)))
	}
	if group != "" {
		attrs = append(attrs, semconv.MessagingConsumerGroupName(group))
	}
	return attrs
}

// batchCount is set where an operation is about more than one message.
func batchCount(events int) attribute.KeyValue { return semconv.MessagingBatchMessageCount(events) }

func errorType(of string) attribute.KeyValue { return semconv.ErrorTypeKey.String(of) }

// instruments are the metrics.
type instruments struct {
	duration    messagingconv.ClientOperationDuration
	process     messagingconv.ProcessDuration
	sent        messagingconv.ClientSentMessages
	consumed    messagingconv.ClientConsumedMessages
	events      metric.Int64Histogram
	conflicts   metric.Int64Counter
	occurrences [Duplicate + 1]metric.Int64Counter
}

func newInstruments(m metric.Meter) (in instruments, err error) {
	note := func(e error) {
		if err == nil {
			err = e
		}
	}
	bounds := metric.WithExplicitBucketBoundaries(durationBounds...)
	var e error
	in.duration, e = messagingconv.NewClientOperationDuration(m, bounds)
	note(e)
	in.process, e = messagingconv.NewProcessDuration(m, bounds)
	note(e)
	in.sent, e = messagingconv.NewClientSentMessages(m)
	note(e)
	in.consumed, e = messagingconv.NewClientConsumedMessages(m)
	note(e)
	in.events, e = m.Int64Histogram(metricEvents, metric.WithUnit("{event}"), metric.WithDescription("Events of each append."),
		metric.WithExplicitBucketBoundaries(eventBounds...))
	note(e)
	counter := func(name, unit, description string) metric.Int64Counter {
		c, e := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		note(e)
		return c
	}
	in.conflicts = counter(metricConflicts, "{append}", "Appends that ended in a conflict with what they expected.")
	in.occurrences = [...]metric.Int64Counter{
		StaleAnswer: counter(metricStale, "{answer}", "Answers that were older than what was known, and were asked for again."),
		Retry:       counter(metricRetries, "{copy}", "Copies of appends that were sent again."),
		Overtaken:   counter(metricOvertaken, "{append}", "Appends that found another one in their place."),
		Resolution:  counter(metricResolutions, "{append}", "Appends without an acknowledgement that were proven to be stored."),
		Duplicate:   counter(metricDuplicates, "{append}", "Appends that were found by their idempotency key."),
	}
	return in, err
}
