package powerfs

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// machine is a disk that is mounted, and mounted again after a loss of power.
type machine struct {
	t     *testing.T
	disk  *Disk
	mount *Mount
	dir   string
}

func boot(t *testing.T, order Order) *machine {
	t.Helper()
	m := &machine{t: t, disk: NewDisk(order), dir: t.TempDir()}
	m.up()
	t.Cleanup(func() { require.NoError(t, m.mount.Detach()) })
	return m
}

func (m *machine) up() {
	m.t.Helper()
	mount, err := m.disk.MountAt(m.dir)
	require.NoError(m.t, err)
	m.mount = mount
}

func (m *machine) lose(random *rand.Rand) Loss {
	m.t.Helper()
	require.NoError(m.t, m.mount.Unmount())
	loss := m.disk.LosePower(random)
	m.up()
	return loss
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) open(name string, flags int) *os.File {
	m.t.Helper()
	f, err := os.OpenFile(m.path(name), flags, 0o600)
	require.NoError(m.t, err)
	return f
}

func (m *machine) put(f *os.File, text string) {
	m.t.Helper()
	_, err := io.WriteString(f, text)
	require.NoError(m.t, err)
}

// write writes a file, synced or not, in a directory that may be synced after it.
func (m *machine) write(name, text string, syncFile, syncDir bool) {
	m.t.Helper()
	f := m.open(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	m.put(f, text)
	if syncFile {
		require.NoError(m.t, f.Sync())
	}
	require.NoError(m.t, f.Close())
	if syncDir {
		m.syncDir(filepath.Dir(name))
	}
}

func (m *machine) syncDir(name string) {
	m.t.Helper()
	d, err := os.Open(m.path(name))
	require.NoError(m.t, err)
	require.NoError(m.t, d.Sync())
	require.NoError(m.t, d.Close())
}

// tree returns the files and what is in them; of directories a slash behind the name.
func (m *machine) tree() map[string]string {
	m.t.Helper()
	files := make(map[string]string)
	require.NoError(m.t, filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == m.dir {
			return err
		}
		name, err := filepath.Rel(m.dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			files[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(path)
		files[name] = string(data)
		return err
	}))
	return files
}

// What was synced is there, what was not is gone, to the byte.
func TestUnsyncedWritesAreLost(t *testing.T) {
	m := boot(t, Journaled)
	m.write("synced", "abcdef", true, false)
	m.write("unsynced", "abcdef", false, true)

	f := m.open("synced", os.O_RDWR)
	_, err := f.WriteAt([]byte("XYZ"), 2)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(4))
	_, err = f.WriteAt([]byte("far"), 10)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, "abXY\x00\x00\x00\x00\x00\x00far", m.tree()["synced"])

	loss := m.lose(nil)
	require.Equal(t, map[string]string{"synced": "abcdef", "unsynced": ""}, m.tree())
	require.Equal(t, 4, loss.Writes)
	require.Equal(t, Loss{}, m.lose(nil), "nothing more to lose")
}

// Each way to sync a file counts, and a close is none.
func TestWaysToSync(t *testing.T) {
	for name, way := range map[string]struct {
		flags  int
		sync   func(*os.File) error
		stays  bool
		writes int
	}{
		"fsync":     {0, (*os.File).Sync, true, 1},
		"fdatasync": {0, func(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }, true, 1},
		"O_SYNC":    {os.O_SYNC, nil, true, 3},
		"O_DSYNC":   {syscall.O_DSYNC, nil, true, 3},
		"close":     {0, nil, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := boot(t, Journaled)
			m.write("f", "", true, false)
			f := m.open("f", os.O_WRONLY|way.flags)
			for range way.writes {
				m.put(f, strings.Repeat("x", 2<<20))
			}
			if way.sync != nil {
				require.NoError(t, way.sync(f))
			}
			require.NoError(t, f.Close())
			m.lose(nil)
			want := 0
			if way.stays {
				want = way.writes * 2 << 20
			}
			require.Len(t, m.tree()["f"], want)
		})
	}
}

// When names reach the disk is what the orders differ in.
func TestNames(t *testing.T) {
	for name, test := range map[string]struct {
		do                func(m *machine)
		journaled, strict map[string]string
	}{
		"a new file that was synced": {
			func(m *machine) { m.write("a", "1", true, false) },
			map[string]string{"a": "1"},
			map[string]string{},
		},
		"in a directory that was synced": {
			func(m *machine) { m.write("a", "1", true, true) },
			map[string]string{"a": "1"},
			map[string]string{"a": "1"},
		},
		"not synced, in a directory that was": {
			func(m *machine) { m.write("a", "1", false, true) },
			map[string]string{"a": ""},
			map[string]string{"a": ""},
		},
		"in a new directory": {
			func(m *machine) {
				require.NoError(m.t, os.MkdirAll(m.path("d/e"), 0o700))
				m.write("d/e/a", "1", true, true)
			},
			map[string]string{"d/": "", "d/e/": "", "d/e/a": "1"},
			map[string]string{},
		},
		"changes before the one that was synced": {
			func(m *machine) {
				m.write("a", "1", false, false)
				m.write("b", "2", true, false)
				m.write("c", "3", false, false)
			},
			map[string]string{"a": "", "b": "2"},
			map[string]string{},
		},
		"replaced by a rename": {
			func(m *machine) {
				m.write("a", "old", true, true)
				m.write("tmp", "new", true, false)
				require.NoError(m.t, os.Rename(m.path("tmp"), m.path("a")))
			},
			map[string]string{"a": "old", "tmp": "new"},
			map[string]string{"a": "old"},
		},
		"replaced by a rename, and the directory synced": {
			func(m *machine) {
				m.write("a", "old", true, true)
				m.write("tmp", "new", true, false)
				require.NoError(m.t, os.Rename(m.path("tmp"), m.path("a")))
				m.syncDir(".")
			},
			map[string]string{"a": "new"},
			map[string]string{"a": "new"},
		},
		"removed": {
			func(m *machine) {
				m.write("a", "1", true, true)
				require.NoError(m.t, os.Remove(m.path("a")))
			},
			map[string]string{"a": "1"},
			map[string]string{"a": "1"},
		},
		"removed, and the directory synced": {
			func(m *machine) {
				m.write("a", "1", true, true)
				require.NoError(m.t, os.Mkdir(m.path("d"), 0o700))
				require.NoError(m.t, os.Remove(m.path("a")))
				require.NoError(m.t, os.Remove(m.path("d")))
				m.syncDir(".")
			},
			map[string]string{},
			map[string]string{},
		},
	} {
		for order, want := range map[Order]map[string]string{Journaled: test.journaled, Strict: test.strict} {
			t.Run(name+"/"+order.String(), func(t *testing.T) {
				m := boot(t, order)
				test.do(m)
				m.lose(nil)
				require.Equal(t, want, m.tree())
			})
		}
	}
}

// A disk that was busy keeps a beginning of what was not synced, never something else.
func TestSomeOfIt(t *testing.T) {
	const writes = 5
	random := rand.New(rand.NewPCG(1, 2))
	seen := make(map[string]bool)
	for range 40 {
		disk := NewDisk(Journaled)
		n := disk.newNode(false, 0o600)
		disk.change(edit{disk.root, "f", n})
		n.write(0, []byte("synced"))
		disk.sync(n)
		for i := range writes {
			n.write(6+i, []byte{byte('0' + i)})
		}
		disk.LosePower(random)
		require.Contains(t, "synced01234", string(n.data))
		require.GreaterOrEqual(t, len(n.data), len("synced"))
		seen[string(n.data)] = true
	}
	require.Len(t, seen, writes+1, "none, all, and everything between")
}

// What the system has written back by itself is on the disk, whatever the order.
func TestWrittenBack(t *testing.T) {
	for _, order := range []Order{Journaled, Strict} {
		m := boot(t, order)
		require.NoError(t, os.Mkdir(m.path("d"), 0o700))
		m.write("d/a", "1", false, false)
		m.disk.Sync()
		m.write("d/a", "2", false, false)
		m.write("d/b", "3", false, false)
		m.lose(nil)
		require.Equal(t, map[string]string{"d/": "", "d/a": "1"}, m.tree(), order)
	}
}

// A file that was removed is read by who has it open.
func TestRemovedAndOpen(t *testing.T) {
	m := boot(t, Journaled)
	m.write("f", "text", false, false)
	f := m.open("f", os.O_RDONLY)
	require.NoError(t, os.Remove(m.path("f")))
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "text", string(data))
	require.NoError(t, f.Close())
}

func TestNoPlaceToMount(t *testing.T) {
	_, err := NewDisk(Strict).MountAt(filepath.Join(t.TempDir(), "missing"))
	require.ErrorContains(t, err, "FUSE")
}
