package bench

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// What telemetry costs an append: the seam where nobody watches, as a share of an append
// in memory, the fastest there is; and spans and metrics of the SDK, kept by nobody.
func BenchmarkTelemetry(b *testing.B) {
	ctx := context.Background()
	writer := func(b *testing.B, opts ...jetstore.Option) func() {
		srv, err := embedded.Start(ctx, b.TempDir(), embedded.WithMemoryStorage(), embedded.WithPort(-1))
		check(b, err)
		b.Cleanup(func() { check(b, srv.Shutdown(ctx)) })
		run := connect(b, srv.ClientURL(), append(opts, jetstore.WithMemoryStorage())...).store.Execution("acme", enact.NewExecutionID())
		event := payload(256)
		return func() {
			_, err := run.Append(ctx, event)
			check(b, err)
		}
	}
	b.Run("unwatched-share", func(b *testing.B) {
		b.ReportAllocs()
		appendOne := writer(b)
		const appends = 2000
		began := timed(func() {
			for range appends {
				appendOne()
			}
		})
		store, err := embedded.Open(ctx, b.TempDir(), embedded.WithMemoryStorage())
		check(b, err)
		b.Cleanup(func() { check(b, store.Shutdown(ctx)) })
		op := jetstore.Operation{Kind: jetstore.Appending, Stream: "ENACT", Tenant: "acme", Execution: "run", Events: 1}
		n := 0
		for b.Loop() {
			_, seen := store.Observe(ctx, op)
			seen.End(jetstore.Outcome{First: 1, Last: 1})
			n++
		}
		seam := float64(b.Elapsed()) / float64(n)
		b.ReportMetric(100*seam/(float64(began)/appends), "%-of-append")
	})
	b.Run("otel", func(b *testing.B) {
		spans := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
		meters := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
		plain, told := writer(b), writer(b, jetstore.WithTracerProvider(spans), jetstore.WithMeterProvider(meters))
		b.ReportAllocs()
		compare(b, func(int) { plain() }, func(int) { told() })
	})
}
