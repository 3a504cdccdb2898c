//go:build faults

package integration

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// boardSlots is how many executions are appended to at a time.
const boardSlots = 6

// board is memory that processes share: of each slot the generation of the execution that
// is appended to in it, and the highest sequence acknowledged of that one. So a process
// knows what another was told, and can ask for no less.
type board struct {
	memory []byte
}

// makeBoard makes a board and returns the path under which others open it.
func makeBoard(t *testing.T) (b *board, path string) {
	t.Helper()
	path = t.TempDir() + "/board"
	require.NoError(t, os.WriteFile(path, make([]byte, 8*boardSlots), 0o600))
	b, err := openBoard(path)
	require.NoError(t, err)
	t.Cleanup(b.close)
	return b, path
}

func openBoard(path string) (*board, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	memory, err := syscall.Mmap(int(f.Fd()), 0, 8*boardSlots, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	return &board{memory}, err
}

func (b *board) close() { _ = syscall.Munmap(b.memory) }

func (b *board) slot(n int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&b.memory[8*n])) }

// raise notes that a sequence was acknowledged. A later generation replaces an earlier one.
func (b *board) raise(slot int, generation uint32, sequence uint64) {
	word := uint64(generation)<<32 | sequence
	for s := b.slot(slot); ; {
		old := s.Load()
		if old >= word || s.CompareAndSwap(old, word) {
			return
		}
	}
}

// highest returns the highest sequence acknowledged, 0 if that is not known.
func (b *board) highest(slot int, generation uint32) uint64 {
	if word := b.slot(slot).Load(); word>>32 == uint64(generation) {
		return word & (1<<32 - 1)
	}
	return 0
}
