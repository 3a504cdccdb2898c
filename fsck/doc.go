// Package fsck checks a log as a whole: that every history is what was appended, that the
// index lists every execution, and, against heads that were kept elsewhere, that no end is
// missing or rewritten. [Check] does it; "jetstore-admin fsck" is the program.
//
// A fault is one [Finding], of a stable [Kind], with its position: what follows from it is
// not told again, and the check goes on behind it. docs/guarantees.md says which fault is
// found as what, and what no check can find.
//
// [Repair] adds index entries that are missing. Nothing else is ever changed: a log is
// appended to.
package fsck
