package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact/internal/durable"
)

// Files of a snapshot in a directory, named as the nats CLI names them.
const (
	metaFile    = "backup.json"
	archiveFile = "stream.arc.s2" // of servers from 2.15 on
	tarFile     = "stream.tar.s2" // of older ones
	sumFile     = "enact.json"    // what only this package writes
)

// archiveMagic begins what a snapshot from 2.15 on holds (server, archive.MagicBytes).
const archiveMagic = "NATSARC"

// ErrNoBackup is returned for a directory that holds no snapshot that was finished.
var ErrNoBackup = errors.New("backup: the directory holds no finished backup")

// DamagedError is returned for a snapshot whose bytes are not those that were written.
type DamagedError struct {
	File   string
	Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("backup: %s is damaged: %s", e.File, e.Reason)
}

// sums is what shows that a snapshot is whole.
type sums struct {
	Stream string    `json:"stream"`
	File   string    `json:"file"`
	Bytes  int64     `json:"bytes"`
	SHA256 string    `json:"sha256"`
	Meta   string    `json:"meta_sha256,omitempty"` // of the file beside it; of an early release "": none
	Taken  time.Time `json:"taken"`
}

// TakeDir writes a snapshot of a stream to a directory, which is made and must be empty or
// not exist. All of it is synced when TakeDir returns without an error; after an error
// nothing of it is left. Errors are those of [Take] and of the file system.
func TakeDir(ctx context.Context, nc *nats.Conn, request Requester, stream, dir string, begun func(Snapshot), progress func(int)) (snap Snapshot, err error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return snap, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return snap, err
	}
	if len(entries) > 0 {
		return snap, fmt.Errorf("backup: %s is not empty", dir)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	const partial = "stream.partial"
	f, err := os.OpenFile(filepath.Join(dir, partial), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return snap, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	size := &counter{}
	taken := time.Now().UTC()
	snap, err = Take(ctx, nc, request, stream, io.MultiWriter(f, hash, size), begun, progress)
	if err != nil {
		return snap, err
	}
	if err := f.Sync(); err != nil {
		return snap, err
	}
	file, err := archiveName(f)
	if err != nil {
		return snap, err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, file)); err != nil {
		return snap, err
	}
	meta, err := writeJSON(filepath.Join(dir, metaFile), snap)
	if err != nil {
		return snap, err
	}
	_, err = writeJSON(filepath.Join(dir, sumFile), sums{
		Stream: stream, File: file, Bytes: size.n, SHA256: hex.EncodeToString(hash.Sum(nil)), Meta: sumOf(meta), Taken: taken,
	})
	if err != nil {
		return snap, err
	}
	return snap, durable.SyncDir(dir)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// archiveName tells by its beginning how the server has packed a snapshot.
func archiveName(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	begin := make([]byte, len(archiveMagic))
	if _, err := io.ReadFull(s2.NewReader(f), begin); err != nil {
		return "", &DamagedError{File: f.Name(), Reason: err.Error()}
	}
	if string(begin) == archiveMagic {
		return archiveFile, nil
	}
	return tarFile, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// writeJSON returns what it has written.
func writeJSON(path string, v any) (data []byte, err error) {
	data, err = json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data = append(data, '\n')
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	return data, f.Sync()
}

// Dir is a snapshot in a directory.
type Dir struct {
	Snapshot
	Path  string
	Bytes int64     // of the snapshot, compressed
	Taken time.Time // zero where the nats CLI made it

	file string
	sum  string
}

// OpenDir opens the snapshot in a directory, without reading it through. It returns
// [ErrNoBackup], a [*DamagedError] or what the file system said.
func OpenDir(dir string) (*Dir, error) {
	d := &Dir{Path: dir}
	meta, err := readJSON(filepath.Join(dir, metaFile), &d.Snapshot)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s", ErrNoBackup, dir)
		}
		return nil, err
	}
	var s sums
	switch _, err := readJSON(filepath.Join(dir, sumFile), &s); {
	case err == nil:
		if got := sumOf(meta); s.Meta != "" && got != s.Meta {
			return nil, &DamagedError{File: filepath.Join(dir, metaFile), Reason: fmt.Sprintf("its SHA-256 is %s, that of what was written %s", got, s.Meta)}
		}
		if s.File != archiveFile && s.File != tarFile {
			return nil, &DamagedError{File: filepath.Join(dir, sumFile), Reason: fmt.Sprintf("names the file %.50q", s.File)}
		}
		d.file, d.sum, d.Taken = filepath.Join(dir, s.File), s.SHA256, s.Taken
	case errors.Is(err, fs.ErrNotExist):
		d.file = filepath.Join(dir, archiveFile)
		if _, err := os.Stat(d.file); errors.Is(err, fs.ErrNotExist) {
			d.file = filepath.Join(dir, tarFile)
		}
	default:
		return nil, err
	}
	info, err := os.Stat(d.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoBackup, dir)
	}
	if err != nil {
		return nil, err
	}
	if d.Bytes = info.Size(); d.sum != "" && d.Bytes != s.Bytes {
		return nil, &DamagedError{File: d.file, Reason: fmt.Sprintf("%d bytes, %d were written", d.Bytes, s.Bytes)}
	}
	return d, nil
}

// readJSON returns what it has read.
func readJSON(path string, into any) (data []byte, err error) {
	if data, err = os.ReadFile(path); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return nil, &DamagedError{File: path, Reason: err.Error()}
	}
	return data, nil
}

// Verify reads the snapshot through and holds it against its sum; one that the nats CLI
// made has none. It returns a [*DamagedError], ctx's error, or what the file system said.
func (d *Dir) Verify(ctx context.Context, progress func(int)) error {
	if d.sum == "" {
		return nil
	}
	f, err := os.Open(d.file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(buf)
		hash.Write(buf[:n])
		if progress != nil {
			progress(n)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != d.sum {
		return &DamagedError{File: d.file, Reason: fmt.Sprintf("its SHA-256 is %s, that of what was written %s", got, d.sum)}
	}
	return nil
}

// Open opens the snapshot's bytes, for [Restore].
func (d *Dir) Open() (io.ReadCloser, error) { return os.Open(d.file) }
