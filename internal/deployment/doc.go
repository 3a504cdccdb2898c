// Package deployment starts the cluster that deploy/nats configures as three processes on
// this machine, without Docker, and makes what the configuration does not contain: passwords
// and, for the variant with TLS, certificates.
package deployment
