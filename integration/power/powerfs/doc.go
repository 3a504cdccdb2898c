// Package powerfs is a file system for tests that loses what a loss of power may take:
// whatever was written and not synced. It keeps its files in memory and is mounted through
// FUSE, so that programs use it without knowing.
//
// A write reaches the files at once and the disk when the file is synced (fsync, fdatasync,
// O_SYNC, O_DSYNC). Names are made, changed and removed in directories, which have to reach
// the disk as well; file systems differ in when they do, see [Order]. [Disk.LosePower] takes
// the disk back to what it had.
package powerfs
