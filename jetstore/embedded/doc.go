// Package embedded runs a NATS server with JetStream inside the process and opens the
// event log on it: durable, no network, nothing to install.
//
//	store, err := embedded.Open(ctx, "./data")
//	defer store.Shutdown(ctx)
//
// Every append is on disk, fsync included, when it returns. The server listens on no
// port unless [WithPort] asks for one. One process at a time can open a directory.
package embedded
