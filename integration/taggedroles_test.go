//go:build !faults

package integration

// taggedRoles are roles of tests with build tags.
var taggedRoles map[string]func(script []byte, l line) error
