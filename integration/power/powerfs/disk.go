package powerfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Order is when a name that was made, changed or removed in a directory reaches the disk.
type Order int

const (
	// Journaled file systems (ext4, xfs) write changes of directories to a log in their
	// order, and syncing a file brings everything in it up to the last change of the
	// file's own name to the disk: a new file that was synced is there. Syncing a
	// directory does the same for the changes in it.
	Journaled Order = iota
	// Strict is what POSIX promises: a name reaches the disk when its directory is
	// synced, and not before.
	Strict
)

func (o Order) String() string {
	switch o {
	case Journaled:
		return "journaled"
	case Strict:
		return "strict"
	}
	return fmt.Sprintf("Order(%d)", int(o))
}

// Disk is the contents of a file system. It may be used from any number of goroutines.
type Disk struct {
	order Order

	mu     sync.Mutex
	nodes  map[uint64]*node // by number; also of files that were removed and may be open
	last   uint64           // highest number
	root   *node
	log    []change // of directories, not yet on the disk, oldest first
	logged int      // changes that have reached the disk: log[0] is number logged
}

// node is a file or a directory.
type node struct {
	number uint64
	dir    bool
	perm   uint32
	mtime  time.Time
	named  int // number of the last change of this node's name, or in this directory

	data []byte
	undo []undo // of a file, back to what is on the disk, oldest first

	entries map[string]*node // of a directory, as programs see it
	durable map[string]*node // as it is on the disk
}

// undo takes back one write.
type undo struct {
	size int    // of the file before
	at   int    // where the write began
	old  []byte // what stood there
}

// edit is one name in one directory: what it now stands for, nil if nothing.
type edit struct {
	dir  *node
	name string
	to   *node
}

// change is edits that reach the disk together or not at all.
type change []edit

// Loss is what a loss of power took.
type Loss struct {
	Writes int // that were not synced
	Bytes  int // that they had written
	Names  int // in directories: made, changed or removed
}

// NewDisk returns an empty disk.
func NewDisk(order Order) *Disk {
	d := &Disk{order: order, nodes: make(map[uint64]*node)}
	d.root = d.newNode(true, 0o755)
	return d
}

func (d *Disk) newNode(dir bool, perm uint32) *node {
	d.last++
	n := &node{number: d.last, dir: dir, perm: perm, mtime: time.Now(), named: -1}
	if dir {
		n.entries, n.durable = make(map[string]*node), make(map[string]*node)
	}
	d.nodes[n.number] = n
	return n
}

// change makes edits in directories.
func (d *Disk) change(edits ...edit) {
	number := d.logged + len(d.log)
	for _, e := range edits {
		if was := e.dir.entries[e.name]; was != nil {
			was.named = number
		}
		if e.to == nil {
			delete(e.dir.entries, e.name)
		} else {
			e.dir.entries[e.name] = e.to
			e.to.named = number
		}
		e.dir.named, e.dir.mtime = number, time.Now()
	}
	d.log = append(d.log, edits)
}

// sync brings a node to the disk.
func (d *Disk) sync(n *node) {
	n.undo = nil
	switch d.order {
	case Journaled:
		d.commit(n.named + 1 - d.logged)
	case Strict:
		if !n.dir {
			return
		}
		n.durable = maps.Clone(n.entries)
		for i, c := range d.log {
			d.log[i] = slices.DeleteFunc(c, func(e edit) bool { return e.dir == n })
		}
	}
}

// commit brings the oldest n changes of the log to the disk.
func (d *Disk) commit(n int) {
	if n <= 0 {
		return
	}
	for _, c := range d.log[:n] {
		for _, e := range c {
			if e.to == nil {
				delete(e.dir.durable, e.name)
			} else {
				e.dir.durable[e.name] = e.to
			}
		}
	}
	d.log, d.logged = d.log[n:], d.logged+n
}

// write writes data at a place of a file.
func (n *node) write(at int, data []byte) {
	size := len(n.data)
	end := at + len(data)
	u := undo{size: size, at: at}
	if at < size {
		u.old = append([]byte(nil), n.data[at:min(end, size)]...)
	}
	n.undo = append(n.undo, u)
	n.grow(end)
	copy(n.data[at:], data)
	n.mtime = time.Now()
}

// truncate sets the size of a file.
func (n *node) truncate(size int) {
	u := undo{size: len(n.data), at: size}
	if size < len(n.data) {
		u.old = append([]byte(nil), n.data[size:]...)
	}
	n.undo = append(n.undo, u)
	n.grow(size)
	n.data = n.data[:size]
	n.mtime = time.Now()
}

// grow makes a file at least so large, with zeros.
func (n *node) grow(size int) {
	if old := len(n.data); size > old {
		n.data = append(n.data, make([]byte, size-old)...)
	}
}

// takeBack undoes what was written after the first keep writes that are not synced.
func (n *node) takeBack(keep int, loss *Loss) {
	for i := len(n.undo) - 1; i >= keep; i-- {
		u := n.undo[i]
		loss.Writes++
		loss.Bytes += max(len(n.data)-u.size, len(u.old))
		n.grow(u.size)
		n.data = n.data[:u.size]
		copy(n.data[min(u.at, u.size):], u.old)
	}
	n.undo = nil
}

// LosePower takes the disk back to what has reached it. Of what was not synced nothing is
// kept if random is nil. Else a disk that was busy has part of it: of each file any number
// of the oldest writes, and, if it is journaled, of the directories' log any number of the
// oldest changes. Nothing may be using the disk meanwhile.
func (d *Disk) LosePower(random *rand.Rand) Loss {
	d.mu.Lock()
	defer d.mu.Unlock()
	some := func(n int) int {
		if random == nil {
			return 0
		}
		return random.IntN(n + 1)
	}
	if d.order == Journaled {
		d.commit(some(len(d.log)))
	}
	var loss Loss
	for _, c := range d.log {
		loss.Names += len(c)
	}
	d.log = nil
	d.logged = 0
	kept := make(map[uint64]*node)
	var visit func(n *node)
	visit = func(n *node) {
		kept[n.number] = n
		n.named = -1
		if !n.dir {
			n.takeBack(some(len(n.undo)), &loss)
			return
		}
		n.entries = maps.Clone(n.durable)
		for _, name := range sorted(n.entries) {
			visit(n.entries[name])
		}
	}
	visit(d.root)
	d.nodes = kept
	return loss
}

// Sync brings everything to the disk, as systems do by themselves after some time.
func (d *Disk) Sync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.nodes {
		n.undo = nil
	}
	d.commit(len(d.log))
}

// lookup returns a node by its number.
func (d *Disk) lookup(number uint64) (*node, syscall.Errno) {
	if n := d.nodes[number]; n != nil {
		return n, 0
	}
	return nil, syscall.ESTALE
}
