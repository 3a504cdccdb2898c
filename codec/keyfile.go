package codec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofrs/flock"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/durable"
)

// FileKeyRing keeps keys in a file:
//
//	{
//	  "version": 1,
//	  "tenants": [
//	    {
//	      "tenant": "acme",
//	      "current": "5f0c7be1a2d94c36",
//	      "keys": [
//	        {"id": "90aa…", "created": "2026-01-01T00:00:00Z", "dropped": "2026-02-20T00:00:00Z"},
//	        {"id": "5f0c7be1a2d94c36", "created": "2026-02-01T00:00:00Z", "secret": "<32 bytes in base64>"}
//	      ]
//	    },
//	    {"tenant": "globex", "dropped": "2026-02-23T00:00:00Z", "keys": []}
//	  ]
//	}
//
// Only its owner may have any permission on it: a file that others can read is
// refused, when it is opened and later (not on Windows, which has no such mode).
//
// Any number of processes may use one file. A change replaces it as a whole: the new
// file is written beside it and synced, takes its name, and the directory is synced.
// Changes wait for each other on a lock on <file>.lock, which stays; reading needs no
// lock. A process sees the changes of others within [KeyFileAge], and at once where it
// looks for a key that it does not know. While the file cannot be read, or is not
// valid, look-ups fail with that error.
//
// Make changes as the user whose processes read the file: a change leaves it to the user
// who makes it. Where it is copied to other machines, give a new key to those that read
// before those that write, or reads fail with ErrKeyUnknown until it is there. A dropped
// key is gone from the file, not from backups, snapshots and freed blocks of the disk,
// which are the operator's to keep short.
//
// It holds nothing open and needs no closing.
type FileKeyRing struct {
	path    string
	syncDir func(dir string) error // makes the names in a directory durable
	mu      sync.Mutex             // of those who look whether the file has changed
	state   atomic.Pointer[keyFileState]
}

// KeyFileAge is the longest time for which a [FileKeyRing] relies on what it read,
// without asking whether the file has changed.
const KeyFileAge = time.Second

type keyFileState struct {
	table   keyTable
	info    fs.FileInfo
	checked time.Time
}

// KeyFileError says why a key file is refused.
type KeyFileError struct {
	Path   string
	Reason string
}

func (e *KeyFileError) Error() string { return fmt.Sprintf("codec: key file %q %s", e.Path, e.Reason) }

const (
	keyFileVersion = 1
	keyFileMode    = 0o600
	maxKeyFile     = 256 << 20 // a million keys and more
)

// keyFile is the content of the file.
type keyFile struct {
	Version int           `json:"version"`
	Tenants []*tenantKeys `json:"tenants"`
}

// CreateFileKeyRing makes a key file without keys and opens it. It returns an error
// that matches fs.ErrExist if there is a file of that name.
func CreateFileKeyRing(ctx context.Context, path string) (*FileKeyRing, error) {
	r, err := newFileKeyRing(path)
	if err != nil {
		return nil, err
	}
	err = r.locked(ctx, func(target string) error {
		if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = &fs.PathError{Op: "create", Path: target, Err: fs.ErrExist}
			}
			return err
		}
		return r.replace(target, keyTable{})
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// OpenFileKeyRing opens a key file, which must exist: a mistyped name must not become
// a key ring without keys. It returns a [*KeyFileError] for one whose permissions are
// too wide, or whose content is not what this release writes.
func OpenFileKeyRing(path string) (*FileKeyRing, error) {
	r, err := newFileKeyRing(path)
	if err != nil {
		return nil, err
	}
	if _, err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}

func newFileKeyRing(path string) (*FileKeyRing, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("codec: key file: %w", err)
	}
	return &FileKeyRing{path: abs, syncDir: durable.SyncDir}, nil
}

// Current implements [KeyRing].
func (r *FileKeyRing) Current(_ context.Context, tenant enact.TenantID) (*Key, error) {
	table, err := r.fresh(KeyFileAge)
	if err != nil {
		return nil, err
	}
	return table.current(tenant)
}

// Lookup implements [KeyRing].
func (r *FileKeyRing) Lookup(_ context.Context, tenant enact.TenantID, id string) (*Key, error) {
	table, err := r.fresh(KeyFileAge)
	if err != nil {
		return nil, err
	}
	key, err := table.lookup(tenant, id)
	if err != ErrKeyUnknown {
		return key, err
	}
	// Another process may just have made it.
	if table, err = r.fresh(0); err != nil {
		return nil, err
	}
	return table.lookup(tenant, id)
}

// Rotate implements [KeyManager]. Nobody else has the key, and a process that sees it as the
// current one encrypts with it at once: so the file that has it is on the disk before one
// that says it is current takes its place.
func (r *FileKeyRing) Rotate(ctx context.Context, tenant enact.TenantID) (id string, err error) {
	err = r.locked(ctx, func(target string) error {
		table, _, err := r.read(target)
		if err != nil {
			return err
		}
		before := ""
		if k := table[tenant]; k != nil {
			before = k.Current
		}
		if id, err = table.rotate(tenant); err != nil {
			return err
		}
		table[tenant].Current = before
		if err := r.replace(target, table); err != nil {
			return err
		}
		table[tenant].Current = id
		return r.replace(target, table)
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Add implements [KeyManager].
func (r *FileKeyRing) Add(ctx context.Context, tenant enact.TenantID, id string, secret []byte) error {
	return r.update(ctx, func(t keyTable) error { return t.add(tenant, id, secret) })
}

// Drop implements [KeyManager].
func (r *FileKeyRing) Drop(ctx context.Context, tenant enact.TenantID, id string) error {
	return r.update(ctx, func(t keyTable) error { return t.drop(tenant, id) })
}

// DropTenant implements [KeyManager].
func (r *FileKeyRing) DropTenant(ctx context.Context, tenant enact.TenantID) error {
	return r.update(ctx, func(t keyTable) error { return t.dropTenant(tenant) })
}

// Keys implements [KeyManager].
func (r *FileKeyRing) Keys(_ context.Context, tenant enact.TenantID) ([]KeyInfo, bool, error) {
	table, err := r.fresh(0)
	if err != nil {
		return nil, false, err
	}
	keys, dropped := table.info(tenant)
	return keys, dropped, nil
}

// Tenants implements [KeyManager].
func (r *FileKeyRing) Tenants(context.Context) ([]enact.TenantID, error) {
	table, err := r.fresh(0)
	if err != nil {
		return nil, err
	}
	return table.tenants(), nil
}

// fresh returns what the file holds, or held at most age ago. Nobody changes the table.
func (r *FileKeyRing) fresh(age time.Duration) (keyTable, error) {
	if s := r.state.Load(); s != nil && time.Since(s.checked) < age {
		return s.table, nil
	}
	asked := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state.Load()
	if s != nil && s.checked.After(asked) {
		return s.table, nil // another one looked meanwhile
	}
	if s != nil {
		info, err := os.Stat(r.path)
		if err != nil {
			return nil, fmt.Errorf("codec: key file: %w", err)
		}
		if s.settled() && same(s.info, info) {
			r.state.Store(&keyFileState{table: s.table, info: s.info, checked: asked})
			return s.table, nil
		}
	}
	return r.load()
}

// settled reports whether the file was old enough, when it was looked at, for another
// change to show: one right after it may get the same time, and the same place on disk.
func (s *keyFileState) settled() bool { return s.checked.Sub(s.info.ModTime()) > time.Second }

// same reports whether the file has not changed. A replacement is another file.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

// load reads the file and keeps what it holds. The caller has r.mu, or has just made r.
func (r *FileKeyRing) load() (keyTable, error) {
	checked := time.Now()
	table, info, err := r.read(r.path)
	if err != nil {
		return nil, err
	}
	r.state.Store(&keyFileState{table: table, info: info, checked: checked})
	return table, nil
}

func (r *FileKeyRing) read(path string) (keyTable, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("codec: key file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("codec: key file: %w", err)
	}
	refused := func(format string, args ...any) (keyTable, fs.FileInfo, error) {
		return nil, nil, &KeyFileError{Path: path, Reason: fmt.Sprintf(format, args...)}
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return refused("is not a regular file")
	case mode.Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return refused("has mode %04o: others than its owner have permissions on it", mode.Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("codec: key file: %w", err)
	case len(data) > maxKeyFile:
		return refused("is larger than %d bytes", maxKeyFile)
	}
	table, err := parseKeyFile(data)
	if err != nil {
		return refused("%v", err)
	}
	return table, info, nil
}

// parseKeyFile reads the content of a key file. Its errors show nothing of the content
// but names and ids.
func parseKeyFile(data []byte) (keyTable, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := jsonv2.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("is not valid: %w", err)
	}
	if head.Version != keyFileVersion {
		return nil, fmt.Errorf("has version %d, this release reads version %d", head.Version, keyFileVersion)
	}
	var file keyFile
	if err := jsonv2.Unmarshal(data, &file, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("is not valid: %w", err)
	}
	table := make(keyTable, len(file.Tenants))
	for i, k := range file.Tenants {
		if k == nil {
			return nil, fmt.Errorf("is not valid: tenant %d is null", i)
		}
		if err := k.Tenant.Validate(); err != nil {
			return nil, fmt.Errorf("is not valid: %w", err)
		}
		if table[k.Tenant] != nil {
			return nil, fmt.Errorf("is not valid: tenant %q is there twice", k.Tenant)
		}
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("is not valid: tenant %q: %w", k.Tenant, err)
		}
		table[k.Tenant] = k
	}
	return table, nil
}

// check makes the tenant's keys from their secrets.
func (k *tenantKeys) check() error {
	if !k.Dropped.IsZero() && (len(k.Keys) > 0 || k.Current != "") {
		return errors.New("was dropped and has keys")
	}
	for i := range k.Keys {
		r := &k.Keys[i]
		switch {
		case !ValidKeyID(r.ID):
			return fmt.Errorf("%.160q is not the id of a key", r.ID)
		case k.index(r.ID) < i:
			return fmt.Errorf("key %q is there twice", r.ID)
		case r.Dropped.IsZero():
			var err error
			if r.key, err = NewKey(r.ID, r.Secret); err != nil {
				return err
			}
		case len(r.Secret) > 0:
			return fmt.Errorf("key %q was dropped and has a secret", r.ID)
		}
	}
	if k.Current != "" && k.index(k.Current) < 0 {
		return fmt.Errorf("its current key %.160q is not there", k.Current)
	}
	return nil
}

// update changes what the file holds, while no other process does.
func (r *FileKeyRing) update(ctx context.Context, change func(keyTable) error) error {
	return r.locked(ctx, func(target string) error {
		table, _, err := r.read(target)
		if err != nil {
			return err
		}
		if err := change(table); err != nil {
			return err
		}
		return r.replace(target, table)
	})
}

// locked calls f while no other process changes the file. target is the file itself,
// where the path is a symbolic link.
func (r *FileKeyRing) locked(ctx context.Context, f func(target string) error) (err error) {
	target, err := filepath.EvalSymlinks(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		target, err = r.path, nil
	}
	if err != nil {
		return fmt.Errorf("codec: key file: %w", err)
	}
	lock := flock.New(target+".lock", flock.SetPermissions(keyFileMode))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return fmt.Errorf("codec: lock of key file: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	return f(target)
}

const lockRetry = 5 * time.Millisecond

// replace writes the file anew, and reads it again. The caller has the lock.
func (r *FileKeyRing) replace(target string, table keyTable) error {
	file := keyFile{Version: keyFileVersion, Tenants: []*tenantKeys{}}
	for _, tenant := range table.tenants() {
		file.Tenants = append(file.Tenants, table[tenant])
	}
	data, err := jsonv2.Marshal(&file, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("codec: key file: %w", err)
	}
	if err := r.write(target, append(data, '\n')); err != nil {
		return fmt.Errorf("codec: key file: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.load()
	return err
}

// write replaces the file by another one, so that a reader, or a start after a crash at
// any time, finds the old content or the new.
func (r *FileKeyRing) write(path string, data []byte) error {
	// Under the lock nobody else writes it: what lies there is from a crash.
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyFileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return r.syncDir(filepath.Dir(path))
}
