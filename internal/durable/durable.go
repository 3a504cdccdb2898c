// Package durable makes the names of files survive a loss of power: syncing a file brings
// its content to the disk, and its name only on file systems that journal the two together.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// SyncDir makes the names in a directory durable. Windows has no such call, and some file
// systems do not (of the Linux kernel's, VirtualBox's shared folders): there it does nothing.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// MkdirAll is os.MkdirAll, and makes the names of the directories that it makes durable.
func MkdirAll(dir string, perm fs.FileMode) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, perm)
	}
	parent := filepath.Dir(dir)
	if err := MkdirAll(parent, perm); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	return SyncDir(parent)
}
