// Package integration holds the tests that need real servers: processes that are
// killed, paused, starved of files or of disk, and writers in several processes.
//
// Each test prints the seed of its random choices; -seed repeats them. The build tag
// long makes the tests take more rounds.
package integration
