// Package readers holds readers of the log in other languages, which know docs/wire-format.md
// and nothing of the rest: read.py.
package readers
