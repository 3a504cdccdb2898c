package powerfs

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// lasting is for how long the kernel may keep what it was told. Nothing changes a mounted
// disk but what goes through the kernel.
const lasting = time.Hour

// blockSize and blocks are what the disk says of its size: 16 GiB, all of it free.
const (
	blockSize = 4096
	blocks    = 4 << 20
)

// Mount is a disk that is mounted.
type Mount struct {
	dir    string
	server *fuse.Server
}

// MountAt mounts a disk on a directory. Without /dev/fuse, or the right to mount, it
// returns an error that says so: root may mount, others need fusermount3.
func (d *Disk) MountAt(dir string) (*Mount, error) {
	server, err := fuse.NewServer(&served{fuse.NewDefaultRawFileSystem(), d}, dir, &fuse.MountOptions{
		Name: "enact-power", FsName: "enact-power", DirectMount: true,
		MaxWrite: 1 << 20, DisableXAttrs: true, DisableReadDirPlus: true,
	})
	if err != nil {
		return nil, fmt.Errorf("powerfs: mount through FUSE on %s (needs /dev/fuse, and to be root or to have fusermount3): %w", dir, err)
	}
	go server.Serve() // ends when it is unmounted
	if err := server.WaitMount(); err != nil {
		return nil, fmt.Errorf("powerfs: mount through FUSE on %s: %w", dir, err)
	}
	return &Mount{dir, server}, nil
}

// Unmount unmounts the disk, which nobody may be using, and waits until it is gone.
func (m *Mount) Unmount() error {
	if err := m.server.Unmount(); err != nil {
		return fmt.Errorf("powerfs: unmount %s: %w", m.dir, err)
	}
	m.server.Wait()
	return nil
}

// Detach takes the disk out of the way of everything that begins later, also while it is
// in use, and does not wait.
func (m *Mount) Detach() error {
	if err := syscall.Unmount(m.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("powerfs: detach %s: %w", m.dir, err)
	}
	return nil
}

// served answers the kernel. What it does not have, the embedded one refuses with ENOSYS.
type served struct {
	fuse.RawFileSystem
	*Disk
}

func (*served) String() string { return "enact-power" }

// with calls f with a node, under the lock.
func (s *served) with(number uint64, f func(*node) syscall.Errno) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, errno := s.lookup(number)
	if errno == 0 {
		errno = f(n)
	}
	return fuse.Status(errno)
}

func (n *node) attr(out *fuse.Attr) {
	out.Ino, out.Size, out.Blksize, out.Nlink = n.number, uint64(len(n.data)), blockSize, 1
	out.Blocks = (out.Size + 511) / 512
	out.Mode = n.mode()
	out.SetTimes(nil, &n.mtime, &n.mtime)
}

func (n *node) mode() uint32 {
	if n.dir {
		return syscall.S_IFDIR | n.perm
	}
	return syscall.S_IFREG | n.perm
}

func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.number, 1
	out.SetEntryTimeout(lasting)
	out.SetAttrTimeout(lasting)
	n.attr(&out.Attr)
}

func sorted(entries map[string]*node) []string { return slices.Sorted(maps.Keys(entries)) }

func (s *served) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return s.with(in.NodeId, func(dir *node) syscall.Errno {
		n := dir.entries[name]
		if n == nil {
			return syscall.ENOENT
		}
		n.entry(out)
		return 0
	})
}

// Forget keeps the node: a file that was removed may be open. It is gone with the next
// loss of power.
func (*served) Forget(uint64, uint64) {}

func (s *served) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.with(in.NodeId, func(n *node) syscall.Errno {
		out.SetTimeout(lasting)
		n.attr(&out.Attr)
		return 0
	})
}

func (s *served) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.with(in.NodeId, func(n *node) syscall.Errno {
		if size, ok := in.GetSize(); ok {
			n.truncate(int(size))
		}
		if mode, ok := in.GetMode(); ok {
			n.perm = mode & 0o7777
		}
		if mtime, ok := in.GetMTime(); ok {
			n.mtime = mtime
		}
		out.SetTimeout(lasting)
		n.attr(&out.Attr)
		return 0
	})
}

func (s *served) make(number uint64, name string, dir bool, mode uint32, out *fuse.EntryOut) fuse.Status {
	return s.with(number, func(parent *node) syscall.Errno {
		if parent.entries[name] != nil {
			return syscall.EEXIST
		}
		n := s.newNode(dir, mode&0o7777)
		s.change(edit{parent, name, n})
		n.entry(out)
		return 0
	})
}

func (s *served) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.make(in.NodeId, name, true, in.Mode, out)
}

func (s *served) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.make(in.NodeId, name, false, in.Mode, &out.EntryOut)
}

func (s *served) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return s.with(in.NodeId, func(dir *node) syscall.Errno {
		if dir.entries[name] == nil {
			return syscall.ENOENT
		}
		s.change(edit{dir, name, nil})
		return 0
	})
}

func (s *served) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return s.with(in.NodeId, func(dir *node) syscall.Errno {
		n := dir.entries[name]
		if n == nil {
			return syscall.ENOENT
		}
		if len(n.entries) > 0 {
			return syscall.ENOTEMPTY
		}
		s.change(edit{dir, name, nil})
		return 0
	})
}

func (s *served) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if in.Flags != 0 {
		return fuse.Status(syscall.EINVAL)
	}
	return s.with(in.NodeId, func(source *node) syscall.Errno {
		target, errno := s.lookup(in.Newdir)
		if errno != 0 {
			return errno
		}
		n := source.entries[from]
		if n == nil {
			return syscall.ENOENT
		}
		if over := target.entries[to]; over != nil && len(over.entries) > 0 {
			return syscall.ENOTEMPTY
		}
		s.change(edit{source, from, nil}, edit{target, to, n})
		return 0
	})
}

func (s *served) Open(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	return s.with(in.NodeId, func(*node) syscall.Errno { return 0 })
}

func (s *served) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	size := 0
	status := s.with(in.NodeId, func(n *node) syscall.Errno {
		if in.Offset < uint64(len(n.data)) {
			size = copy(buf, n.data[in.Offset:])
		}
		return 0
	})
	return fuse.ReadResultData(buf[:size]), status
}

func (s *served) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	return uint32(len(data)), s.with(in.NodeId, func(n *node) syscall.Errno {
		n.write(int(in.Offset), data)
		// O_SYNC contains O_DSYNC. Some kernels follow such a write by an fsync, some
		// leave it to the file system.
		if in.Flags&syscall.O_DSYNC != 0 {
			s.sync(n)
		}
		return 0
	})
}

func (s *served) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.with(in.NodeId, func(n *node) syscall.Errno {
		s.sync(n)
		return 0
	})
}

func (s *served) FsyncDir(c <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return s.Fsync(c, in) }

// Flush is a close, which syncs nothing.
func (*served) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (*served) Release(<-chan struct{}, *fuse.ReleaseIn) {}

func (s *served) OpenDir(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return s.Open(c, in, out)
}

func (*served) ReleaseDir(*fuse.ReleaseIn) {}

func (s *served) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.with(in.NodeId, func(dir *node) syscall.Errno {
		// Numbers grow with the time of making, so that an offset stays what it was
		// while names come and go.
		nodes := make(map[uint64]string, len(dir.entries))
		for name, n := range dir.entries {
			nodes[n.number] = name
		}
		for _, number := range slices.Sorted(maps.Keys(nodes)) {
			if number <= in.Offset {
				continue
			}
			if !out.AddDirEntry(fuse.DirEntry{Name: nodes[number], Mode: s.nodes[number].mode(), Ino: number, Off: number}) {
				break
			}
		}
		return 0
	})
}

func (*served) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = blockSize, blockSize, 255
	out.Blocks, out.Bfree, out.Bavail = blocks, blocks, blocks
	out.Files, out.Ffree = blocks, blocks
	return fuse.OK
}
