// Package fsck checks a log as a whole: that every history is what was appended, that
// lists name every execution, and, against heads that were kept elsewhere, that no end is
// missing or rewritten.
package fsck
