// Package power tests that what the log has acknowledged survives a loss of power, on
// servers whose disks lose everything that was not synced. Its tests mount file systems
// through FUSE, which needs root.
package power
