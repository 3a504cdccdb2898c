//go:build mounts || faults

package natstest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk is a small file system of a test's own, for servers that run out of space.
type Disk struct {
	tb  testing.TB
	Dir string
}

// MountDisk mounts a file system of so many bytes. It is gone when the test ends.
// Without the right to mount, the test fails.
func MountDisk(tb testing.TB, size int) *Disk {
	tb.Helper()
	d := &Disk{tb: tb, Dir: tb.TempDir()}
	if err := syscall.Mount("none", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		tb.Fatalf("natstest: mount a disk, for which one has to be root: %v", err)
	}
	tb.Cleanup(func() { check(tb, syscall.Unmount(d.Dir, syscall.MNT_DETACH)) })
	return d
}

// Leave fills the disk until only so many bytes are left.
func (d *Disk) Leave(size int) {
	d.tb.Helper()
	var fs syscall.Statfs_t
	check(d.tb, syscall.Statfs(d.Dir, &fs))
	err := os.WriteFile(d.ballast(), make([]byte, max(0, int(fs.Bavail)*int(fs.Bsize)-size)), 0o600)
	if size == 0 && errors.Is(err, syscall.ENOSPC) {
		return // a server writes, too
	}
	check(d.tb, err)
}

// Free takes away what Leave has filled the disk with.
func (d *Disk) Free() {
	d.tb.Helper()
	check(d.tb, os.Remove(d.ballast()))
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }
