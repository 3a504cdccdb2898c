//go:build long

package integration

// long says whether tests take as many rounds as is worth a night, or as few as is
// worth a change.
const long = true
