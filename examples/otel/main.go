// The program otel shows one trace from an append over a cluster to the handler of a
// subscriber, as OpenTelemetry's stdout exporter prints it: the span of the append, whose
// context the record carries, and the span of the handler, which is linked to it.
//
//	go run ./examples/otel
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/nats-io/nats.go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "otel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	// An SDK as any program sets it up. The log needs no more of it than a provider.
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(out), stdouttrace.WithPrettyPrint(), stdouttrace.WithoutTimestamps())
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	defer func() { err = errors.Join(err, provider.Shutdown(context.WithoutCancel(ctx))) }()

	// A cluster of three servers; a real one is somewhere else, and only the URL differs.
	dir, err := os.MkdirTemp("", "enact-otel-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := embedded.StartCluster(ctx, dir, 3)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Shutdown(context.WithoutCancel(ctx))) }()
	if err := makeStreams(ctx, cluster.ClientURL()); err != nil {
		return err
	}

	// The one who appends and the one who handles are two stores, as in two processes:
	// nothing but the record connects their spans.
	writer, err := jetstore.Connect(ctx, cluster.ClientURL(), jetstore.WithTracerProvider(provider))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, writer.Shutdown(context.WithoutCancel(ctx))) }()
	reader, err := jetstore.Connect(ctx, cluster.ClientURL(), jetstore.WithTracerProvider(provider))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Shutdown(context.WithoutCancel(ctx))) }()

	tracer := provider.Tracer("example")
	request, span := tracer.Start(ctx, "request")
	_, err = writer.Append(request, enact.NewExecutionID(), "acme", enact.ExecutionStarted{})
	span.End()
	if err != nil {
		return err
	}

	group, err := consumer.OpenGroup(ctx, reader, "billing", consumer.Ordered, consumer.Filter{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return group.Run(ctx, func(ctx context.Context, ev enact.StoredEvent) error {
		_, span := tracer.Start(ctx, "bill") // a child of the handler's span
		span.End()
		stop() // one event is enough
		return nil
	})
}

// makeStreams makes the log's streams, once for each cluster.
func makeStreams(ctx context.Context, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	return jetstore.EnsureStream(ctx, nc)
}
